"""Type-checks the firmware against the type stubs of each MicroPython port it runs on.

`python firmware/check_types.py` puts the stubs of a port into `.cache/stubs/PORT`, once, and runs
mypy over the files that the port carries, with the stubs in place of CPython's own library.
"""

from __future__ import annotations

import subprocess
import sys
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
    """The port's stubs, fetched if they are not there yet."""
    folder = STUBS / f"{port.stubs}-{_STUBS_VERSION}"
    if (folder / "stdlib" / "builtins.pyi").exists():
        return folder
    print(f"fetching the stubs of {port.stubs} …", file=sys.stderr)
    package = f"micropython-{port.stubs}-stubs=={_STUBS_VERSION}"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), package],
        check=True,
        timeout=_INSTALL_DEADLINE_S,
    )
    return folder


def carried(port: Port) -> list[Path]:
    """The firmware's files that go onto the port's board."""
    board = tomllib.loads((FIRMWARE / "boards" / f"{port.board}.toml").read_text("utf-8"))
    left_out = set(board["leave_out"])
    sources = sorted(DEVICE.rglob("*.py"))
    return [path for path in sources if path.relative_to(DEVICE).as_posix() not in left_out]


def silenced(folder: Path) -> str:
    """mypy sections that keep it quiet about the stub modules of `folder`."""
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
    config = folder / "mypy.ini"
    config.write_text(_CONFIG.format(silenced=silenced(folder)), "utf-8")
    path = ":".join(map(str, (FIRMWARE, FIRMWARE / "typings", folder)))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", str(config)),
            *("--custom-typeshed-dir", str(folder), "--cache-dir", str(folder / ".mypy_cache")),
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
    return 0 if all([check(port) for port in PORTS]) else 1


if __name__ == "__main__":
    sys.exit(main())
