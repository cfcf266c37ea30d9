"""Cutting loses nothing and does not depend on how the text came."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harken.agents.clauses import ClauseCutter

# Mostly what decides about cuts, the marks of Chinese among it.
_MARKS = [*".,;:!?…。\"'”)」( \n\tabI1Dr好é", "\uff01", "\uff0c"]
text = st.text(st.sampled_from(_MARKS) | st.characters(), max_size=400)


def cut(pieces: list[str]) -> list[str]:
    cutter = ClauseCutter(first_pause=8, pause=20, limit=60)
    clauses: list[str] = []
    for piece in pieces:
        clauses += cutter.feed(piece)
    return [*clauses, cutter.flush()]


@given(text)
def test_the_clauses_are_the_text(whole: str) -> None:
    clauses = cut([whole])
    assert "".join(clauses) == whole
    assert all(clauses[:-1])


@given(text, st.lists(st.integers(0, 400)))
def test_the_pieces_in_which_it_came_do_not_matter(whole: str, cuts: list[int]) -> None:
    edges = sorted({0, len(whole), *(at for at in cuts if at < len(whole))})
    pieces = [whole[a:b] for a, b in pairwise(edges)]
    assert cut(pieces) == cut([whole])
    assert cut(list(whole)) == cut([whole])


@given(text)
def test_no_clause_is_longer_than_a_breath(whole: str) -> None:
    assert all(len(clause) <= 60 + 6 for clause in cut([whole]))
