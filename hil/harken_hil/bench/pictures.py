"""Pictures and tables of `docs/explanation/how-well-it-hears.md`, from what the benches wrote.

    python -m harken_hil.bench.pictures runs/hearing docs/explanation

takes `echo.json`, `vad.json`, `wake-accuracy.json` and `device.json` of the first folder (those
that are there), draws into the second, and fills the tables of the page between its marks.
`make hearing` does it all. The same figures give the same bytes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harken.errors import HarkenError
from harken_hil.bench.hearing_tables import (
    device_table,
    echo_table,
    filled,
    goal_table,
    talker_table,
    vad_table,
    wake_table,
)
from harken_models.measure.needs import PICTURES
from harken_models.train.card import draw_curves

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    Row = Mapping[str, Any]

__all__ = ["draw", "draw_echo", "main"]

_PAGE: Final = "how-well-it-hears.md"
_SHOWN: Final = {
    "harken": "#c2410c",
    "WebRTC AEC3": "#2563eb",
    "SpeexDSP": "#059669",
    "perfect": "#6b7280",
}
_MARKS: Final = {"harken": "o", "WebRTC AEC3": "s", "SpeexDSP": "^", "perfect": "x"}


def draw(results: Path, docs: Path) -> list[Path]:
    """Draw every picture for which there are figures, and fill the page's tables.

    Args:
        results: folder of the benches' JSON files.
        docs: folder of the page; pictures go beside it.

    Returns:
        What was written.

    Raises:
        StartError: what draws, or recordings of whose talkers there is a table, are not installed.
    """
    PICTURES.check("drawing what the benches found")
    found = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(results.glob("*.json"))
    }
    written: list[Path] = []
    tables = {f"goals of {name}": goal_table(result) for name, result in found.items()}
    tables["talkers"] = talker_table()
    if "echo" in found:
        rows = found["echo"]["data"]["scenes"]
        written += draw_echo(rows, docs)
        tables["echo"] = echo_table(found["echo"])
    if "vad" in found:
        written.append(_vad(found["vad"]["data"]["roc"], docs))
        tables["vad"] = vad_table(found["vad"])
    if "wake-accuracy" in found:
        written.append(_wake(found["wake-accuracy"]["data"]["models"], docs))
        tables["wake"] = wake_table(found["wake-accuracy"])
    if "device" in found:
        tables["device"] = device_table(found["device"])
    page = docs / _PAGE
    page.write_text(filled(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
    return [*written, page]


def draw_echo(rows: Sequence[Row], docs: Path) -> list[Path]:
    """The pictures of the scenes of `harken bench echo`; returns what was written."""
    return [_erle(rows, docs), _mos(rows, docs)]


@contextmanager
def _figure(path: Path, columns: int) -> Generator[Any]:
    """A row of plots, saved as SVG with the same bytes for the same numbers."""
    matplotlib: Any = importlib.import_module("matplotlib")
    figures: Any = importlib.import_module("matplotlib.figure")
    with matplotlib.rc_context({"svg.hashsalt": "harken", "svg.fonttype": "path"}):
        figure = figures.Figure(figsize=(4.6 * columns, 3.8), layout="constrained")
        yield figure.subplots(1, columns)
        figure.savefig(path, metadata={"Date": None})


def _erle(rows: Sequence[Row], docs: Path) -> Path:
    """Echo taken away, over delay, distortion and reverberation."""
    path = docs / "echo-erle.svg"
    with _figure(path, 3) as plots:
        for plot, key, label in (
            (plots[0], "delay_ms", "delay of the echo, ms"),
            (plots[1], "distortion", "distortion of the loudspeaker, 0..1"),
        ):
            for name, colour in _SHOWN.items():
                if name == "perfect":
                    continue
                xs = sorted({row[key] for row in rows})
                ys = [_mean(rows, name, "converged_db", key, x) for x in xs]
                plot.plot(xs, ys, _MARKS[name] + "-", color=colour, label=name)
            plot.set_xlabel(label)
        for name, colour in _SHOWN.items():
            mine = [row for row in rows if row["canceller"] == name and name != "perfect"]
            plots[2].plot(
                [row["rt60_s"] for row in mine],
                [row["converged_db"] for row in mine],
                _MARKS[name],
                color=colour,
                alpha=0.5,
                markersize=4,
            )
        plots[2].set_xlabel("reverberation of the room, s")
        plots[0].set_ylabel("ERLE once converged, dB")
        plots[0].legend(fontsize="small")
        for plot in plots:
            plot.grid(visible=True, alpha=0.3)
            plot.set_ylim(bottom=0)
    return path


def _mean(rows: Sequence[Row], name: str, key: str, by: str, value: float) -> float:
    return statistics.fmean(
        row[key] for row in rows if row["canceller"] == name and row[by] == value
    )


def _mos(rows: Sequence[Row], docs: Path) -> Path:
    """What listeners would say while both talk: echo against everything else, a dot a scene."""
    path = docs / "echo-aecmos.svg"
    with _figure(path, 1) as plot:
        for name, colour in _SHOWN.items():
            mine = [row for row in rows if row["canceller"] == name]
            other = [row["both_other"] for row in mine]
            echo = [row["both_echo"] for row in mine]
            plot.plot(other, echo, _MARKS[name], color=colour, alpha=0.35, markersize=4)
            mean = ([statistics.fmean(other)], [statistics.fmean(echo)])
            plot.plot(*mean, _MARKS[name], color=colour, markersize=11, label=f"{name}, mean")
        plot.axhline(4.4, color="#111", linewidth=0.6, linestyle=":")
        plot.axvline(4.2, color="#111", linewidth=0.6, linestyle=":")
        plot.set_xlabel("AECMOS: nothing else is harmed")
        plot.set_ylabel("AECMOS: no echo is heard")
        plot.grid(visible=True, alpha=0.3)
        plot.legend(fontsize="small")
    return path


def _vad(curves: Mapping[str, Row], docs: Path) -> Path:
    axes = ("share of hops without speech taken for speech", "share of speech found")
    drawn = {name: (curve["false alarms"], curve["hits"]) for name, curve in curves.items()}
    draw_curves(docs / "vad-roc", drawn, axes, "Speech or not: one threshold for all streams")
    (docs / "vad-roc.png").unlink()
    return docs / "vad-roc.svg"


def _wake(models: Mapping[str, Row], docs: Path) -> Path:
    drawn = {
        model["phrase"]: (model["curve"]["false accepts an hour"], model["curve"]["recall"])
        for model in models.values()
    }
    axes = ("false accepts an hour of human speech and music", "share of phrases heard")
    draw_curves(docs / "wake-roc", drawn, axes, "Natural synthetic voices, held out", log_x=True)
    (docs / "wake-roc.png").unlink()
    return docs / "wake-roc.svg"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the docs.")
    parser.add_argument("results", type=Path, help="folder of the benches' JSON")
    parser.add_argument("docs", type=Path, help="folder of the page")
    given = parser.parse_args()
    try:
        for path in draw(given.results, given.docs):
            print(path)
    except HarkenError as error:
        sys.exit(f"{error}: {error.hint}")


if __name__ == "__main__":
    main()
