"""The audio core for boards whose MicroPython loads no native module of ours: the same in viper.

`features`, `model`, `vad` and `gain` give what the C of `harken_core` gives, bit for bit, and take
the same calls; `cleaner` is all that such a board can do about its microphone. A viper integer is a
machine word, so what is 64 bits wide in C is done in halves here, and what comes from memory as 16
or 8 bits is given its sign by `(x ^ 0x8000) - 0x8000`: 32 and 64 bits give the same.
"""
