"""`harken bench codec`: what the session's codec adds to libopus itself.

A session decodes each packet of the device straight to the rate that the agent wants, and
encodes the agent's answer at the rate that the device wants. The rival makes the very same
libopus calls, on the same packets, from a loop in C (or, without a compiler, through ctypes with
buffers made once).
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from harken.audio import opus
from harken.errors import RigError
from harken_hil.bench.measure import (
    MIN_ROUNDS,
    BenchOptions,
    BenchResult,
    Goal,
    Samples,
    Setting,
    figure,
    interleave,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Pass = Callable[[], int]
    # Decodes and encodes all packets once; returns the bytes that came out.

__all__ = ["ROUNDS", "SETTINGS", "run"]

ROUNDS: Final = MIN_ROUNDS
SETTINGS: Final[dict[str, Setting]] = {}

_RATE: Final = 16_000
_FRAME_MS: Final = 20
_FRAME: Final = _RATE * _FRAME_MS // 1000
_FRAMES: Final = 500
_BITRATE: Final = 24_000
_COMPLEXITY: Final = 3
_COMPILE_S: Final = 60.0

_C_LOOP: Final = """
#include <stdint.h>
typedef int (*decode_t)(void *, const uint8_t *, int, int16_t *, int, int);
typedef int (*encode_t)(void *, const int16_t *, int, uint8_t *, int);
int bridge(decode_t decode, void *decoder, encode_t encode, void *encoder,
           const uint8_t *packets, const int32_t *lengths, int count, int frame)
{
    static int16_t pcm[5760];
    static uint8_t out[8192];
    int total = 0;
    for (int i = 0; i < count; i++) {
        if (decode(decoder, packets, lengths[i], pcm, 5760, 0) != frame) return -1;
        packets += lengths[i];
        int size = encode(encoder, pcm, frame, out, sizeof out);
        if (size < 0) return -1;
        total += size;
    }
    return total;
}
"""


def run(options: BenchOptions) -> BenchResult:
    """CPU time of decoding a packet and encoding it again, per 20 ms.

    Raises:
        RigError: the sides did not do the same work.
    """
    packets = _packets()
    with tempfile.TemporaryDirectory(prefix="harken-bench-") as folder:
        loop = _compiled(Path(folder))
        calls = _c_calls(loop, packets) if loop else _ctypes_calls(packets)
        samples = _measure(_session_bridge(packets), calls, options.rounds)
    line = figure(
        "session codec bridge, 20 ms",
        "us CPU",
        samples,
        Goal("ratio", "<=", 1.10),
        rival_name=f"libopus called from {'C' if loop else 'ctypes'}",
        detail={"rate": _RATE, "bitrate": _BITRATE, "complexity": _COMPLEXITY},
    )
    return BenchResult("codec", (line,))


def _packets() -> list[bytes]:
    """Packets as a device sends them: a voice-like tone with syllables, in light noise."""
    rng = np.random.default_rng(7)
    at = np.arange(_FRAMES * _FRAME) / _RATE
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * at)) / _RATE
    voice = sum(np.sin(k * pitch) / k for k in range(1, 20)) * np.abs(np.sin(np.pi * 2 * at))
    pcm = (4_000 * voice + 60 * rng.standard_normal(at.size)).astype(np.int16)
    encoder = opus.Encoder(_RATE, _BITRATE, _COMPLEXITY, _FRAME_MS)
    return [encoder.encode(frame.tobytes()) for frame in pcm.reshape(_FRAMES, _FRAME)]


def _session_bridge(packets: Sequence[bytes]) -> Pass:
    decoder = opus.Decoder(_RATE)
    encoder = opus.Encoder(_RATE, _BITRATE, _COMPLEXITY, _FRAME_MS)

    def once() -> int:
        decoder.reset()
        encoder.reset()
        return sum(len(encoder.encode(decoder.decode(packet))) for packet in packets)

    return once


class _RawState:
    """An encoder and a decoder of libopus, set as those of the session."""

    def __init__(self) -> None:
        self.library = opus.libopus()
        self._encoder = opus.Encoder(_RATE, _BITRATE, _COMPLEXITY, _FRAME_MS)
        self._decoder = opus.Decoder(_RATE)
        self.encoder = self._encoder.state
        self.decoder = self._decoder.state

    def reset(self) -> None:
        self._encoder.reset()
        self._decoder.reset()


def _c_calls(loop: ctypes.CDLL, packets: Sequence[bytes]) -> Pass:
    raw = _RawState()
    lengths = (ctypes.c_int32 * len(packets))(*map(len, packets))
    loop.bridge.argtypes = [ctypes.c_void_p] * 6 + [ctypes.c_int] * 2
    decode = ctypes.cast(raw.library.opus_decode, ctypes.c_void_p)
    encode = ctypes.cast(raw.library.opus_encode, ctypes.c_void_p)
    joined = ctypes.create_string_buffer(b"".join(packets))

    def once() -> int:
        raw.reset()
        count = len(packets)
        return int(
            loop.bridge(decode, raw.decoder, encode, raw.encoder, joined, lengths, count, _FRAME)
        )

    return once


def _ctypes_calls(packets: Sequence[bytes]) -> Pass:
    raw = _RawState()
    decode, encode = raw.library.opus_decode, raw.library.opus_encode
    pcm = ctypes.cast(ctypes.create_string_buffer(2 * 5_760), ctypes.c_void_p)
    out = ctypes.cast(ctypes.create_string_buffer(8_192), ctypes.c_void_p)

    def once() -> int:
        raw.reset()
        total = 0
        for packet in packets:
            samples = decode(raw.decoder, packet, len(packet), pcm, 5_760, 0)
            total += encode(raw.encoder, pcm, samples, out, 8_192)
        return total

    return once


def _compiled(folder: Path) -> ctypes.CDLL | None:
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source, library = folder / "bridge.c", folder / "bridge.so"
    source.write_text(_C_LOOP)
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)]
    done = subprocess.run(command, capture_output=True, timeout=_COMPILE_S, check=False)
    return ctypes.CDLL(str(library)) if done.returncode == 0 else None


def _measure(ours: Pass, rival: Pass, rounds: int) -> Samples:
    # The first pass also warms both sides.
    if ours() != rival():
        raise RigError("the session's codec and the raw calls made different packets")

    def per_frame_us(once: Pass) -> float:
        began = time.thread_time_ns()
        once()
        return (time.thread_time_ns() - began) / _FRAMES / 1_000

    return interleave(
        ours=lambda: per_frame_us(ours), rival=lambda: per_frame_us(rival), rounds=rounds
    )
