"""The picture of the whole run: states, people, sounds, what the cleaner says, marks: one axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harken_hil.report.markup import Markup, join, tag
from harken_hil.report.scale import LEFT, RIGHT, WIDTH, TimeScale, outline, peak_dbfs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harken_hil.report.content import Curve, Mark, Report, Span

_AXIS, _STATES, _PEOPLE = 18.0, 22.0, 22.0
_WAVE, _GAP = 104.0, 12.0
_CURVE = 44.0
_GLYPHS = {"wake": "▼", "abort": "✕", "speech": "●"}
# What fits in a band: pixels a character of the labels takes.
_CHARACTER = 6.4


def overview(report: Report) -> Markup:
    """The run from the first sample to the last."""
    scale = TimeScale(0, len(report.microphone))
    sounds = _sounds(report)
    waves = len(sounds) * (_WAVE + _GAP) - _GAP
    curves = len(report.curves) * (_CURVE + _GAP)
    bottom = _AXIS + _STATES + _PEOPLE + waves + 2.5 * _GAP + 6 + curves
    parts = [axis(scale, bottom)]
    top = _AXIS + 6
    parts += [lane_label("device", top + 15), bands(report.states, scale, top, _STATES, "state")]
    top += _STATES + _GAP / 2
    parts += [lane_label("talker", top + 15), bands(report.talking, scale, top, _PEOPLE, "talk")]
    top += _PEOPLE + _GAP / 2
    for number, (name, samples) in enumerate(sounds):
        parts.append(wave(name, samples, scale, top + number * (_WAVE + _GAP), _WAVE))
    for number, shown in enumerate(report.curves):
        parts.append(curve(shown, scale, top + waves + _GAP + number * (_CURVE + _GAP), _CURVE))
    parts.append(_marks(report.marks, scale, top, top + waves + curves))
    parts.append(playhead(bottom))
    return picture(
        scale,
        bottom + 4,
        "The whole run",
        "States of the device, who talked when, the waveforms of microphone and loudspeaker, what "
        "the device's cleaner made of the first and said of itself, and marks; the table of marks "
        "below says the same in words.",
        *parts,
    )


def _sounds(report: Report) -> list[tuple[str, NDArray[np.int16]]]:
    cleaned = [("cleaned", report.cleaned)] if report.cleaned is not None else []
    return [("microphone", report.microphone), *cleaned, ("loudspeaker", report.loudspeaker)]


def picture(
    scale: TimeScale, height: float, title: str, description: str, *parts: Markup
) -> Markup:
    """An SVG that the page's players can move a playhead in."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        *parts,
        class_="signals",
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        role="img",
        data_start=scale.start,
        data_end=scale.end,
        data_left=LEFT,
        data_right=RIGHT,
    )


def axis(scale: TimeScale, bottom: float, about: int = 12) -> Markup:
    """Round moments along the top, with lines down to `bottom`."""
    parts: list[Markup] = []
    for sample, label in scale.ticks(about):
        x = scale.x(sample)
        parts.append(tag("line", class_="grid", x1=x, x2=x, y1=_AXIS, y2=bottom))
        # A label in the middle of the last line would be cut off at the picture's edge.
        anchor = "middle" if x < RIGHT - 8 else "end"
        parts.append(tag("text", label, class_="tick", x=x, y=12, text_anchor=anchor))
    return tag("g", *parts)


def lane_label(name: str, y: float, detail: str = "") -> Markup:
    """The name of a lane, left of it."""
    parts = [tag("text", name, class_="lane", x=LEFT - 10, y=y, text_anchor="end")]
    if detail:
        parts.append(tag("text", detail, class_="tick", x=LEFT - 10, y=y + 15, text_anchor="end"))
    return join(*parts)


def bands(spans: Sequence[Span], scale: TimeScale, top: float, height: float, kind: str) -> Markup:
    """Things that lasted, as boxes with their label where it fits."""
    parts: list[Markup] = []
    for span in spans:
        if span.end <= scale.start or span.start >= scale.end:
            continue
        left, right = scale.x(span.start), scale.x(span.end)
        box = [
            tag("title", span.label),
            tag("rect", x=left, y=top, width=max(1.0, right - left), height=height, rx=4),
        ]
        room = int((right - left - 8) / _CHARACTER)
        if height > 12 and room >= 3:
            label = span.label if len(span.label) <= room else span.label[: room - 1] + "…"
            box.append(tag("text", label, x=left + 6, y=top + height / 2 + 4))
        parts.append(tag("g", *box, class_=f"band {kind} {kind}-{_word(span.label)}"))
    return tag("g", *parts)


def _word(label: str) -> str:
    first = label.split(maxsplit=1)[0].lower() if label.split() else ""
    return first if first.isascii() and first.isalnum() else "other"


def wave(
    name: str, samples: NDArray[np.int16], scale: TimeScale, top: float, height: float
) -> Markup:
    """A waveform with its name and the level of its loudest sample."""
    shown = samples[max(0, scale.start) : max(0, scale.end)]
    return tag(
        "g",
        lane_label(name, top + height / 2, f"peak {peak_dbfs(shown):.0f} dBFS"),
        tag("rect", class_="bed", x=LEFT, y=top, width=RIGHT - LEFT, height=height, rx=6),
        tag("path", class_=f"wave {name}", d=outline(samples, scale, top, height)),
    )


def curve(shown: Curve, scale: TimeScale, top: float, height: float) -> Markup:
    """A figure over time, as a line that keeps a value until the next."""
    low, high = shown.range
    inside = np.clip((shown.values - low) / (high - low), 0, 1)
    points: list[str] = []
    for sample, share in zip(shown.samples, inside, strict=True):
        y = top + height - 3 - share * (height - 6)
        points.append(f"{scale.x(float(sample)):.1f},{y:.1f}")
    return tag(
        "g",
        lane_label(shown.name, top + height / 2, f"{low:g} to {high:g} {shown.unit}"),
        tag("rect", class_="bed", x=LEFT, y=top, width=RIGHT - LEFT, height=height, rx=6),
        tag("path", class_="curve", d="M" + "L".join(points)) if points else Markup(),
    )


def _marks(marks: Sequence[Mark], scale: TimeScale, top: float, bottom: float) -> Markup:
    parts: list[Markup] = []
    for mark in marks:
        if not scale.shows(mark.sample):
            continue
        x = scale.x(mark.sample)
        line = [
            tag("title", f"{mark.name} {mark.detail}".strip()),
            tag("line", x1=x, x2=x, y1=top, y2=bottom),
        ]
        if mark.kind in _GLYPHS:
            glyph = _GLYPHS[mark.kind]
            line.append(tag("text", glyph, x=x, y=top - 1, text_anchor="middle"))
        parts.append(tag("g", *line, class_=f"mark {mark.kind}"))
    return tag("g", *parts)


def playhead(bottom: float) -> Markup:
    """The line that the page's script moves while something is played."""
    return tag(
        "line", class_="playhead", x1=LEFT, x2=LEFT, y1=_AXIS, y2=bottom, visibility="hidden"
    )
