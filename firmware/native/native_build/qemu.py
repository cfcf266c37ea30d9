"""Scripts run by MicroPython on an emulated Cortex-M4F.

QEMU's board `mps2-an386` has what the Arm modules need, and its MicroPython loads both `armv6m` and
`armv7emsp` modules. Files are laid into the emulated memory before the start, where a file system
of a few lines finds them.
"""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

from .errors import BuildError
from .images import qemu_image

_FILES_FROM = 0x2100_0000  # the board's 16 MiB of PSRAM, which MicroPython leaves alone
_FILES_UNTIL = 0x2200_0000
# A Cortex-M0+ faults on unaligned accesses; told so, the M4F does too.
_TRAP_UNALIGNED = "import machine\nmachine.mem32[0xE000ED14] |= 8\n"
_PRELUDE = """\
import io, sys, uctypes, vfs
class _File(io.IOBase):
    def __init__(self, place):
        self.data = uctypes.bytearray_at(*place)
        self.at = 0
    def ioctl(self, request, arg):
        return 0 if request == 4 else -1
    def readinto(self, into):
        n = min(len(into), len(self.data) - self.at)
        memoryview(into)[:n] = memoryview(self.data)[self.at:self.at + n]
        self.at += n
        return n
    def seek(self, at):
        self.at = at
    def read(self, n=-1):
        n = len(self.data) - self.at if n < 0 else n
        data = bytes(memoryview(self.data)[self.at:self.at + n])
        self.at += len(data)
        return data
    def __iter__(self):
        return self
    def __next__(self):
        n = self.data.find(b'\\n', self.at) + 1
        if not n:
            raise StopIteration
        return str(self.read(n - self.at), 'utf-8')
class _Files:
    def mount(self, readonly, mkfs):
        pass
    def stat(self, path):
        path = path.strip('/')
        if path in _FILES:
            return (0x8000,) + (0,) * 9
        if any(name.startswith(path + '/') for name in _FILES):
            return (0x4000,) + (0,) * 9
        raise OSError(2)
    def open(self, path, mode):
        return _File(_FILES[path.lstrip('/')])
vfs.mount(_Files(), '/files')
sys.path.append('/files')
exec(str(uctypes.bytearray_at(*_FILES['script.py']), 'utf-8'), {'__name__': '__main__'})
"""


def run_script(
    script: str,
    files: dict[str, Path],
    deadline_s: float,
    *,
    counting: bool = False,
    aligned: bool = False,
    user_modules: bool = False,
) -> str:
    """Run `script` on the emulated board and return what it printed.

    Args:
        script: MicroPython source; it finds `files` under `/files` and imports modules from there.
        files: by the path they have on the board; read-only.
        deadline_s: for the whole run.
        counting: let one instruction take 1 ns of the board's time, so that its 25 MHz SysTick
            counts instructions in steps of 40.
        aligned: fault on unaligned accesses, as a Cortex-M0+ does.
        user_modules: run the image that has the native modules compiled in.

    Raises:
        BuildError: no emulator, the script raised, or the deadline passed.
    """
    if shutil.which("qemu-system-arm") is None:
        raise BuildError("qemu-system-arm was not found: as root, apt-get install qemu-system-arm")
    firmware = qemu_image(user_modules=user_modules)
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "script.py"
        own.write_text(script, encoding="utf-8")
        places, loaders = _lay_out({**files, "script.py": own})
        machine = ["-machine", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "stdio"]
        machine.append("-semihosting")  # the port speaks to the emulator at its start
        if counting:
            machine += ["-icount", "shift=0"]
        with subprocess.Popen(
            ["qemu-system-arm", *machine, "-kernel", str(firmware), *loaders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as emulator:
            assert emulator.stdin and emulator.stdout  # noqa: PT018 - both are the pipes above
            try:
                before = f"_FILES = {places}\n" + (_TRAP_UNALIGNED if aligned else "")
                return _talk(emulator.stdin, emulator.stdout, before, deadline_s)
            finally:
                emulator.kill()


def _lay_out(files: dict[str, Path]) -> tuple[dict[str, tuple[int, int]], list[str]]:
    places: dict[str, tuple[int, int]] = {}
    loaders: list[str] = []
    address = _FILES_FROM
    for name, path in files.items():
        size = path.stat().st_size
        places[name] = (address, size)
        loaders += ["-device", f"loader,file={path},addr={address:#x},force-raw=on"]
        address += (size + 0xFFF) & ~0xFFF
    if address > _FILES_UNTIL:
        raise BuildError("the files do not fit into the emulated board's 16 MiB")
    return places, loaders


def _talk(to: IO[bytes], back: IO[bytes], before: str, deadline_s: float) -> str:
    """Speak MicroPython's raw REPL: `before` and the prelude in, the script's output out."""
    ends = time.monotonic() + deadline_s
    to.write(b"\r\x01")
    to.flush()
    _read_until(back, b"raw REPL; CTRL-B to exit\r\n>", ends)
    to.write((before + _PRELUDE).encode() + b"\x04")
    to.flush()
    _read_until(back, b"OK", ends)
    told = _read_until(back, b"\x04", ends)
    error = _read_until(back, b"\x04", ends)
    if error:
        raise BuildError(f"the script failed on the emulated board:\n{told}{error}")
    return told


def _read_until(back: IO[bytes], mark: bytes, ends: float) -> str:
    """Read byte by byte, as what follows the mark belongs to the next reader."""
    data = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(back, selectors.EVENT_READ)
        while not data.endswith(mark):
            if not selector.select(max(0.0, ends - time.monotonic())):
                raise BuildError(f"the emulated board fell silent after: {bytes(data[-500:])!r}")
            got = os.read(back.fileno(), 1)
            if not got or data.endswith(b"xPSR:"):
                raise BuildError(f"the emulated board stopped after: {bytes(data[-500:])!r}")
            data += got
    return bytes(data[: -len(mark)]).decode(errors="replace").replace("\r\n", "\n")
