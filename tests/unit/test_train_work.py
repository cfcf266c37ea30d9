"""Stages that are kept: done once, made anew only where something changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harken.errors import StartError
from harken_models.train.progress import Progress
from harken_models.train.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harken_models.train.progress import Report
    from harken_models.train.work import Stage


class Counted:
    """A stage that counts how often it is made."""

    def __init__(self, text: str = "made") -> None:
        self.times = 0
        self.text = text

    def __call__(self, folder: Path, report: Report) -> None:
        self.times += 1
        report(1, 1, "")
        (folder / "file").write_text(self.text)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "work", Progress(quiet=True))


def test_a_finished_stage_is_not_made_again(work: Work) -> None:
    make = Counted()
    first = work.stage("one", "one", make, {"seed": 1})
    again = work.stage("one", "one", make, {"seed": 1})
    assert make.times == 1
    assert first == again
    assert (first.folder / "file").read_text() == "made"


def _settings_changed(work: Work, _stage: Stage, make: Counted) -> None:
    work.stage("one", "one", make, {"seed": 2})


def _file_changed(work: Work, stage: Stage, make: Counted) -> None:
    (stage.folder / "file").write_text("touched")
    work.stage("one", "one", make, {"seed": 1})


def _file_removed(work: Work, stage: Stage, make: Counted) -> None:
    (stage.folder / "file").unlink()
    work.stage("one", "one", make, {"seed": 1})


def _note_damaged(work: Work, stage: Stage, make: Counted) -> None:
    (stage.folder / "stage.json").write_text("[]")
    work.stage("one", "one", make, {"seed": 1})


@pytest.mark.parametrize("change", [_settings_changed, _file_changed, _file_removed, _note_damaged])
def test_a_stage_is_made_anew_where_something_changed(
    work: Work, change: Callable[[Work, Stage, Counted], None]
) -> None:
    make = Counted()
    stage = work.stage("one", "one", make, {"seed": 1})
    change(work, stage, make)
    assert make.times == 2
    assert (stage.folder / "file").read_text() == "made"


def test_a_stage_is_made_anew_where_one_that_it_reads_changed(work: Work) -> None:
    second = Counted()
    for text in ("a", "a", "b"):
        first = work.stage("first", "first", Counted(text), {"text": text})
        work.stage("second", "second", second, {}, [first])
    assert second.times == 2


def test_an_interrupted_stage_leaves_nothing_and_is_made_by_the_next_run(
    work: Work, tmp_path: Path
) -> None:
    def interrupted(folder: Path, _report: Report) -> None:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work.stage("one", "one", interrupted, {})
    assert not (tmp_path / "work" / "one").exists()
    stage = work.stage("one", "one", Counted(), {})
    assert sorted(path.name for path in stage.folder.iterdir()) == ["file", "stage.json"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot be written") as refused:
        Work(tmp_path / "file" / "work", Progress(quiet=True))
    assert str(tmp_path / "file") in str(refused.value)


def test_a_full_disk_is_named_and_finished_stages_stay(work: Work) -> None:
    def full(_folder: Path, _report: Report) -> None:
        raise OSError(28, "No space left on device")

    first = work.stage("first", "first", Counted(), {})
    with pytest.raises(StartError, match="No space left"):
        work.stage("second", "second", full, {})
    assert (first.folder / "file").exists()


def test_progress_elsewhere_than_on_a_terminal_is_a_line_a_quarter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(_folder: Path, report: Report) -> None:
        for done in range(101):
            report(done, 100, "parts")

    for _ in range(2):
        Work(tmp_path, Progress()).stage("one", "counting", make, {})
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert lines[:5] == [f"counting: {done} of 100 parts" for done in (0, 25, 50, 75, 100)]
    assert lines[-1] == "counting: done before"
