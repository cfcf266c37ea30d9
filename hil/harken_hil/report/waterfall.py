"""The picture of one turn: its waveforms and, on the same axis, where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harken_hil.report.markup import Markup, join, tag
from harken_hil.report.scale import RATE, RIGHT, TimeScale
from harken_hil.report.signals import axis, bands, lane_label, picture, playhead, wave

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harken_hil.report.content import Mark, Report, Stage, Turn

_TOP, _WAVE, _GAP = 24.0, 72.0, 8.0
_BAR, _FLAG = 22.0, 15.0
_BEFORE_S, _AFTER_S = 0.6, 0.7
_FLAG_CHARACTER = 6.9


def turn_scale(report: Report, turn: Turn) -> TimeScale:
    """From shortly before the end of the question to shortly after the answer began."""
    asked = turn.question.end
    last = turn.answered.start if turn.answered is not None else asked + 2 * RATE
    end = min(len(report.microphone), last + round(_AFTER_S * RATE))
    return TimeScale(max(0, asked - round(_BEFORE_S * RATE)), max(end, asked + RATE // 2), asked)


def waterfall(report: Report, turn: Turn, number: int) -> Markup:
    """Waveforms, marks and stages around the moment in which the answer was found."""
    scale = turn_scale(report, turn)
    shown = [mark for mark in turn.marks if scale.shows(mark.sample)]
    rows = _rows(shown, scale)
    flags_top = _TOP + 2 * _WAVE + 2 * _GAP
    bars_top = flags_top + (max(rows, default=-1) + 1) * _FLAG + _GAP
    bottom = bars_top + len(turn.stages) * (_BAR + 4) + 16
    parts = [
        axis(scale, bottom, about=14),
        wave("microphone", report.microphone, scale, _TOP, _WAVE),
        wave("loudspeaker", report.loudspeaker, scale, _TOP + _WAVE + _GAP, _WAVE),
        _goal(report.goal_ms, scale, bottom),
        _flags(shown, rows, scale, flags_top, bottom),
        bands((turn.question,), scale, _TOP, 4, "talk"),
        *(_bar(stage, scale, bars_top + i * (_BAR + 4)) for i, stage in enumerate(turn.stages)),
        playhead(bottom),
    ]
    return picture(
        scale,
        bottom + 4,
        f"Turn {number}: from the end of the question to the first sound of the answer",
        "; ".join(
            f"{stage.label}: {stage.end_ms - stage.start_ms:.0f} ms" for stage in turn.stages
        ),
        *parts,
    )


def _rows(marks: Sequence[Mark], scale: TimeScale) -> list[int]:
    """A row for each flag such that none covers another."""
    free: list[float] = []
    rows: list[int] = []
    for mark in marks:
        left = scale.x(mark.sample)
        row = next((i for i, edge in enumerate(free) if edge <= left), len(free))
        if row == len(free):
            free.append(0.0)
        free[row] = left + len(mark.name) * _FLAG_CHARACTER + 22
        rows.append(row)
    return rows


def _flags(
    marks: Sequence[Mark], rows: Sequence[int], scale: TimeScale, top: float, bottom: float
) -> Markup:
    parts: list[Markup] = []
    for mark, row in zip(marks, rows, strict=True):
        x, y = scale.x(mark.sample), top + row * _FLAG
        # A flag near the right edge would be cut off there: it hangs to the left instead.
        turned = x + len(mark.name) * _FLAG_CHARACTER + 14 > RIGHT
        label = tag(
            "text",
            mark.name,
            x=x - 7 if turned else x + 7,
            y=y + 11,
            text_anchor="end" if turned else "start",
        )
        parts.append(
            tag(
                "g",
                tag("title", f"{mark.name} {mark.detail}".strip()),
                tag("line", x1=x, x2=x, y1=_TOP, y2=bottom),
                tag("circle", cx=x, cy=y + 7, r=3.5),
                label,
                class_=f"mark {mark.kind}",
            )
        )
    return tag("g", *parts)


def _bar(stage: Stage, scale: TimeScale, top: float) -> Markup:
    left = scale.x(scale.zero + stage.start_ms * RATE / 1000)
    right = scale.x(scale.zero + stage.end_ms * RATE / 1000)
    length = f"{stage.end_ms - stage.start_ms:.0f} ms"
    fits = right + 64 < RIGHT
    return join(
        lane_label(stage.label, top + _BAR / 2 + 4),
        tag(
            "g",
            tag("title", f"{stage.label}: {length}"),
            tag("rect", x=left, y=top, width=max(2.0, right - left), height=_BAR, rx=4),
            tag(
                "text",
                length,
                x=right + 6 if fits else left - 6,
                y=top + _BAR / 2 + 4,
                text_anchor="start" if fits else "end",
            ),
            class_=f"bar {stage.kind}",
        ),
    )


def _goal(goal_ms: float, scale: TimeScale, bottom: float) -> Markup:
    sample = scale.zero + goal_ms * RATE / 1000
    if not scale.shows(sample):
        return Markup()
    x = scale.x(sample)
    return tag(
        "g",
        tag("line", x1=x, x2=x, y1=_TOP, y2=bottom),
        tag("text", f"goal {goal_ms:g} ms", x=x + 5, y=bottom - 2),
        class_="goal",
    )
