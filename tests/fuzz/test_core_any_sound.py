"""No sound, and no order of switches, makes the audio core do what C does not define."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harken_models.core import Model
from harken_models.pack import pack

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

VAD = Path(__file__).parents[2] / "models" / "harken_models" / "shipped" / "vad.hkm"


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    """A model that answers after every row, and a wake word that answers after every third."""
    found = find_spec("pymicro_wakeword")
    if found is None or found.origin is None:
        pytest.skip("no published models here: run `make setup` (package pymicro-wakeword)")
    word = (Path(found.origin).parent / "models" / "hey_jarvis.tflite").read_bytes()
    packed = tmp_path / "hey_jarvis.hkm"
    packed.write_bytes(pack(word))
    assert Model(packed.read_bytes()).stride() == 3
    return {"voice activity": VAD, "wake word": packed}


@pytest.mark.parametrize(("seed", "model"), [(1, "voice activity"), (20_261, "wake word")])
def test_sounds_and_switches_by_chance(
    seed: int, model: str, models: dict[str, Path], sanitized: Callable[[str], Path]
) -> None:
    seconds = int(os.environ.get("HARKEN_FUZZ_SECONDS", "4"))
    done = subprocess.run(
        [str(sanitized("core_any_sound")), str(models[model]), "chance", str(seconds), str(seed)],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) > 500
