"""Model cards: what a model is, on what data it was judged, and what it is not (Markdown).

After Mitchell et al., "Model cards for model reporting", 2019.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Section", "draw_curves", "table", "write_card"]


@dataclass(frozen=True)
class Section:
    """A heading and the Markdown under it."""

    heading: str
    text: str


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def write_card(path: Path, title: str, intro: str, sections: Sequence[Section]) -> None:
    """Write a card: a title, what it is in a sentence or two, then the sections."""
    parts = [f"# {title}", intro, *(f"## {each.heading}\n\n{each.text}" for each in sections)]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def draw_curves(
    path: Path,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    axes: tuple[str, str],
    title: str,
    *,
    log_x: bool = False,
    points: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Draw curves as SVG and PNG, the same bytes for the same numbers.

    Args:
        path: without suffix.
        curves: x and y of each, by label.
        axes: labels of x and y.
        title: above the picture.
        log_x: logarithmic in x, linear near nought.
        points: single marked points, by label.
    """
    matplotlib: Any = importlib.import_module("matplotlib")
    figures: Any = importlib.import_module("matplotlib.figure")
    with matplotlib.rc_context({"svg.hashsalt": "harken", "svg.fonttype": "path"}):
        figure = figures.Figure(figsize=(6.4, 4.4), layout="constrained")
        plot = figure.subplots()
        for label, (xs, ys) in curves.items():
            plot.plot(xs, ys, label=label)
        for label, (x, y) in (points or {}).items():
            plot.plot([x], [y], "o", label=label)
        if log_x:
            plot.set_xscale("symlog", linthresh=0.1)
        plot.set_xlabel(axes[0])
        plot.set_ylabel(axes[1])
        plot.set_title(title)
        plot.grid(visible=True, alpha=0.3)
        plot.legend(fontsize="small")
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(path.with_suffix(".png"), dpi=110, metadata={"Software": None})
