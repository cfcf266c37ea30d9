"""Whatever a file or the environment holds, only `ConfigError` comes out."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harken.config import Loaded, load
from harken.config.load import ENVIRONMENT_PREFIX, keys
from harken.errors import ConfigError

# Machines are shared: how long an example takes says nothing about the code.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
_NAMES = st.sampled_from(sorted(keys())) | st.text("abc._", max_size=20)
_VALUES = st.text(max_size=40) | st.integers().map(str) | st.floats().map(str)


def _load(**sources: object) -> Loaded | None:
    try:
        return load(**sources)  # type: ignore[arg-type]
    except ConfigError:
        return None


@_patient
@given(st.binary(max_size=200))
def test_any_file(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "harken.toml")
        path.write_bytes(content)
        _load(file=path, environment={})


@_patient
@given(st.dictionaries(_NAMES, _VALUES, max_size=3))
def test_any_environment(found: dict[str, str]) -> None:
    environment = {
        ENVIRONMENT_PREFIX + name.upper().replace(".", "__"): value for name, value in found.items()
    }
    loaded = _load(file=None, environment={**environment, "XDG_CONFIG_HOME": "/nonexistent"})
    if loaded is not None:
        assert set(loaded.origins) == set(keys())
