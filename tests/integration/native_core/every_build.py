"""One script for every build of the audio core, and what the shared library says to the same sound.

The script prints a digest for each kind of result. What goes in besides sound (probabilities,
gains, switches) follows from the number of the hop, so that only sound needs to be handed over.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from harken_models.core import (
    BANDS,
    HOP,
    Cleaner,
    Features,
    Gain,
    Model,
    Vad,
    amplify,
    level,
    mask,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .conftest import Samples

NATIVE = "from harken_core import Cleaner, Features, Gain, Model, Vad, amplify, level, mask"
VIPER = """
from harken_device.viper.features import Features
from harken_device.viper.gain import Gain
from harken_device.viper.level import amplify, level
from harken_device.viper.masking import mask
from harken_device.viper.model import Model
from harken_device.viper.vad import Vad
"""

# Reads FOLDER/mic.raw, FOLDER/reference.raw and FOLDER/*.hkm.
_COMMON = """
import hashlib, json

def digest(data):
    return "".join("%02x" % b for b in hashlib.sha256(data).digest())

features, row, hop, out = Features(), bytearray(40), bytearray(320), bytearray(320)
vad, modelled, gain = Vad(), Vad(), Gain()
vad.tune(8, 200)
models = {name: Model(open(FOLDER + name + ".hkm", "rb").read()) for name in NAMES}
heard = {name: bytearray() for name in NAMES}
rows, voice, gained, levels = hashlib.sha256(), bytearray(), hashlib.sha256(), hashlib.sha256()
answer = bytearray(64)
mic = open(FOLDER + "mic.raw", "rb")
for n in range(HOPS):
    mic.readinto(hop)
    speech = vad.step(hop, -1)
    likely = modelled.step(hop, (n * 37 >> 2) & 255)
    voice.extend(bytes((speech, -vad.level_db() & 255, -vad.floor_db() & 255, likely)))
    limited = gain.step(hop, speech & 1, max(-200, min(0, vad.floor_db() - n % 30)), out)
    gained.update(out)
    gained.update(bytes((limited, gain.gain_db())))
    levels.update(str((level(hop, None), level(hop, out))).encode())
    levels.update(str(amplify(hop, 0, n * 331 % 32769, n * 97 % 32769, out)).encode())
    levels.update(out)
    if features.step(hop, row):
        rows.update(row)
        for name, model in models.items():
            if model.step(row) >= 0:
                heard[name].extend(answer[:model.outputs(answer)])
masked = bytearray(range(256))
mask(masked, 3, 250, b"\\x01\\x80\\xff\\x37")
results = {"rows": rows.digest(), "voice": voice, "gained": gained.digest(), "masked": masked}
results["levels"] = levels.digest()
results.update(heard)
"""
_CHAIN = """
cleaner, linear, bands = Cleaner(), bytearray(320), bytearray(40)
cleaned = hashlib.sha256()
mic, speaker = open(FOLDER + "mic.raw", "rb"), open(FOLDER + "reference.raw", "rb")
reference = bytearray(320)
for n in range(HOPS):
    mic.readinto(hop)
    speaker.readinto(reference)
    if n % 50 == 30:
        cleaner.switch(SWITCHES[n // 50 % len(SWITCHES)])
    if n % 100 >= 60:
        for band in range(40):
            bands[band] = (n * band * 13 >> 1) & 255
        cleaner.gains(bands)
    else:
        cleaner.gains(None)
    flags = cleaner.step(hop, None if n % 70 >= 60 else reference, out, linear)
    cleaned.update(out)
    cleaned.update(linear)
    states = (flags, cleaner.erle_db(), cleaner.delay_ms(), cleaner.noise_db(), cleaner.gain_db())
    cleaned.update(str(states).encode())
results["cleaned"] = cleaned.digest()
"""
_PRINT = """
print(json.dumps({name: digest(data) for name, data in results.items()}))
"""
# The whole chain first and longest, then with each part off.
_SWITCHES = (31, 31, 31, 30, 29, 27, 23, 15, 31, 0, 31)


def script(
    folder: str, imports: str, models: Mapping[str, bytes], mic: Samples, *, chain: bool
) -> str:
    """The text for a board that finds the files of `lay_out` under `folder`."""
    given = f"FOLDER, NAMES, HOPS = {folder!r}, {json.dumps(list(models))}, {mic.size // HOP}"
    switches = f"SWITCHES = {_SWITCHES}"
    return "\n".join([given, switches, imports, _COMMON, _CHAIN if chain else "", _PRINT])


def lay_out(
    folder: Path, models: Mapping[str, bytes], mic: Samples, reference: Samples
) -> list[Path]:
    """Write what the script reads."""
    contents = {"mic.raw": mic.tobytes(), "reference.raw": reference.tobytes()}
    contents |= {f"{name}.hkm": model for name, model in models.items()}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in contents]


def expected(
    models: Mapping[str, bytes], mic: Samples, reference: Samples, *, chain: bool
) -> dict[str, str]:
    """The digests, from the shared library."""
    rows = Features().run(mic)
    vad, modelled, gain = Vad(), Vad(), Gain()
    vad.tune(8, 200)
    voice, gained, levels = bytearray(), hashlib.sha256(), hashlib.sha256()
    out = bytearray(2 * HOP)
    for n, hop in enumerate(_hops(mic)):
        speech = vad.step(hop, -1)
        likely = modelled.step(hop, (n * 37 >> 2) & 255)
        voice += bytes((speech, -vad.level_db() & 255, -vad.floor_db() & 255, likely))
        limited = gain.step(hop, speech & 1, max(-200, min(0, vad.floor_db() - n % 30)), out)
        gained.update(out)
        gained.update(bytes((limited, gain.gain_db())))
        levels.update(str((level(hop, None), level(hop, out))).encode())
        levels.update(str(amplify(hop, 0, n * 331 % 32_769, n * 97 % 32_769, out)).encode())
        levels.update(out)
    masked = bytearray(range(256))
    mask(masked, 3, 250, b"\x01\x80\xff\x37")
    results = {
        "rows": hashlib.sha256(rows.tobytes()).digest(),
        "voice": bytes(voice),
        "gained": gained.digest(),
        "levels": levels.digest(),
        "masked": bytes(masked),
    }
    results |= {name: Model(model).run_outputs(rows).tobytes() for name, model in models.items()}
    if chain:
        results["cleaned"] = _cleaned(mic, reference)
    return {name: hashlib.sha256(data).hexdigest() for name, data in results.items()}


def _cleaned(mic: Samples, reference: Samples) -> bytes:
    cleaner, digest = Cleaner(), hashlib.sha256()
    out, linear = bytearray(2 * HOP), bytearray(2 * HOP)
    for n, (hop, played) in enumerate(zip(_hops(mic), _hops(reference), strict=True)):
        if n % 50 == 30:
            cleaner.switch(_SWITCHES[n // 50 % len(_SWITCHES)])
        gains = bytes((n * band * 13 >> 1) & 255 for band in range(BANDS))
        cleaner.gains(gains if n % 100 >= 60 else None)
        flags = cleaner.step(hop, None if n % 70 >= 60 else played, out, linear)
        digest.update(out)
        digest.update(linear)
        states = (
            flags,
            cleaner.erle_db(),
            cleaner.delay_ms(),
            cleaner.noise_db(),
            cleaner.gain_db(),
        )
        digest.update(str(states).encode())
    return digest.digest()


def _hops(pcm: Samples) -> list[bytes]:
    return [hop.tobytes() for hop in pcm.reshape(-1, HOP)]


def scene(voice: Samples, hops: int) -> tuple[Samples, Samples]:
    """A voice, then the loudspeaker's echo with it, then full scale, offset and silence.

    Returns:
        Microphone and reference, int16 [hops * 160].
    """
    rng = np.random.default_rng(7)
    count = hops * HOP
    played = np.cumsum(rng.integers(-900, 901, count)) % 12_000 - 6_000
    echo = np.zeros(count, np.int64)
    for delay, per_mille in ((650, 400), (731, -160), (902, 75)):
        echo[delay:] += played[:-delay] * per_mille // 1000
    mic = echo + np.resize(voice, count) + rng.integers(-20, 21, count)
    mic[: count // 5] -= echo[: count // 5]
    edge = max(HOP, count // 40)
    mic[-4 * edge : -3 * edge] = np.where(np.arange(edge) // 9 % 2, 32_767, -32_768)
    mic[-3 * edge : -2 * edge] = 30_000
    mic[-2 * edge : -edge] = 0
    mic = np.clip(mic, -32_768, 32_767)
    return mic.astype(np.int16), played.astype(np.int16)
