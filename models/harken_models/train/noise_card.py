"""The files of the noise model: model, manifest, packed model, card and picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from harken_models.train.card import Section, draw_curves, table, write_card
from harken_models.train.noise_net import SHAPE
from harken_models.train.vad_card import data_and_licences, facts, made_by, write_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harken_models.train.noise_judge import Cleaned
    from harken_models.train.vad import Recipe, TrainedNet

__all__ = ["write_noise"]


def write_noise(
    folder: Path, recipe: Recipe, trained: TrainedNet, cleaned: Sequence[Cleaned]
) -> list[Path]:
    """Write noise.tflite, .hkm, .json, .md, .svg, .png and .results.json into `folder`."""
    files = write_model(folder, "noise", trained, 1)
    results = folder / "noise.results.json"
    results.write_bytes(msgspec.json.format(msgspec.json.encode(cleaned)) + b"\n")
    picture = folder / "noise"
    draw_curves(
        picture,
        {name: _curve(cleaned, name) for name in dict.fromkeys(each.name for each in cleaned)},
        ("talker over noise, dB", "DNSMOS overall"),
        "Noise suppression: people in rooms, noise and music",
    )
    card = folder / "noise.md"
    hears = f"{SHAPE.window_rows * 10} ms of the past"
    sections = [
        Section("In short", table(("", ""), [("hears", hears), *facts(trained)])),
        Section("Beside the statistical suppressor", _compared(cleaned)),
        Section("Data and licences", data_and_licences()),
        Section("Limits", _LIMITS),
        Section("Made by", made_by("train-noise", recipe, trained)),
    ]
    write_card(card, "Noise suppression", _INTRO, sections)
    return [*files, results, picture.with_suffix(".svg"), picture.with_suffix(".png"), card]


_INTRO = (
    "Says every 10 ms for each of the 40 bands of the speech features how much of the next hop is "
    "the talker. `Cleaner.gains` takes its answers in place of the statistical gains. An int8 "
    "streaming network for Harken's engine; off unless a device's configuration names it."
)

_LIMITS = (
    "- Bands are wide at high frequencies: noise between the harmonics of a voice stays.\n"
    "- Its features have no level and lose what is steady; it hears the past 0.3 s alone and "
    "looks nowhere ahead.\n"
    "- Other voices are speech to it.\n"
    "- Rooms and noise are simulated, talkers and music are few: what is said of the voice "
    "activity model's data holds here, too."
)


def _curve(cleaned: Sequence[Cleaned], name: str) -> tuple[list[float], list[float]]:
    some = [each for each in cleaned if each.name == name]
    return [each.snr_db for each in some], [each.overall for each in some]


def _compared(cleaned: Sequence[Cleaned]) -> str:
    rows = [
        (
            f"{each.snr_db:.0f} dB", each.name, f"{each.si_sdr_db:.1f}", f"{each.estoi:.2f}",
            f"{each.signal:.2f}", f"{each.background:.2f}", f"{each.overall:.2f}",
        )
        for each in cleaned
    ]  # fmt: skip
    head = (
        "talker over noise", "cleaned by", "SI-SDR, dB", "ESTOI",
        "DNSMOS speech", "DNSMOS background", "DNSMOS overall",
    )  # fmt: skip
    return (
        "Means over scenes of ten seconds; high-pass and noise suppression alone, no gain "
        "control.\n\n![DNSMOS by ratio](noise.svg)\n\n" + table(head, rows)
    )
