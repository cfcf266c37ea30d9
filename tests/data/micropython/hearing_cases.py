"""What is heard of the cleaned sound. Runs in MicroPython."""

import gc
from array import array

from sounds import BLOCK, loudness, tone


def case_without_a_canceller_nobody_breaks_in():
    from harken_device.audio.hearing import BARGE_IN, GAIN, VOICE, Hearing

    for parts in (0, GAIN):
        hearing = Hearing(parts)
        assert not hearing.cancels and hearing.delay_ms == (10 if parts else 0)
        out, silent, events = bytearray(320), bytearray(320), 0
        for n in range(200):
            loud = bytearray(bytes(tone(BLOCK, n * BLOCK, 9 if n < 100 else 12000)))
            events |= hearing.step(loud, silent, True, out)
        assert events & VOICE and not events & BARGE_IN


def case_without_a_cleaner_the_sound_goes_out_as_it_is():
    from harken_device.audio.hearing import Hearing

    hearing = Hearing(0)
    out, block = bytearray(320), bytearray(bytes(tone(BLOCK)))
    hearing.step(block, bytearray(320), False, out)
    assert out == block and hearing.state == {"vetoed": 0}


class SimWords:
    """Keeps the rows in which words are looked for."""

    def __init__(self):
        self.rows = []

    def play(self, playing):
        return playing

    def step_own(self, row):
        pass

    def step(self, row):
        self.rows.append(bytes(row))


def hiss(count, seed):
    values = array("h", bytes(2 * count))
    for i in range(count):
        seed = (seed * 1103515245 + 12345) & 0x3FFFFFFF
        values[i] = (seed >> 14) % 6001 - 3000
    return bytearray(values)


def case_words_are_looked_for_in_cleaned_sound_once_the_room_is_known():
    from harken_device.audio.hearing import Hearing
    from harken_device.core import Cleaner, Features

    hearing, cleaner, front_ends = Hearing(31), Cleaner(), (Features(), Features())
    hearing.words = words = SimWords()
    out, cleaned, linear = bytearray(320), bytearray(320), bytearray(320)
    rows, states = (bytearray(40), bytearray(40)), []
    for n in range(400):
        # Somebody else is heard at first; then what is played, 20 ms later and softer.
        playing = n >= 100
        played = hiss(BLOCK, n) if playing else bytearray(320)
        echo = array("h", hiss(BLOCK, n - 2)) if n >= 102 else array("h", tone(BLOCK, n * BLOCK))
        mic = bytearray(array("h", [value // 4 for value in echo]))
        hearing.step(mic, played, playing, out)
        told = cleaner.step(mic, played if playing else None, cleaned, linear)
        front_ends[0].step(cleaned, rows[0])
        if front_ends[1].step(linear, rows[1]):
            learning = told & 3 == 1
            assert words.rows[-1] == bytes(rows[learning]), n
            if rows[0] != rows[1]:
                states.append(told & 3)
    assert len(words.rows) == 398
    assert set(states) == {0, 1, 3}, states


def case_the_cleaned_sound_is_as_late_as_it_says():
    from harken_device.audio.hearing import ECHO, GAIN, HIGHPASS, NOISE, Hearing

    for parts in (HIGHPASS, HIGHPASS | ECHO, HIGHPASS | ECHO | NOISE | GAIN):
        hearing = None
        gc.collect()
        hearing = Hearing(parts)
        out, silent = bytearray(320), bytearray(320)
        levels = []
        for n in range(60):
            loud = bytearray(bytes(tone(BLOCK, n * BLOCK, 9 if n < 50 else 12000)))
            hearing.step(loud, silent, False, out)
            levels.append(loudness(out))
        # The first block of the tone comes out one block later; the window lets a little of it by.
        late = hearing.delay_ms // 10
        assert late == 1 and max(levels[40 : 50 + late]) < 1500 < levels[50 + late], levels[48:54]
