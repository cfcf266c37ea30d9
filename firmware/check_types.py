"""Type-checks the firmware against the type stubs of each MicroPython port it runs on.

`python firmware/check_types.py` puts the stubs of a port into `.cache/stubs/PORT`, once, and runs
mypy over the files that the port carries, with the stubs in place of CPython's own library.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"
DEVICE = FIRMWARE / "harken_device"
STUBS = ROOT / ".cache" / "stubs"
_STUBS_VERSION = "1.29.0.post1"
_INSTALL_DEADLINE_S = 300
_CHECK_DEADLINE_S = 300


@dataclass(frozen=True)
class Port:
    """A port and the board whose file says what the port carries."""

    stubs: str
    board: str
    extra: tuple[Path, ...] = ()


PORTS = (
    Port("unix", "sim", (ROOT / "hil" / "harken_hil" / "board" / "sim_boot.py",)),
    Port("esp32-esp32-generic-s3", "esp32-s3-devkit"),
    Port("rp2-rpi-pico2-w", "pico-2-w"),
)

# What the stubs say otherwise than the ports do: file, their text, what holds.
_CORRECTIONS = (
    # Ticks are small integers; an opaque class would have to run through every signature.
    (
        "_mpy_shed/time_mp.pyi",
        "class _TicksMs:\n",
        "_TicksMs: TypeAlias = int\n\nclass _OpaqueTicksMs:\n",
    ),
    # A viper function takes any buffer where it says `ptr8`.
    (
        "micropython.pyi",
        "def viper(_func: Callable[_Param, _Ret], /) -> Callable[_Param, _Ret]:",
        "def viper(_func: Callable[..., _Ret], /) -> Callable[..., _Ret]:",
    ),
    # Every stream's `write` takes an offset and a length.
    (
        "micropython.pyi",
        "def write(self, buf) -> int:",
        "def write(self, buf, offset: int = 0, length: int = 0, /) -> int:",
    ),
    (
        "socket.pyi",
        "def write(self, buf: AnyReadableBuf, /) -> int:",
        "def write(self, buf: AnyReadableBuf, offset: int = 0, length: int = 0, /) -> int:",
    ),
    ("tls.pyi", "class SSLContext:\n", "class SSLContext:\n    verify_mode: int\n"),
    # `Partition(Partition.RUNNING)` is how the port's own documentation has it.
    ("esp32.pyi", "def __init__(self, id: str, block", "def __init__(self, id: str | int, block"),
)

# What the stubs themselves get wrong about each other is not ours to fix; mypy must still follow
# them. `main` is the board's own program, in its flash.
_CONFIG = """\
[mypy]
strict = true
python_version = 3.11
platform = linux
explicit_package_bases = true
namespace_packages = true
# The stubs' decorators (viper) have no types.
disallow_untyped_decorators = false
disable_error_code = import-untyped
[mypy-main]
ignore_missing_imports = true
{silenced}
"""


def stub_folder(port: Port) -> Path:
    """The port's stubs, fetched and corrected if they are not there yet."""
    digest = hashlib.sha256(repr((_STUBS_VERSION, _CORRECTIONS)).encode()).hexdigest()[:12]
    folder = STUBS / f"{port.stubs}-{digest}"
    if folder.exists():
        return folder
    print(f"fetching the stubs of {port.stubs} …", file=sys.stderr)
    STUBS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STUBS) as temporary:
        fresh = Path(temporary) / "stubs"
        package = f"micropython-{port.stubs}-stubs=={_STUBS_VERSION}"
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(fresh), package],
            check=True,
            timeout=_INSTALL_DEADLINE_S,
        )
        correct(fresh)
        fresh.rename(folder)
    return folder


def correct(folder: Path) -> None:
    """Apply the corrections.

    Raises:
        LookupError: the stubs do not say what a correction expects.
    """
    for name, wrong, right in _CORRECTIONS:
        path = folder / name
        if not path.exists():
            continue  # this port has no such module
        text = path.read_text("utf-8")
        if wrong not in text:
            raise LookupError(f"{path} no longer says {wrong!r}: look at this correction again")
        path.write_text(text.replace(wrong, right), "utf-8")


def carried(port: Port) -> list[Path]:
    """The firmware's files that go onto the port's board."""
    board = tomllib.loads((FIRMWARE / "boards" / f"{port.board}.toml").read_text("utf-8"))
    left_out = set(board["leave_out"])
    sources = sorted(DEVICE.rglob("*.py"))
    return [path for path in sources if path.relative_to(DEVICE).as_posix() not in left_out]


def silenced(folder: Path) -> str:
    """Sections that keep mypy quiet about the stub modules of `folder`."""
    names = {
        path.relative_to(folder).parts[0].removesuffix(".pyi") for path in folder.rglob("*.pyi")
    }
    stdlib = {
        path.relative_to(folder / "stdlib").parts[0].removesuffix(".pyi")
        for path in (folder / "stdlib").rglob("*.pyi")
    }
    modules = sorted((names | stdlib) - {"stdlib", "stubs"})
    return "\n".join(f"[mypy-{name}.*]\nignore_errors = true" for name in modules)


def check(port: Port) -> bool:
    """Run mypy for one port; True where it found nothing."""
    folder = stub_folder(port)
    config = STUBS / f"{port.board}.ini"
    config.write_text(_CONFIG.format(silenced=silenced(folder)), "utf-8")
    path = ":".join(map(str, (FIRMWARE, FIRMWARE / "typings", folder, ROOT / "hil")))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", str(config)),
            *(
                "--custom-typeshed-dir",
                str(folder),
                "--cache-dir",
                str(STUBS / f"{port.board}.mypy_cache"),
            ),
            *(str(file) for file in (*carried(port), *port.extra)),
        ],
        check=False,
        cwd=ROOT,
        env={"MYPYPATH": path, "PATH": "/usr/bin:/bin"},
        timeout=_CHECK_DEADLINE_S,
    )
    print(f"{port.board}: {'ok' if done.returncode == 0 else 'see above'}", file=sys.stderr)
    return done.returncode == 0


def main() -> int:
    """Check every port; exit status."""
    results = [check(port) for port in PORTS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
