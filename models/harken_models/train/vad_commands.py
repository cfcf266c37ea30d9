"""`harken models train-vad` and `train-noise`: the device's own two models, made anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from harken_models.train.finishing import train_into

if TYPE_CHECKING:
    from collections.abc import Callable

    from harken_models.train.vad import Recipe

__all__ = ["train_noise", "train_vad"]

_OPTION = click.option  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """What both commands take."""
    for option in (
        _OPTION("--json", "as_json", is_flag=True, help="Print what was measured as JSON."),
        _OPTION("--miniature", is_flag=True, help="See in a minute that all works."),
        _OPTION(
            "--seed", type=click.IntRange(0), default=1, show_default=True, help="Of all chance."
        ),
        _OPTION(
            "--work",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder of finished stages; both models share the scenes in it, and a run that "
            "was interrupted goes on from there.  [default: OUT/hearing.work]",
        ),
        _OPTION(
            "--out",
            type=click.Path(path_type=Path, file_okay=False),
            default=Path(),
            show_default="here",
            help="Folder for model, manifest, card and picture.",
        ),
    ):
        command = option(command)
    return command


@click.command("train-vad")
@_options
def train_vad(*, out: Path, work: Path | None, seed: int, miniature: bool, as_json: bool) -> None:
    """Train the voice activity model on the installed recordings of people.

    Puts talkers into rooms, noise and music; trains a streaming int8 network on where the clean
    recordings hold speech; holds it against TensorFlow Lite Micro; measures it beside Silero's and
    WebRTC's on talkers it never heard. Writes vad.tflite, its manifest, vad.hkm and vad.md.

    Takes about a quarter of an hour on two cores. Needs the dependency groups `train`, `measure`.
    """
    _run(_trained_vad, out, work, seed, miniature=miniature, as_json=as_json)


@click.command("train-noise")
@_options
def train_noise(*, out: Path, work: Path | None, seed: int, miniature: bool, as_json: bool) -> None:
    """Train the model that suppresses noise, on the same scenes as `train-vad`.

    Measures it beside the statistical suppressor. Writes noise.tflite, its manifest, noise.hkm and
    noise.md.

    Takes about a quarter of an hour on two cores. Needs the dependency groups `train`, `measure`.
    """
    _run(_trained_noise, out, work, seed, miniature=miniature, as_json=as_json)


def _run(
    trained: Callable[[Path, Path, Recipe, bool], list[Path]],
    out: Path,
    work: Path | None,
    seed: int,
    *,
    miniature: bool,
    as_json: bool,
) -> None:
    from harken_models.measure.needs import TRAINING

    TRAINING.check("training")

    from harken_models.train.vad import Recipe

    recipe = Recipe(seed=seed).miniature() if miniature else Recipe(seed=seed)
    folder = work or out / "hearing.work"
    train_into(out, folder, lambda: trained(out, folder, recipe, as_json), as_json=as_json)


def _trained_vad(out: Path, folder: Path, recipe: Recipe, quiet: bool) -> list[Path]:
    from harken_models.measure.detectors import EnergyVad, ModelVad, SileroDetector, WebRtcVad
    from harken_models.measure.needs import VAD
    from harken_models.measure.vad_accuracy import measure_vad
    from harken_models.train.progress import Progress
    from harken_models.train.vad import train_vad as train
    from harken_models.train.vad_card import write_vad

    # What cannot be compared with is found missing now, not after a quarter of an hour.
    VAD.check("judging the voice activity model")
    rivals = (EnergyVad(), SileroDetector(), WebRtcVad())
    progress = Progress(quiet=quiet)
    trained = train(folder, recipe, progress)
    found = measure_vad([ModelVad(trained.packed), *rivals], progress, quick=recipe.small)
    return write_vad(out, recipe, trained, found)


def _trained_noise(out: Path, folder: Path, recipe: Recipe, quiet: bool) -> list[Path]:
    from harken_models.measure.needs import NOISE
    from harken_models.train.noise_card import write_noise
    from harken_models.train.noise_judge import judge_noise
    from harken_models.train.noise_net import train_noise as train
    from harken_models.train.progress import Progress

    # Now, and not after a quarter of an hour of training.
    NOISE.check("judging the noise model")
    progress = Progress(quiet=quiet)
    trained = train(folder, recipe, progress)
    with progress.showing("measuring") as report:
        cleaned = judge_noise(trained.packed, report, scenes=1 if recipe.small else 10)
    return write_noise(out, recipe, trained, cleaned)
