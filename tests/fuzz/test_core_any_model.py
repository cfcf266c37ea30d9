"""No model that the engine takes can make it read or write where it should not."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harken_models.pack import pack

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

ROUNDS = 4000


@pytest.mark.parametrize("name", ["okay_nabu", "alexa"])
def test_models_with_wrong_numbers_and_a_right_checksum(
    name: str, sanitized: Callable[[str], Path], tmp_path: Path
) -> None:
    found = find_spec("pymicro_wakeword")
    if found is None or found.origin is None:
        pytest.skip("no published models here: run `make setup` (package pymicro-wakeword)")
    model = tmp_path / f"{name}.hkm"
    model.write_bytes(pack((Path(found.origin).parent / "models" / f"{name}.tflite").read_bytes()))
    done = subprocess.run(
        [str(sanitized("core_any_model")), str(model), str(ROUNDS)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    # Many changes are harmless; that most are refused shows that the check is not asleep.
    assert 0 < int(done.stdout) < ROUNDS // 2
