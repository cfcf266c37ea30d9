"""The report in a real browser: it renders, its script runs, its players play."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken_hil.report import Mark, Report, Span, Stage, Turn, Verdict, render

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--enable-logging=stderr", "--autoplay-policy=no-user-gesture-required"),
]


def browse(page: Path, profile: Path, *more: str) -> tuple[str, list[str]]:
    """The page as it is after its script ran, and what it wrote to the console."""
    if CHROMIUM is None:
        pytest.skip("no browser: apt-get install chromium")
    done = subprocess.run(
        [CHROMIUM, *QUIET, f"--user-data-dir={profile}", *more, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture
def report() -> Report:
    sound = (6000 * np.sin(np.arange(5 * 16_000) * 0.15)).astype(np.int16)
    mark = Mark(32_000, "speech end", "speech", "<b>bold</b>")
    turn = Turn(
        asked="a question",
        heard="<script>document.title='taken'</script>",
        answer="an answer",
        question=Span(16_000, 32_000, "a question"),
        answered=Span(48_000, 64_000, "answer"),
        marks=(mark,),
        stages=(Stage("speech to text", "stt", 0, 1000),),
        voice_to_voice_ms=1000,
    )
    return Report(
        "A title", "", sound, sound, (Verdict("Heard", True),), marks=(mark,), turns=(turn,)
    )


def test_the_page_renders_without_a_complaint(report: Report, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render(report), "utf-8")
    dom, complaints = browse(page, tmp_path / "profile")
    assert complaints == []
    assert 'data-ready="yes"' in dom, "the page's own script ran under its policy"
    assert len(re.findall(r"<audio", dom)) == 3, "no player gave up on its sound"
    assert "<title>A title · Harken</title>" in dom, "nothing said ran as script"
    assert len(re.findall(r'class="signals seekable"', dom)) == 2
    assert "speech end" in dom


def test_the_policy_is_enforced(report: Report, tmp_path: Path) -> None:
    """The complaint that must not come above does come where the page is tampered with."""
    page = tmp_path / "report.html"
    source = render(report).replace('"use strict";', '"use strict"; document.title = "taken";')
    page.write_text(source, "utf-8")
    dom, complaints = browse(page, tmp_path / "profile")
    assert any("Content Security Policy" in line for line in complaints)
    assert 'data-ready="yes"' not in dom


def test_the_sound_lasts_as_long_as_it_should(report: Report, tmp_path: Path) -> None:
    address = re.search(r'src="(data:audio[^"]+)"', render(report))
    assert address is not None
    page = tmp_path / "sound.html"
    page.write_text(
        f'<audio src="{address[1]}"></audio><script>'
        "const a = document.querySelector('audio');"
        "a.addEventListener('loadedmetadata', () => {"
        "document.body.dataset.seconds = a.duration; a.remove(); });"
        "a.addEventListener('error', () => { document.body.dataset.failed = 1; });"
        "</script>",
        "utf-8",
    )
    dom, _ = browse(page, tmp_path / "profile", "--virtual-time-budget=5000")
    found = re.search(r'data-seconds="([\d.]+)"', dom)
    assert found is not None, dom[-300:]
    assert float(found[1]) == pytest.approx(5.0, abs=0.01)
