"""Puts the page together: one file, nothing loaded from anywhere, nothing allowed to be."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from harken_hil.report.markup import Markup, join, tag
from harken_hil.report.ogg import opus_file
from harken_hil.report.scale import RATE
from harken_hil.report.signals import overview
from harken_hil.report.waterfall import turn_scale, waterfall

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harken_hil.report.content import Report, Turn

_LEGEND = (
    ("device", "device"),
    ("network", "link"),
    ("gateway", "gateway"),
    ("stt", "speech to text"),
    ("llm", "language model"),
    ("tts", "text to speech"),
    ("wake", "wake word"),
    ("speech", "speech"),
    ("abort", "interruption"),
)


def render(report: Report) -> str:
    """The whole page.

    Every text in `report` is escaped. The page's own policy forbids it to load anything and to
    run any script but its own.
    """
    style, script = (Markup(_asset(name)) for name in ("report.css", "report.js"))
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "media-src data:; img-src data:; base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{report.title} · Harken"),
        tag("style", style),
    )
    body = tag(
        "body",
        tag("a", "Skip to the signals", class_="skip", href="#signals"),
        _header(report),
        tag(
            "main",
            _verdicts(report),
            _figures(report),
            _conversation(report),
            _signals(report),
            *(_turn(report, turn, number) for number, turn in enumerate(report.turns, 1)),
            _facts(report),
            _log(report),
        ),
        tag(
            "footer",
            tag(
                "p",
                "The firmware, the gateway, the protocol, the codecs and the models in this run "
                "are the real ones. The room, the talker's way to the microphone, the "
                "loudspeaker's way back into it and the network between device and gateway "
                "(loopback) are simulated.",
            ),
        ),
        tag("script", script),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en")


def _asset(name: str) -> str:
    return resources.files(__package__ or "").joinpath(name).read_text("utf-8")


def _digest(content: str) -> str:
    raw = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(raw).decode()}"


def _header(report: Report) -> Markup:
    return tag(
        "header",
        tag(
            "div",
            tag("p", "Harken", class_="brand"),
            tag("h1", report.title),
            tag("p", report.subtitle, class_="subtitle"),
        ),
        tag("button", "Light or dark", type="button", id="theme", hidden=True),
    )


def _verdicts(report: Report) -> Markup:
    items = [
        tag(
            "li",
            tag("span", "✓" if verdict.ok else "✗", class_="sign", aria_hidden="true"),
            tag("strong", verdict.label),
            tag("span", " as it should be. " if verdict.ok else " not so. ", class_="unseen"),
            tag("span", verdict.detail, class_="detail"),
            class_="good" if verdict.ok else "bad",
        )
        for verdict in report.verdicts
    ]
    return tag(
        "section",
        tag("h2", "Verdict", id="verdict", class_="unseen"),
        tag("ul", *items, class_="verdicts"),
        aria_labelledby="verdict",
    )


def _figures(report: Report) -> Markup:
    cards = [
        tag(
            "div",
            tag("dt", figure.label),
            tag("dd", tag("b", figure.value), tag("span", f" {figure.unit}"), class_="value"),
            tag("dd", figure.note, class_="note"),
            class_="card",
        )
        for figure in report.figures
    ]
    return tag(
        "section",
        tag("h2", "Figures", id="figures", class_="unseen"),
        tag("dl", *cards, class_="cards"),
        aria_labelledby="figures",
    )


def _conversation(report: Report) -> Markup:
    bubbles: list[Markup] = []
    for turn in report.turns:
        wrong = turn.asked and turn.asked.strip() != turn.heard.strip()
        bubbles.append(
            tag(
                "li",
                tag("span", "Talker", class_="who"),
                tag("p", turn.heard or "(nothing was understood)"),
                tag("p", f"said: {turn.asked}", class_="said") if wrong else Markup(),
                class_="user",
            )
        )
        bubbles.append(
            tag(
                "li",
                tag("span", "Device", class_="who"),
                tag("p", turn.answer or "(no answer)"),
                tag("p", turn.note, class_="said") if turn.note else Markup(),
                class_="device",
            )
        )
    return tag(
        "section",
        tag("h2", "Transcript", id="transcript"),
        tag("ol", *bubbles, class_="talk"),
        aria_labelledby="transcript",
    )


def _signals(report: Report) -> Markup:
    both = np.clip(report.microphone.astype(np.int32) + report.loudspeaker, -32_768, 32_767).astype(
        np.int16
    )
    legend = [
        tag("li", tag("span", class_=f"key {kind}", aria_hidden="true"), name)
        for kind, name in _LEGEND
    ]
    return tag(
        "section",
        tag("h2", "Signals", id="signals"),
        tag("div", overview(report), class_="scroll", tabindex=0, role="region",
            aria_label="Picture of the whole run"),
        tag("ul", *legend, class_="legend", aria_label="Colours"),
        tag(
            "div",
            _player("Both, as somebody in the room hears it", both),
            _player("What the microphone heard", report.microphone),
            *_cleaned(report),
            _player("What the loudspeaker played", report.loudspeaker),
            class_="players",
        ),
        _marks_table(report),
        aria_labelledby="signals",
    )  # fmt: skip


def _cleaned(report: Report) -> list[Markup]:
    if report.cleaned is None:
        return []
    return [_player("The same after the device's cleaner", report.cleaned)]


def _player(caption: str, samples: NDArray[np.int16]) -> Markup:
    source = base64.b64encode(opus_file(samples)).decode()
    return tag(
        "figure",
        tag("figcaption", caption),
        tag(
            "audio",
            controls=True,
            preload="metadata",
            aria_label=caption,
            src=f"data:audio/ogg;codecs=opus;base64,{source}",
        ),
    )


def _marks_table(report: Report) -> Markup:
    rows = [
        tag(
            "tr",
            tag("td", f"{mark.sample / RATE:.3f}", class_="number"),
            tag("td", str(mark.sample), class_="number"),
            tag("td", tag("span", class_=f"key {mark.kind}", aria_hidden="true"), mark.name),
            tag("td", mark.detail),
        )
        for mark in report.marks
    ]
    head = tag("tr", *(tag("th", name, scope="col") for name in ("second", "sample", "mark", "")))
    return tag(
        "details",
        tag("summary", f"All {len(report.marks)} marks"),
        tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll"),
    )


def _turn(report: Report, turn: Turn, number: int) -> Markup:
    name = f"turn-{number}"
    scale = turn_scale(report, turn)
    begin = max(0, turn.question.start - RATE // 4)
    total = (
        tag("p", tag("b", f"{turn.voice_to_voice_ms:.0f} ms"), " voice to voice", class_="total")
        if turn.voice_to_voice_ms is not None
        else tag("p", "no answer was heard", class_="total")
    )
    return tag(
        "section",
        tag("h2", f"Turn {number}", id=name),
        total,
        tag(
            "button",
            "▶ Hear this turn",
            type="button",
            class_="seek",
            data_seek=f"{begin / RATE:.3f}",
            data_until=f"{(turn.answered.end if turn.answered else scale.end) / RATE:.3f}",
        ),
        tag("div", waterfall(report, turn, number), class_="scroll", tabindex=0, role="region",
            aria_label=f"Picture of turn {number}"),
        _stages_table(turn),
        aria_labelledby=name,
    )  # fmt: skip


def _stages_table(turn: Turn) -> Markup:
    rows = [
        tag(
            "tr",
            tag("td", tag("span", class_=f"key {s.kind}", aria_hidden="true"), s.label),
            *(
                tag("td", f"{value:.0f}", class_="number")
                for value in (s.start_ms, s.end_ms, s.end_ms - s.start_ms)
            ),
        )
        for s in turn.stages
    ]
    names = ("stage", "from, ms", "to, ms", "takes, ms")
    head = tag("tr", *(tag("th", name, scope="col") for name in names))
    return tag(
        "details",
        tag("summary", "The same as a table"),
        tag("table", tag("thead", head), tag("tbody", *rows)),
    )


def _facts(report: Report) -> Markup:
    items = [tag("div", tag("dt", name), tag("dd", value)) for name, value in report.facts]
    return tag(
        "section",
        tag("h2", "About this run", id="facts"),
        tag("dl", *items, class_="facts"),
        aria_labelledby="facts",
    )


def _log(report: Report) -> Markup:
    if not report.log:
        return Markup()
    lines = [
        join(tag("span", f"{line.source:<8}", class_="source"), tag("span", f"{line.text}\n"))
        for line in report.log
    ]
    return tag(
        "section",
        tag(
            "details",
            tag("summary", f"Log, {len(lines)} lines"),
            tag("pre", *lines, tabindex=0),
        ),
        aria_label="Log",
    )
