"""Where an answer is cut to be spoken."""

from __future__ import annotations

import pytest

from harken.agents.clauses import ClauseCutter


def cut(text: str, **options: int) -> list[str]:
    cutter = ClauseCutter(**options)
    return [*cutter.feed(text), cutter.flush()]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("It is Paris. Ask more!", ["It is Paris. ", "Ask more!"]),
        ("Dr. Smith met Mr. Jones.", ["Dr. Smith met Mr. Jones."]),
        ("It costs 3.5 dollars, or so.", ["It costs 3.5 dollars, ", "or so."]),
        ("J. Smith and I. He too.", ["J. Smith and I. ", "He too."]),
        ("Fruit, e.g. apples, i.e. round ones.", ["Fruit, e.g. apples, ", "i.e. round ones."]),
        ("About 1,000,000 people live here.", ["About 1,000,000 people live here."]),
        ('"Really?" he said. (Yes!) Fine.', ['"Really?" ', "he said. ", "(Yes!) ", "Fine."]),
        ("1. Add salt. 2. Stir.", ["1. Add salt. ", "2. Stir."]),
        ("你好，世界。今天很好！再见", ["你好，世界。", "今天很好！", "再见"]),  # noqa: RUF001
        ("「好。」他说。", ["「好。」", "他说。"]),
        ("Line one\nline two", ["Line one\n", "line two"]),
        ("... and so on. Yes.", ["... and so on. ", "Yes."]),
        ("Well, yes.", ["Well, yes."]),
        ("", [""]),
    ],
)
def test_clauses_end_where_a_speaker_would_pause(text: str, clauses: list[str]) -> None:
    assert [clause for clause in cut(text) if clause] == [clause for clause in clauses if clause]


def test_the_first_clause_is_cut_sooner_than_later_ones() -> None:
    text = (
        "As far as I know, it is so, as far as anybody knows, and I think that is enough, really."
    )
    assert cut(text) == [
        "As far as I know, ",
        "it is so, as far as anybody knows, and I think that is enough, ",
        "really.",
    ]


def test_a_clause_without_marks_ends_at_a_space() -> None:
    clauses = cut("word " * 30, limit=40)
    assert all(len(clause) <= 40 and clause.endswith("word ") for clause in clauses if clause)


def test_a_clause_without_spaces_ends_all_the_same() -> None:
    assert [len(clause) for clause in cut("x" * 100, limit=40)] == [40, 40, 20]


def test_a_clause_comes_as_soon_as_its_end_is_certain() -> None:
    cutter = ClauseCutter()
    assert cutter.feed("It is Paris") == []
    assert cutter.feed(".") == []
    assert cutter.feed(" Th") == ["It is Paris. "]
    assert cutter.flush() == "Th"
