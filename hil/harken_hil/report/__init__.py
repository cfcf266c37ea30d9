"""One HTML file that shows what happened in a run; it needs no network to be opened."""

from harken_hil.report.content import (
    Curve,
    Figure,
    Line,
    Mark,
    Report,
    Span,
    Stage,
    Turn,
    Verdict,
)
from harken_hil.report.page import render

__all__ = [
    "Curve",
    "Figure",
    "Line",
    "Mark",
    "Report",
    "Span",
    "Stage",
    "Turn",
    "Verdict",
    "render",
]
