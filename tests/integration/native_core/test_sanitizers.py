"""The whole core under AddressSanitizer and UBSan, over a voice and over what no voice is."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harken_models.core import HOP

from .conftest import RATE, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Samples

pytestmark = [pytest.mark.integration, pytest.mark.native, pytest.mark.timeout(240)]

MODEL = ROOT / "models" / "harken_models" / "shipped" / "vad.hkm"


def test_speech_silence_square_offset_and_noise(
    recording: Samples, sanitized: Callable[[str], Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    count = 8 * RATE
    sounds: dict[str, np.ndarray[tuple[int], np.dtype[Any]]] = {
        "speech": recording[: 20 * RATE],
        "silence": np.zeros(count),
        "square": np.where(np.arange(count) // 20 % 2, 32_767, -32_768),
        "offset": np.full(count, -32_768),
        "noise": rng.integers(-32_768, 32_768, count),
        "voice": recording[20 * RATE : 40 * RATE],
    }
    paths = [tmp_path / f"{name}.raw" for name in sounds]
    for path, sound in zip(paths, sounds.values(), strict=True):
        path.write_bytes(sound.astype(np.int16).tobytes())
    done = subprocess.run(
        [str(sanitized("core_any_sound")), str(MODEL), "play", *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) == sum(sound.size // HOP for sound in sounds.values())
