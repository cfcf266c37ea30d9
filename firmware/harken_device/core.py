"""The audio core, from wherever this board has it: everything imports it from here.

The native module, loaded or compiled into the image, is all of it. A board for which there is
neither has the same models, features, voice activity and levels in viper, and of the cleaner the
gain.
"""

NATIVE = True  # all of the cleaner is there, and its sound comes 10 ms late

try:
    from harken_core import Cleaner, Features, Model, Vad, amplify, level, mask
except ImportError:
    NATIVE = False
    from harken_device.viper.cleaner import Cleaner  # type: ignore[assignment]
    from harken_device.viper.features import Features  # type: ignore[assignment]
    from harken_device.viper.level import amplify, level
    from harken_device.viper.masking import mask
    from harken_device.viper.model import Model  # type: ignore[assignment]
    from harken_device.viper.vad import Vad  # type: ignore[assignment]

__all__ = ["NATIVE", "Cleaner", "Features", "Model", "Vad", "amplify", "level", "mask"]
