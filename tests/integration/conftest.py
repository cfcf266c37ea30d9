"""What several integration tests need."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ON_QEMU = Path(__file__).parents[2] / "firmware" / "native" / "on_qemu.py"
_SCRIPT_S = 50
_BOARD_S = 300


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of "localhost", signed by itself, its key beside it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is missing: apt install openssl")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem"


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., str]:
    """Runs the text of a MicroPython script, with arguments, in the device's heap or another.

    The script can import the firmware and its native modules. What it printed is returned.
    """
    pytest.importorskip("micropython_unix", reason="no MicroPython here: run `make setup`")
    from harken_hil import micropython

    def run(script: str, *arguments: str, heap_kib: int = 256) -> str:
        path = tmp_path / "script.py"
        path.write_text(script, encoding="utf-8")
        done = micropython.run_script(
            path,
            *arguments,
            paths=micropython.firmware_paths(),
            heap_kib=heap_kib,
            deadline_s=_SCRIPT_S,
        )
        assert done.status == 0, f"status {done.status}\n{done.output[-4000:]}"
        return done.output

    return run


@pytest.fixture
def run_on_board(tmp_path: Path) -> Callable[..., str]:
    """Runs the text of a MicroPython script on an emulated Arm board; returns what it printed.

    Its arguments are the script, the architecture, and files, which it finds under `/files` by
    their names, or by those given as a mapping. The architecture `user-modules` is armv7emsp with
    the native modules compiled into the image.
    """
    if shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no Arm emulator or compiler: apt-get install qemu-system-arm; make native")

    def run(
        script: str, architecture: str, *files: Path, named: Mapping[str, Path] | None = None
    ) -> str:
        path = tmp_path / "script.py"
        path.write_text(script, encoding="utf-8")
        given = [*map(str, files), *(f"{name}={file}" for name, file in (named or {}).items())]
        extra = [word for file in given for word in ("--file", file)]
        built_in = architecture == "user-modules"
        kind = ["--user-modules"] if built_in else ["--arch", architecture]
        done = subprocess.run(
            [sys.executable, str(_ON_QEMU), *kind, *extra, str(path)],
            capture_output=True,
            text=True,
            timeout=_BOARD_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
