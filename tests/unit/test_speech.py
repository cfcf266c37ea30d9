"""What a talker says: any usual WAV is read, anything else is refused with its reason."""

from __future__ import annotations

import struct
import sys
import wave
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harken.errors import AudioError, HarkenError, ModelMissingError, StartError
from harken_hil.speech import Clip, PiperVoice, load_wav, speech_bounds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


def tone(rate: int, seconds: float = 1.0, amplitude: float = 0.3) -> NDArray[np.float64]:
    """Half a second of 440 Hz in the middle of silence, -1..1."""
    t = np.arange(round(rate * seconds)) / rate
    inside = (t >= seconds / 4) & (t < seconds * 3 / 4)
    return amplitude * np.sin(2 * np.pi * 440 * t) * inside


def write(path: Path, data: bytes, rate: int, channels: int, width: int, code: int = 1) -> Path:
    """A WAV file, header and all, as different programs write them."""
    block = channels * width
    form = struct.pack("<HHIIHH", code, channels, rate, rate * block, block, width * 8)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    # A chunk that players skip.
    body += b"LIST" + struct.pack("<I", 4) + b"INFO"
    body += b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def s24(value: float) -> bytes:
    return int(value * 8_388_607).to_bytes(3, "little", signed=True)


FORMATS: dict[str, tuple[int, int, Callable[[NDArray[np.float64]], bytes]]] = {
    "u8": (1, 1, lambda x: (x * 127 + 128).astype(np.uint8).tobytes()),
    "s16": (2, 1, lambda x: (x * 32_767).astype("<i2").tobytes()),
    "s24": (3, 1, lambda x: b"".join(s24(v) for v in x)),
    "s32": (4, 1, lambda x: (x * 2_147_483_647).astype("<i4").tobytes()),
    "f32": (4, 3, lambda x: x.astype("<f4").tobytes()),
    "f64": (8, 3, lambda x: x.astype("<f8").tobytes()),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_usual_width_gives_the_same_clip(tmp_path: Path, name: str) -> None:
    width, code, convert = FORMATS[name]
    path = write(tmp_path / "a.wav", convert(tone(16_000)), 16_000, 1, width, code)
    clip = load_wav(path, "words")
    assert clip.text == "words"
    assert clip.samples.dtype == np.int16
    assert np.abs(clip.samples - tone(16_000) * 32_767).max() < (400 if name == "u8" else 3)
    assert clip.onset == 4000
    assert clip.end == 12_000


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_is_converted(tmp_path: Path, rate: int) -> None:
    data = (tone(rate) * 32_767).astype("<i2").tobytes()
    clip = load_wav(write(tmp_path / "a.wav", data, rate, 1, 2))
    assert clip.seconds == pytest.approx(1.0, abs=0.002)
    spectrum = np.abs(np.fft.rfft(clip.samples[4800:11_200]))
    assert np.argmax(spectrum) * 16_000 / 6400 == pytest.approx(440, abs=5)
    assert clip.onset == pytest.approx(4000, abs=160)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left = tone(16_000)
    both = np.stack([left, np.zeros_like(left)], axis=1)
    data = (both * 32_767).astype("<i2").tobytes()
    clip = load_wav(write(tmp_path / "a.wav", data, 16_000, 2, 2))
    assert int(np.abs(clip.samples).max()) == pytest.approx(0.15 * 32_767, rel=0.01)


def silence(path: Path) -> Path:
    return write(path, bytes(32_000), 16_000, 1, 2)


def truncated(path: Path) -> Path:
    write(path, bytes(32_000), 16_000, 1, 2)
    path.write_bytes(path.read_bytes()[:30])
    return path


def text_file(path: Path) -> Path:
    path.write_text("What is the capital of France?")
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def not_a_number(path: Path) -> Path:
    return write(path, np.full(1600, np.nan, "<f4").tobytes(), 16_000, 1, 4, 3)


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda path: path, "there is no file"),
    "a directory": (lambda path: path.parent, "is not a file"),
    "zero bytes": (empty, "is empty"),
    "text": (text_file, "is not a WAV file"),
    "cut off in its header": (truncated, "is not a WAV file"),
    "no samples": (lambda path: write(path, b"", 16_000, 1, 2), "holds no samples|not a WAV"),
    "too long": (lambda path: write(path, bytes(2 * 8000 * 61), 8000, 1, 2), "61 s long"),
    "silent": (silence, "nothing can be heard"),
    "absurd rate": (lambda path: write(path, bytes(3200), 100, 1, 2), "100 samples a second"),
    "no rate": (lambda path: write(path, bytes(3200), 0, 1, 2), "0 samples a second|not a WAV"),
    "not a number": (not_a_number, "no numbers"),
    "mu-law": (lambda path: write(path, bytes(3200), 8000, 1, 1, 7), "not a WAV file"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_used_is_refused_with_its_reason(tmp_path: Path, what: str) -> None:
    make, reason = REFUSED[what]
    with pytest.raises(AudioError, match=reason) as refused:
        load_wav(make(tmp_path / "a.wav"))
    assert refused.value.hint
    assert str(tmp_path)[:20] in str(refused.value)


def test_a_file_that_is_cut_off_in_its_samples_is_no_crash(tmp_path: Path) -> None:
    data = (tone(16_000) * 32_767).astype("<i2").tobytes()
    path = write(tmp_path / "a.wav", data, 16_000, 1, 2)
    path.write_bytes(path.read_bytes()[:-8000])
    assert load_wav(path).seconds == pytest.approx(0.75)


def test_a_fifo_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="is not a file"):
        load_wav(tmp_path / "pipe.wav")


def test_a_name_with_controls_is_made_safe(tmp_path: Path) -> None:
    with pytest.raises(AudioError) as refused:
        load_wav(tmp_path / "a\x1b[31m.wav")
    assert "\x1b" not in str(refused.value)


def test_speech_is_found_above_a_recordings_own_noise() -> None:
    rng = np.random.default_rng(1)
    noisy = tone(16_000) * 32_767 + rng.normal(0, 60, 16_000)
    assert speech_bounds(noisy.astype(np.int16)) == (4000, 12_000)


def test_one_clip_after_another() -> None:
    one, other = Clip.of(samples(), "Okay Nabu."), Clip.of(samples(), "Tell me.")
    both = one.then(other, 0.5)
    assert both.text == "Okay Nabu. Tell me."
    assert (both.onset, both.end) == (4000, 12_000 + 8000 + 8000)
    assert not both.samples[12_000:20_000].any()
    assert speech_bounds(both.samples) == (both.onset, both.end)


def samples() -> NDArray[np.int16]:
    return (tone(16_000) * 32_767).astype(np.int16)


def test_a_missing_voice_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="model store") as missing:
        PiperVoice(tmp_path / "joe.onnx")
    assert "harken models pull" in missing.value.hint


@pytest.mark.parametrize("said", ["", "  ", "?!", "x" * 1001])
def test_what_nobody_can_say_is_refused(tmp_path: Path, said: str) -> None:
    model = tmp_path / "joe.onnx"
    model.touch()
    with pytest.raises(AudioError):
        PiperVoice(model).say(said)


def test_a_voice_that_fails_is_one_error(tmp_path: Path) -> None:
    model = tmp_path / "joe.onnx"
    model.write_bytes(b"not a model")
    with pytest.raises(StartError, match="cannot speak"):
        PiperVoice(model).say("hello")


def test_the_standard_library_agrees(tmp_path: Path) -> None:
    """The writer of these tests writes what other readers take for a WAV file."""
    path = write(tmp_path / "a.wav", bytes(3200), 16_000, 1, 2)
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnframes()) == (16_000, 1600)


def test_no_other_error_escapes(tmp_path: Path) -> None:
    """Every single damaged byte of a header is either harmless or refused."""
    good = write(tmp_path / "a.wav", samples().tobytes()[:3200], 16_000, 1, 2).read_bytes()
    path = tmp_path / "b.wav"
    for at in range(56):
        for value in (0, 1, 127, 255):
            damaged: Any = bytearray(good)
            damaged[at] = value
            path.write_bytes(damaged)
            try:
                load_wav(path)
            except HarkenError:
                continue


assert sys.byteorder == "little", "the samples above are written in the machine's own order"
