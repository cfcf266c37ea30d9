"""`harken models train-wake`: a wake word of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from harken_models.train.finishing import train_into

if TYPE_CHECKING:
    from harken_models.train.wake_recipe import Recipe

__all__ = ["train_wake"]

_OPTION = click.option  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


@click.command("train-wake")
@click.argument("phrase")  # pyright: ignore[reportUnknownMemberType]
@_OPTION(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path(),
    show_default="here", help="Folder for model, manifest, card and picture.",
)  # fmt: skip
@_OPTION(
    "--work", type=click.Path(path_type=Path, file_okay=False),
    help="Folder of finished stages; a run that was interrupted goes on from there. "
    "[default: OUT/NAME.work]",
)  # fmt: skip
@_OPTION("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of all chance.")
@_OPTION(
    "--hours", type=click.FloatRange(0.1, 200), default=6.0, show_default=True,
    help="Hours without the phrase to count false accepts in.",
)  # fmt: skip
@_OPTION(
    "--false-a-day", type=click.FloatRange(0), default=1.0, show_default=True,
    help="False accepts that the cut-off may allow, e.g. 24 for a word that is only listened for "
    "while the device speaks.",
)  # fmt: skip
@_OPTION("--miniature", is_flag=True, help="See in a minute that all works; the model is useless.")
@_OPTION("--json", "as_json", is_flag=True, help="Print what was measured as JSON; no progress.")
def train_wake(
    *,
    phrase: str,
    out: Path,
    work: Path | None,
    seed: int,
    hours: float,
    false_a_day: float,
    miniature: bool,
    as_json: bool,
) -> None:
    """Train a wake word for PHRASE, e.g. "hey robo", from synthetic voices.

    Makes them say it and what sounds like it, in simulated rooms with noise, music and echo; trains
    a streaming int8 network on that; holds it against TensorFlow Lite Micro; measures it on voices
    and people it never heard. Writes NAME.tflite with its ESPHome manifest NAME.json, the packed
    NAME.hkm, and the model card NAME.md.

    Takes about a quarter of an hour on two cores. Needs the dependency group `train`.
    """
    from harken_models.train.phrase import checked_phrase, model_name
    from harken_models.train.wake_recipe import Recipe

    checked = checked_phrase(phrase)
    _look_for_all(quiet=as_json)
    recipe = Recipe(checked, seed=seed, test_hours=hours, accepts_a_day=false_a_day)
    if miniature:
        recipe = recipe.miniature()
    folder = work or out / f"{model_name(recipe.phrase)}.work"
    train_into(out, folder, lambda: _trained(recipe, out, folder, quiet=as_json), as_json=as_json)


def _look_for_all(*, quiet: bool) -> None:
    """Say what is missing now, and not after minutes; fewer voices are no error."""
    from harken_models.measure.needs import TRAINING_WORDS
    from harken_models.train.voices import installed_voices, missing_voices

    TRAINING_WORDS.check("training a wake word")
    voices, missing = installed_voices(), missing_voices()
    if missing and not quiet:
        click.echo(
            f"only {len(voices)} voices are installed; more of them make a better model: "
            + "; ".join(missing),
            err=True,
        )


def _trained(recipe: Recipe, out: Path, folder: Path, *, quiet: bool) -> list[Path]:
    from harken_models.train.progress import Progress
    from harken_models.train.wake import train
    from harken_models.train.wake_card import write_files
    from harken_models.train.wake_results import measure

    progress = Progress(quiet=quiet)
    trained = train(recipe, folder, progress)
    with progress.showing("measuring") as report:
        results = measure(recipe, trained, report)
    return write_files(out, recipe, trained, results)
