"""Whatever a file holds, `load_wav` gives a clip or an `AudioError`, and soon."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.errors import AudioError
from harken_hil.speech import LONGEST_S, RATE, load_wav

TONE = (9000 * np.sin(np.arange(1600) * 0.3)).astype("<i2").tobytes()


def wav(form: bytes, data: bytes, *, size: int | None = None) -> bytes:
    """A RIFF file of a format chunk and samples, with a size of the latter that may be a lie."""
    length = len(data) if size is None else size
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", length) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


FORM = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
FORMS = st.builds(
    struct.pack,
    st.just("<HHIIHH"),
    st.sampled_from([0, 1, 2, 3, 6, 7, 0xFFFE]) | st.integers(0, 0xFFFF),
    st.integers(0, 9) | st.integers(0, 0xFFFF),
    st.sampled_from([0, 1, 8000, 16_000, 44_100, 0xFFFFFFFF]) | st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 16) | st.integers(0, 0xFFFF),
    st.sampled_from([0, 1, 8, 12, 16, 24, 32, 64, 65_535]) | st.integers(0, 0xFFFF),
)
FILES = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda tail: b"RIFF\xff\xff\x00\x00WAVE" + tail, st.binary(max_size=200)),
    st.builds(wav, FORMS, st.binary(max_size=600)),
    st.builds(wav, st.just(FORM), st.just(TONE), size=st.integers(0, 0xFFFFFFFF)),
    st.builds(
        lambda at, value: bytes([*wav(FORM, TONE)[:at], value, *wav(FORM, TONE)[at + 1 :]]),
        st.integers(0, 50),
        st.integers(0, 255),
    ),
)


@settings(max_examples=400, deadline=2000)
@given(FILES)
def test_any_bytes_are_a_clip_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        path.write_bytes(content)
        try:
            clip = load_wav(path)
        except AudioError:
            return
    assert clip.samples.dtype == np.int16
    assert 0 <= clip.onset < clip.end <= len(clip.samples) <= (LONGEST_S + 1) * RATE
