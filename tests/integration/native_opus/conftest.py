"""A device's Opus and a reference Opus that do the same operations, so that tests can compare them.

An operation is a JSON list, its name first:

    new rate bitrate complexity decoder_rate    fresh encoder and decoder
    tune bitrate complexity fec loss            -1 leaves a value as it is
    encode offset samples room                  of the clip, from sample `offset` on
    again samples                               decode the packet encoded last
    decode hex samples                          decode a given packet; "" conceals
    fec hex samples                             the packet before a given one; "" the last encoded
    reset

The answer is [status, SHA-256 of what was written]; a status of -1 is an error: a `ValueError` on
the device, any of libopus' own in the reference.
"""

from __future__ import annotations

import array
import ctypes
import hashlib
import json
import subprocess
import sys
import wave
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "tests" / "data" / "native_opus"
SHARED = ROOT / "models" / "harken_models" / "native" / "libharken_opus-x86_64.so"

Operation = list[str | int]
Answer = list[str | int]

INTERPRETER = """
import hashlib, harken_opus

def digest(data, size):
    return "".join("%02x" % b for b in hashlib.sha256(memoryview(data)[:size]).digest())

class Device:
    def __init__(self, read_pcm):
        self.read_pcm = read_pcm
        self.last = bytearray(8192)
        self.last_size = 0
        self.pcm = bytearray(2 * 5760)

    def packet(self, text):
        if not text:
            return self.last, self.last_size
        data = bytes(int(text[i:i + 2], 16) for i in range(0, len(text), 2))
        return data, len(data)

    def run(self, name, *args):
        try:
            return getattr(self, name)(*args)
        except ValueError:
            return [-1, ""]

    def new(self, rate, bitrate, complexity, decoder_rate):
        self.encoder = harken_opus.Encoder(rate, bitrate, complexity)
        self.decoder = harken_opus.Decoder(decoder_rate)
        return [0, ""]

    def tune(self, *args):
        self.encoder.tune(*args)
        return [0, ""]

    def encode(self, offset, samples, room):
        out = memoryview(self.last)[:room]
        self.last_size = 0
        self.last_size = self.encoder.encode(self.read_pcm(offset, samples), samples, out)
        return [self.last_size, digest(self.last, self.last_size)]

    def answer(self, samples):
        return [samples, digest(self.pcm, 2 * samples)]

    def again(self, samples):
        return self.answer(self.decoder.decode(self.last, self.last_size, self.pcm, samples))

    def decode(self, text, samples):
        data, size = self.packet(text) if text else (None, 0)
        return self.answer(self.decoder.decode(data, size, self.pcm, samples))

    def fec(self, text, samples):
        data, size = self.packet(text)
        return self.answer(self.decoder.decode_fec(data, size, self.pcm, samples))

    def reset(self):
        self.encoder.reset()
        self.decoder.reset()
        return [0, ""]
"""

_FROM_FILES = """
import json

clip = open(CLIP, "rb")

def read_pcm(offset, samples):
    clip.seek(2 * offset)
    return clip.read(2 * samples)

device = Device(read_pcm)
for line in open(OPERATIONS):
    print(json.dumps(device.run(*json.loads(line))))
"""


class RunsOperations(Protocol):
    """Does operations and answers each."""

    def run(self, operations: Sequence[Operation]) -> list[Answer]:
        """The answers, in order."""
        ...


class DeviceOpus:
    """`harken_opus` in the real MicroPython: on this machine, or on an emulated Arm board.

    Args:
        folder: where the clip and the operations are laid.
        pcm: the clip.
        run: runs a script and returns what it printed.
        seen_in: the folder in which the script finds them.
    """

    def __init__(self, folder: Path, pcm: bytes, run: Callable[[str], str], seen_in: Path) -> None:
        self._run = run
        self._seen_in = seen_in
        self._operations = folder / "operations.jsonl"
        (folder / "clip.raw").write_bytes(pcm)

    def run(self, operations: Sequence[Operation]) -> list[Answer]:
        """The answers, in order, all by one process."""
        lines = "".join(json.dumps(item) + "\n" for item in operations)
        self._operations.write_text(lines, "utf-8")
        clip, listed = (str(self._seen_in / name) for name in ("clip.raw", "operations.jsonl"))
        told = self._run(f"CLIP, OPERATIONS = {clip!r}, {listed!r}\n{INTERPRETER}{_FROM_FILES}")
        answers: list[Answer] = [json.loads(line) for line in told.splitlines()]
        assert len(answers) == len(operations)
        return answers


class ReferenceOpus:
    """A libopus shared library, called directly."""

    _CTL: ClassVar = {"reset": 4028, "bitrate": 4002, "complexity": 4010, "fec": 4012, "loss": 4014}
    _VOIP = 2048

    def __init__(self, library: Path, pcm: bytes) -> None:
        self._lib = ctypes.CDLL(str(library))
        for name in ("opus_encoder_create", "opus_decoder_create"):
            getattr(self._lib, name).restype = ctypes.c_void_p
        self._clip = pcm
        self._encoder = ctypes.c_void_p()
        self._decoder = ctypes.c_void_p()
        self._last = b""

    def run(self, operations: Sequence[Operation]) -> list[Answer]:
        """The answers, in order."""
        try:
            return [getattr(self, f"_{name}")(*rest) for name, *rest in operations]
        finally:
            self._free()

    def _free(self) -> None:
        if self._encoder:
            self._lib.opus_encoder_destroy(self._encoder)
            self._lib.opus_decoder_destroy(self._decoder)
        self._encoder = ctypes.c_void_p()

    def _new(self, rate: int, bitrate: int, complexity: int, decoder_rate: int) -> Answer:
        self._free()
        status = ctypes.c_int()
        self._encoder = ctypes.c_void_p(
            self._lib.opus_encoder_create(rate, 1, self._VOIP, ctypes.byref(status))
        )
        assert status.value == 0
        self._decoder = ctypes.c_void_p(
            self._lib.opus_decoder_create(decoder_rate, 1, ctypes.byref(status))
        )
        assert status.value == 0
        return self._tune(bitrate, complexity, -1, -1)

    def _tune(self, bitrate: int, complexity: int, fec: int, loss: int) -> Answer:
        wanted = {"bitrate": bitrate, "complexity": complexity, "fec": fec, "loss": loss}
        for name, value in wanted.items():
            if value >= 0:
                request = self._CTL[name]
                assert self._lib.opus_encoder_ctl(self._encoder, request, ctypes.c_int(value)) == 0
        return [0, ""]

    def _encode(self, offset: int, samples: int, room: int) -> Answer:
        out = ctypes.create_string_buffer(room)
        pcm = self._clip[2 * offset : 2 * (offset + samples)]
        self._last = b""
        size = self._lib.opus_encode(self._encoder, pcm, samples, out, room)
        if size < 0:
            return [-1, ""]
        self._last = out.raw[:size]
        return [size, hashlib.sha256(self._last).hexdigest()]

    def _read(self, packet: bytes, samples: int, fec: int) -> Answer:
        pcm = array.array("h", bytes(2 * 5760))
        address, _ = pcm.buffer_info()
        data = packet or None
        written = self._lib.opus_decode(
            self._decoder, data, len(packet), ctypes.c_void_p(address), samples, fec
        )
        if written < 0:
            return [-1, ""]
        return [written, hashlib.sha256(pcm.tobytes()[: 2 * written]).hexdigest()]

    def _again(self, samples: int) -> Answer:
        return self._read(self._last, samples, 0)

    def _decode(self, text: str, samples: int) -> Answer:
        return self._read(bytes.fromhex(text), samples, 0)

    def _fec(self, text: str, samples: int) -> Answer:
        return self._read(bytes.fromhex(text) or self._last, samples, 1)

    def _reset(self) -> Answer:
        self._lib.opus_encoder_ctl(self._encoder, self._CTL["reset"])
        self._lib.opus_decoder_ctl(self._decoder, self._CTL["reset"])
        return [0, ""]


@pytest.fixture(scope="session")
def clip() -> bytes:
    """Speech, int16 mono at 16 kHz."""
    with wave.open(str(DATA / "speech_16k.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        return bytes(file.readframes(file.getnframes()))


@pytest.fixture
def device(tmp_path: Path, clip: bytes, run_script: Callable[..., str]) -> RunsOperations:
    """`harken_opus` in MicroPython."""
    return DeviceOpus(tmp_path, clip, run_script, tmp_path)


@pytest.fixture
def board(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    clip: bytes,
    run_on_board: Callable[..., str],
) -> RunsOperations:
    """`harken_opus` on an emulated Arm board; the parameter names the architecture."""
    files = (tmp_path / "clip.raw", tmp_path / "operations.jsonl")

    def run(script: str) -> str:
        return run_on_board(script, request.param, *files)

    return DeviceOpus(tmp_path, clip, run, Path("/files"))


@pytest.fixture
def open_reference(clip: bytes) -> Callable[[Path], RunsOperations]:
    """Opens a libopus shared library."""
    return lambda library: ReferenceOpus(library, clip)


@pytest.fixture
def reference(open_reference: Callable[[Path], RunsOperations]) -> RunsOperations:
    """The committed shared library."""
    return open_reference(SHARED)


@pytest.fixture(scope="session")
def upstream_library() -> Path:
    """libopus as its own `configure` and `make` build it."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "firmware" / "native" / "build.py"), "--print", "reference"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"upstream's libopus cannot be built here (`make native`): {done.stderr}")
    return Path(done.stdout.splitlines()[-1])
