"""No model that the engine takes can make it read or write where it should not."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from harken_models.pack import pack

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

CORE = Path(__file__).resolve().parents[2] / "firmware" / "native" / "core"
ROUNDS = 4000
# Two's complement wraps on purpose: the sums of the reference do.
SANITIZERS = "-fsanitize=address,undefined"


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("no compiler: apt-get install gcc")
    built = tmp_path_factory.mktemp("fuzz") / "core_any_model"
    sources = sorted(path for path in CORE.glob("*.c") if path.name != "module.c")
    subprocess.run(
        [
            *("gcc", "-std=gnu99", "-g", "-O1", SANITIZERS, "-fno-sanitize-recover=all"),
            f"-I{CORE}",
            "-o",
            str(built),
            str(Path(__file__).with_name("core_any_model.c")),
            *map(str, sources),
        ],
        check=True,
        timeout=200,
    )
    return built


@pytest.mark.parametrize("name", ["okay_nabu", "alexa"])
def test_models_with_wrong_numbers_and_a_right_checksum(
    name: str, program: Path, tmp_path: Path
) -> None:
    found = find_spec("pymicro_wakeword")
    if found is None or found.origin is None:
        pytest.skip("no published models here: run `make setup` (package pymicro-wakeword)")
    model = tmp_path / f"{name}.hkm"
    model.write_bytes(pack((Path(found.origin).parent / "models" / f"{name}.tflite").read_bytes()))
    done = subprocess.run(
        [str(program), str(model), str(ROUNDS)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    # Many changes are harmless; that most are refused shows that the check is not asleep.
    assert 0 < int(done.stdout) < ROUNDS // 2
