"""A wake word's files: model, manifest, packed model, card and picture."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from harken_models.scenes import corpora
from harken_models.train.card import Section, draw_curves, table, write_card
from harken_models.train.check import arena_size
from harken_models.train.phrase import model_name
from harken_models.train.voices import installed_voices, part_of
from harken_models.train.wake_recipe import WINDOW

if TYPE_CHECKING:
    from pathlib import Path

    from harken_models.train.voices import Part
    from harken_models.train.wake import Trained
    from harken_models.train.wake_recipe import Recipe
    from harken_models.train.wake_results import Results

__all__ = ["write_files"]

_MOST_ALIKE = 20
_LICENCES = (
    ("Piper, voice en_US-joe-medium", "voice data CC0-1.0; the program GPL-3.0"),
    ("flite: kal16, awb, rms, slt", "MIT-like (CMU)"),
    ("festival: kal, ked (diphones), slt (HTS)", "MIT-like (CSTR, CMU)"),
    ("festival: lp, pc (Italian); ph, dita, krb, machac (Czech)", "GPL-2.0-or-later"),
    ("festival: lj, mv (Finnish)", "LGPL-2.1-or-later"),
    ("SVOX Pico: en-US, en-GB, de-DE, it-IT", "Apache-2.0"),
    ("espeak-ng", "GPL-3.0 (the program; its output is nobody's)"),
)


def write_files(folder: Path, recipe: Recipe, trained: Trained, results: Results) -> list[Path]:
    """Write NAME.tflite, .json (ESPHome's manifest), .hkm, .md, .svg, .png and .results.json."""
    name = model_name(recipe.phrase)
    path = folder / name
    path.with_suffix(".tflite").write_bytes(trained.model)
    path.with_suffix(".hkm").write_bytes(trained.packed)
    manifest = json.dumps(_manifest(recipe, trained, results, name), indent=2)
    path.with_suffix(".json").write_text(manifest + "\n", encoding="utf-8")
    measured = msgspec.json.format(msgspec.json.encode(results))
    (folder / f"{name}.results.json").write_bytes(measured + b"\n")
    _draw(path, recipe, results)
    _write_card(path.with_suffix(".md"), recipe, trained, results, name)
    endings = (".tflite", ".json", ".hkm", ".md", ".svg", ".png", ".results.json")
    return [folder / f"{name}{ending}" for ending in endings]


def _manifest(recipe: Recipe, trained: Trained, results: Results, name: str) -> dict[str, object]:
    """ESPHome's `micro_wake_word` manifest, version 2."""
    return {
        "type": "micro",
        "wake_word": recipe.phrase.title(),
        "author": "Harken",
        "website": "",
        "model": f"{name}.tflite",
        "trained_languages": ["en"],
        "version": 2,
        "micro": {
            "probability_cutoff": results.cutoff,
            "feature_step_size": 10,
            "sliding_window_size": WINDOW,
            "tensor_arena_size": arena_size(trained.model),
            "minimum_esphome_version": "2024.7.0",
        },
    }


def _draw(path: Path, recipe: Recipe, results: Results) -> None:
    at = results.cutoffs.index(results.cutoff)
    accepts = results.accepts_an_hour
    draw_curves(
        path,
        {
            "voices made from people": (accepts, results.recall_natural),
            "formant voices": (accepts, results.recall_formant),
        },
        ("false accepts an hour", "share heard"),
        f"“{recipe.phrase}”: cut-off 0.50 to 0.99, {results.hours:.1f} h without the phrase",
        log_x=True,
        points={f"cut-off {results.cutoff:.2f}": (accepts[at], results.recall_natural[at])},
    )


def _write_card(path: Path, recipe: Recipe, trained: Trained, results: Results, name: str) -> None:
    natural = results.recall("flite", "festival", "pico", "piper")
    intro = (
        f"Wakes a device at “{recipe.phrase}” (English). An int8 streaming network that hears "
        f"1.6 s and answers every 30 ms; it runs on Harken's engine and, with its manifest, as an "
        f"ESPHome `micro_wake_word` model."
    )
    sections = [
        Section("In short", _in_short(results, natural)),
        Section("Heard against wrongly heard", f"![Share heard by false accepts]({name}.svg)"),
        Section("Recall by voice", _voices(results)),
        Section("False accepts", _accepts(results)),
        Section("What sounds alike", _alike(results)),
        Section("Data and licences", _data(recipe)),
        Section("Limits", _limits(results)),
        Section("Made by", _made_by(recipe, trained, results)),
    ]
    write_card(path, f"Wake word “{recipe.phrase}”", intro, sections)


def _in_short(results: Results, natural: float) -> str:
    rows = [
        ("cut-off", f"{results.cutoff:.2f} (mean of {WINDOW} probabilities)"),
        ("recall, held-out voices made from people", f"{natural:.1%}"),
        ("recall, held-out formant voices", f"{results.recall('espeak-ng'):.1%}"),
        ("false accepts", f"{results.count} in {results.hours:.1f} h"),
        ("multiply-accumulates", f"{results.macs:,} a step of 30 ms"),
        ("size", f"{results.model_bytes:,} B `.tflite`, {results.packed_bytes:,} B packed"),
        ("state", f"{results.state_bytes:,} B on Harken's engine"),
        ("TensorFlow Lite Micro", f"0 of {results.checked_steps:,} steps differ"),
    ]
    return table(("", ""), rows)


def _voices(results: Results) -> str:
    rows = [
        (each.engine, each.voice, each.scenes, f"{each.heard / each.scenes:.1%}")
        for each in results.voices
    ]
    return (
        "Voices that were never trained on, each rendition in several simulated rooms with noise, "
        "music, other talkers or what is left of an echo.\n\n"
        + table(("engine", "voice", "scenes", "heard"), rows)
    )


def _accepts(results: Results) -> str:
    rows = [(each.what, f"{each.hours:.2f}", each.count) for each in results.accepts]
    chosen = results.validation
    return (
        f"At cut-off {results.cutoff:.2f}, which was chosen on other talkers, voices and music: "
        f"{chosen.count} false accepts in {chosen.hours:.1f} h.\n\n"
        + table(("without the phrase", "hours", "false accepts"), rows)
    )


def _alike(results: Results) -> str:
    rows = [
        (each.text, "yes" if each.trained else "no", each.scenes, each.taken)
        for each in results.alike[:_MOST_ALIKE]
    ]
    taken = sum(each.taken for each in results.alike)
    scenes = sum(each.scenes for each in results.alike)
    return (
        f"{len(results.alike)} phrases near it in sound, said by held-out voices: taken for it in "
        f"{taken} of {scenes} scenes. Those taken most often:\n\n"
        + table(("phrase", "in training", "scenes", "taken for it"), rows)
    )


def _data(recipe: Recipe) -> str:
    voices = installed_voices()
    parts: tuple[tuple[Part, str], ...] = (
        ("train", "training"),
        ("validation", "the cut-off"),
        ("test", "tests"),
    )
    counts = ", ".join(
        f"{sum(part_of(voice) == part for voice in voices)} for {use}" for part, use in parts
    )
    lines = [f"- {who}: {licence}" for who, licence in _LICENCES]
    people: list[tuple[str, str]] = sorted(
        {(each.source, each.licence) for split in _SPLITS for each in corpora.talkers(split)}
    )
    lines += [f"- people: {source}: {licence}" for source, licence in people]
    lines.append("- music: asterisk-moh-opsound-g722: CC-BY-SA-3.0; noise: synthetic")
    return (
        f"The phrase: {len(voices)} synthetic voices ({counts}); of each voice that a person was "
        f"recorded for, {recipe.natural} renditions. Talkers, voices and pieces of music of the "
        "three parts are different ones.\n\n" + "\n".join(lines)
    )


_SPLITS: tuple[corpora.Split, ...] = ("train", "test")


def _limits(results: Results) -> str:
    return (
        "- No person says the phrase in any of this: there is no such recording in a package. "
        "How well people are heard is not known.\n"
        f"- {results.hours:.1f} hours cannot show how rare a false accept a day is. Many of them "
        "are the same recordings in other rooms and noise.\n"
        "- Rooms, echo residue and noise (but babble) are simulated. One English accent or "
        "another was tried only as far as the voices above have it.\n"
        "- Children, whispering and shouting were not tried."
    )


def _made_by(recipe: Recipe, trained: Trained, results: Results) -> str:
    settings = json.dumps(recipe.part(*type(recipe).__dataclass_fields__), sort_keys=True)
    steps = sum(len(round_) for round_ in trained.losses)
    stages = ", ".join(f"{name} {seconds:.0f}" for name, seconds in results.seconds.items())
    return (
        f'`harken models train-wake "{recipe.phrase}"`, Harken {version("harken")}, TensorFlow '
        f"{version('tensorflow-cpu')}; {steps:,} batches, the second round with "
        f"false accepts of the first among them. It took {sum(results.seconds.values()) / 60:.0f} "
        f"minutes on {results.cores} cores, and measuring a little more (seconds: {stages}). "
        f"Settings: `{settings}`"
    )
