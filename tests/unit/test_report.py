"""The report's parts: nothing from a device becomes markup, and every mark is on the page."""

from __future__ import annotations

import html.parser
import re
import struct
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest

from harken.audio.opus import Decoder
from harken_hil.report import Figure, Line, Mark, Report, Span, Stage, Turn, Verdict, render
from harken_hil.report.markup import Markup, tag, text
from harken_hil.report.ogg import opus_file
from harken_hil.report.scale import LEFT, RIGHT, TimeScale, outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOSTILE = "</title></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'\x1b[31m\u202e&"


def sound(seconds: float = 6.0) -> NDArray[np.int16]:
    t = np.arange(round(seconds * 16_000)) / 16_000
    return (6000 * np.sin(2 * np.pi * 300 * t) * (t % 2 < 1)).astype(np.int16)


def sample_report(said: str = "Tell me about the capital of France.") -> Report:
    marks = (
        Mark(30_000, "wake", "wake", "okay_nabu"),
        Mark(48_000, "speech end", "speech"),
        Mark(51_000, "device endpoint", "device"),
        Mark(55_000, "transcript", "stt", said),
        Mark(57_000, "first words", "llm"),
        Mark(59_000, "first audio", "tts"),
        Mark(60_800, "heard", "device"),
    )
    stages = (
        Stage("speech end found", "device", 0, 187.5),
        Stage("speech to text", "stt", 187.5, 437.5),
        Stage("first words", "llm", 437.5, 562.5),
        Stage("first audio", "tts", 562.5, 687.5),
        Stage("playout", "device", 687.5, 800),
    )
    turn = Turn(
        asked="Tell me about the capital of France.",
        heard=said,
        answer=f"Paris. {said}",
        question=Span(20_000, 48_000, said),
        answered=Span(60_800, 90_000, "answer"),
        marks=marks,
        stages=stages,
        voice_to_voice_ms=800.0,
        note=said,
    )
    return Report(
        title=said,
        subtitle=said,
        microphone=sound(),
        loudspeaker=sound()[::-1].copy(),
        verdicts=(Verdict("Heard", True, said), Verdict("Answered", False, said)),
        figures=(Figure("Voice to voice", "800", "ms", said),),
        states=(Span(0, 30_000, "idle"), Span(30_000, 96_000, said)),
        talking=(Span(20_000, 48_000, said),),
        marks=marks,
        turns=(turn,),
        facts=(("Device", said),),
        log=(Line("device", said),),
    )


class Page(html.parser.HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def test_nothing_said_becomes_markup() -> None:
    page = Page(render(sample_report(HOSTILE)))
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "\x1b" not in "".join(page.words)
    assert "\u202e" not in "".join(page.words)
    assert "<script>alert(1)</script>" in "".join(page.words), "it is shown as it was said"


def test_the_page_loads_nothing_and_forbids_it() -> None:
    source = render(sample_report())
    page = Page(source)
    addresses = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in {"src", "href", "data", "poster", "srcset"} and value
    ]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "url(" not in source
    assert "@import" not in source
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    # A style attribute would not pass that policy.
    assert not [a for _, a in page.tags if "style" in a]


def test_the_size_stays_small() -> None:
    report = sample_report()
    long = np.tile(report.microphone, 10)
    longer = Report(report.title, "", long, long, marks=report.marks, turns=report.turns)
    assert len(render(longer)) < 2_000_000


def test_every_mark_and_stage_is_in_picture_and_table() -> None:
    report = sample_report()
    source = render(report)
    pictures = [
        ElementTree.fromstring(svg.replace("&nbsp;", " "))
        for svg in re.findall(r"<svg.*?</svg>", source, re.DOTALL)
    ]
    assert len(pictures) == 2
    for picture in pictures:
        assert picture.find("title") is not None
        assert picture.find("desc") is not None
        titles = [title.text or "" for title in picture.iter("title")]
        for mark in report.marks:
            inside = mark.sample >= int(picture.attrib["data-start"])
            assert any(title.startswith(mark.name) for title in titles) == inside or not inside
    bars = [g for g in pictures[1].iter("g") if g.attrib.get("class", "").startswith("bar ")]
    assert len(bars) == len(report.turns[0].stages)
    words = Page(source).words
    assert {mark.name for mark in report.marks} <= set(words)


def test_a_bar_stands_under_what_it_measures() -> None:
    source = render(sample_report())
    picture = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", source, re.DOTALL)[1])
    start, end = (int(picture.attrib[f"data-{name}"]) for name in ("start", "end"))
    scale = TimeScale(start, end, 48_000)
    bar = next(
        g
        for g in picture.iter("g")
        if g.attrib.get("class") == "bar stt" and g.find("rect") is not None
    )
    rect = bar.find("rect")
    assert rect is not None
    assert float(rect.attrib["x"]) == pytest.approx(scale.x(51_000), abs=0.1)
    assert float(rect.attrib["width"]) == pytest.approx(scale.x(55_000) - scale.x(51_000), abs=0.1)


def test_a_run_without_turns_is_a_page_too() -> None:
    page = Page(render(Report("Nothing", "", np.zeros(0, np.int16), np.zeros(0, np.int16))))
    assert len(page.all("audio")) == 3


def test_a_turn_without_an_answer_says_so() -> None:
    turn = Turn("hello", "", "", Span(1000, 9000, "hello"), None)
    report = Report("x", "", sound(), sound(), turns=(turn,))
    words = " ".join(Page(render(report)).words)
    assert "no answer was heard" in words
    assert "(nothing was understood)" in words


def test_attributes_are_escaped() -> None:
    made = tag("p", "a<b", class_='"><script>', hidden=True, title=None)
    assert made == '<p class="&quot;&gt;&lt;script&gt;" hidden>a&lt;b</p>'
    assert tag("p", Markup("<b>x</b>")) == "<p><b>x</b></p>"
    assert text("tab\tline\n\x00") == "tab\tline\n\N{REPLACEMENT CHARACTER}"


def test_ticks_are_round_and_inside() -> None:
    scale = TimeScale(1000, 33_000, 9000)
    ticks = list(scale.ticks())
    assert ("0 ms" in {label: sample for sample, label in ticks}) is True
    assert all(1000 <= sample <= 33_000 for sample, _ in ticks)
    assert 5 <= len(ticks) <= 14
    assert scale.x(1000) == LEFT
    assert scale.x(33_000) == RIGHT


def test_an_outline_reaches_as_far_as_its_samples() -> None:
    samples = np.zeros(16_000, np.int16)
    samples[8000:] = 10_000
    path = outline(samples, TimeScale(0, 16_000), 0, 100)
    heights = [float(y) for y in re.findall(r",(-?[\d.]+)", path)]
    assert min(heights) == pytest.approx(50 - 45, abs=1)
    assert max(heights) < 52


def pages(file: bytes) -> list[tuple[bytes, list[bytes]]]:
    """Header and packets of every page of an Ogg file."""
    found: list[tuple[bytes, list[bytes]]] = []
    at = 0
    while at < len(file):
        assert file[at : at + 4] == b"OggS"
        count = file[at + 26]
        lacing = file[at + 27 : at + 27 + count]
        body = at + 27 + count
        packets: list[bytes] = []
        size = 0
        for value in lacing:
            size += value
            if value < 255:
                packets.append(file[body : body + size])
                body, size = body + size, 0
        found.append((file[at : at + 27], packets))
        at = body
    return found


@pytest.mark.parametrize("seconds", [0.0, 0.011, 1.0, 3.3])
def test_an_ogg_file_holds_the_sound(seconds: float) -> None:
    samples = sound(seconds)
    found = pages(opus_file(samples))
    assert found[0][1][0][:8] == b"OpusHead"
    assert found[1][1][0][:8] == b"OpusTags"
    decoder = Decoder(16_000)
    decoded = b"".join(decoder.decode(packet) for _, packets in found[2:] for packet in packets)
    granule = struct.unpack_from("<q", found[-1][0], 6)[0]
    skip = struct.unpack_from("<H", found[0][1][0], 10)[0]
    assert granule - skip == 3 * len(samples)
    heard = np.frombuffer(decoded, np.int16)[skip // 3 :][: len(samples)]
    assert len(heard) == len(samples)
    if seconds >= 1:
        assert np.corrcoef(heard, samples)[0, 1] > 0.9
