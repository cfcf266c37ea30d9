"""Cuts a growing answer into clauses that can be spoken one by one.

The first clause is cut early, so that speech begins soon; later ones are longer, so that it flows.
Whatever the pieces in which the text comes, the clauses are the same, and put together they are the
text.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ClauseCutter"]

_ENDS: Final = frozenset(".!?…")
_PAUSES: Final = frozenset(",;:—")
_CJK_ENDS: Final = frozenset("。！？")  # noqa: RUF001  (the punctuation meant)
_CJK_PAUSES: Final = frozenset("，、；：")  # noqa: RUF001  (the punctuation meant)
# Nothing after these needs to be seen, but the quotes they may stand in.
_FINAL: Final = _CJK_ENDS | _CJK_PAUSES | {"\n"}
_CLOSERS: Final = frozenset("\"'”’»)]}」』）】")  # noqa: RUF001  (the punctuation meant)
_OPENERS: Final = "\"'“‘(["  # noqa: RUF001  (the punctuation meant)
_MOST_CLOSERS: Final = 4
# Words that a full stop follows without ending a sentence.
_ABBREVIATIONS: Final = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "jr",
        "sr",
        "vs",
        "etc",
        "e.g",
        "i.e",
        "no",
        "vol",
        "fig",
        "approx",
        "dept",
        "est",
        "inc",
        "ltd",
        "co",
        "gen",
        "col",
        "sgt",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "mt",
        "ft",
        "a.m",
        "p.m",
        "u.s",
        "u.k",
    ]
)


class ClauseCutter:
    """Takes text as it is written, gives clauses as they are complete.

    A clause ends where a sentence does; at a comma, colon or dash once it is long enough; and at a
    space once it is longer than anyone says in one breath.

    Args:
        first_pause: characters from which a pause ends the first clause.
        pause: characters from which a pause ends a later clause.
        limit: characters after which a clause ends at its last space.
    """

    def __init__(self, first_pause: int = 16, pause: int = 40, limit: int = 180) -> None:
        self._first_pause = first_pause
        self._pause = pause
        self._limit = limit
        self._buffer = ""
        self._first = True

    def feed(self, text: str) -> list[str]:
        """Take more text; returns the clauses that are now complete, with the space after them."""
        self._buffer += text
        clauses: list[str] = []
        while (cut := self._cut()) is not None:
            clauses.append(self._buffer[:cut])
            self._buffer = self._buffer[cut:]
            self._first = False
        return clauses

    def flush(self) -> str:
        """The end of the text: what is left, perhaps nothing."""
        rest, self._buffer, self._first = self._buffer, "", True
        return rest

    def _cut(self) -> int | None:
        """Length of the first complete clause; `None` where more text is needed to know."""
        text = self._buffer
        speakable = False
        for at, char in enumerate(text):
            speakable = speakable or char.isalnum()
            if at >= self._limit:
                return text.rfind(" ", 1, at) + 1 or at
            if not speakable or not self._marks(at, char):
                continue
            end = at + 1 if char == "\n" else self._after_closers(at)
            if end is None or char in _FINAL:
                return end
            if text[end].isspace() and self._ends(at, end):
                return end + 1
        return None

    def _marks(self, at: int, char: str) -> bool:
        """Whether a clause might end with the mark at `at`."""
        if char in _CJK_PAUSES:
            return 2 * at >= self._least()
        return char in _FINAL or char in _ENDS or char in _PAUSES

    def _least(self) -> int:
        return self._first_pause if self._first else self._pause

    def _after_closers(self, at: int) -> int | None:
        """Where the quotes and brackets that close at `at` have ended; `None` if not known yet."""
        end = at + 1
        most = min(len(self._buffer), at + 1 + _MOST_CLOSERS)
        while end < most and self._buffer[end] in _CLOSERS:
            end += 1
        return end if end < len(self._buffer) else None

    def _ends(self, at: int, end: int) -> bool:
        """Whether the mark at `at`, a space after it, ends the clause."""
        char = self._buffer[at]
        if char in _PAUSES:
            return end >= self._least()
        if char != ".":
            return True
        words = self._buffer[:at].split()
        word = words[-1].lower().lstrip(_OPENERS) if words else ""
        if word in _ABBREVIATIONS:
            return False
        # An initial ("J. Smith"), or the number of a list ("2. Add salt").
        initial = len(word) == 1 and word.isalpha() and word != "i"
        return not (initial or (word.isdigit() and len(words) == 1))
