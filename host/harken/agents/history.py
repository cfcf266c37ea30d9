"""The conversation as both sides know it: an interrupted answer counts as far as it was heard."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Exchange", "History"]

Message = dict[str, Any]

# Bytes of text in a token, on the low side for English; about one character of Chinese.
_BYTES_PER_TOKEN = 3


@dataclass(slots=True, eq=False)
class Exchange:
    """One turn: what the user said and what was answered.

    Attributes:
        user: the user's words.
        clauses: each clause that was spoken and how long it sounds, in ms.
        between: messages of tool calls and their results, as a language model wants them.
        heard_ms: how much of the answer was heard; `None` for all of it.
    """

    user: str = ""
    clauses: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    between: list[Message] = field(default_factory=list[Message])
    heard_ms: float | None = None

    @property
    def heard(self) -> str:
        """The words of the answer that were heard, the last clause in proportion to its time."""
        sounded = [(text, length) for text, length in self.clauses if length > 0]
        if self.heard_ms is None:
            return "".join(text for text, _ in sounded).strip()
        left = self.heard_ms
        heard = ""
        for text, length in sounded:
            if left < length:
                words = text.split()
                heard += " ".join(words[: int(len(words) * left / length)])
                break
            heard += text
            left -= length
        return heard.strip()

    @property
    def whole(self) -> bool:
        """Whether all of the answer was heard."""
        return self.heard_ms is None or self.heard_ms >= sum(length for _, length in self.clauses)

    def messages(self) -> list[Message]:
        """As a language model wants it."""
        found: list[Message] = [{"role": "user", "content": self.user}, *self.between]
        if heard := self.heard:
            text = heard if self.whole else f"{heard} …"
            found.append({"role": "assistant", "content": text})
        return found


class History:
    """The last exchanges of a conversation.

    A language model on this machine has read the beginning of the prompt already and goes on from
    where it changes. Old exchanges are therefore not dropped one by one, which would change the
    beginning with every turn, but down to half of the room whenever it is exhausted.

    Args:
        most: exchanges kept.
    """

    def __init__(self, most: int = 64) -> None:
        self._exchanges: deque[Exchange] = deque(maxlen=most)

    def add(self, exchange: Exchange) -> None:
        """The next turn; it may still grow."""
        self._exchanges.append(exchange)

    def messages(
        self,
        instructions: str,
        now: Sequence[Message],
        tokens: int | None,
        current: Exchange | None = None,
    ) -> list[Message]:
        """The prompt of a turn.

        Args:
            instructions: the persona; first, and never left out.
            now: the messages of this turn; last, and never left out.
            tokens: room for all of it. `None`: no limit is known.
            current: the exchange that `now` is of, where it was added already.
        """
        head: list[Message] = [{"role": "system", "content": instructions}] if instructions else []
        told = [(one, one.messages()) for one in self._exchanges if one is not current and one.user]
        if tokens is not None:
            room = tokens - _cost([*head, *now])
            if sum(_cost(messages) for _, messages in told) > room:
                while told and sum(_cost(messages) for _, messages in told) > room / 2:
                    self._exchanges.remove(told.pop(0)[0])
        return [*head, *(message for _, messages in told for message in messages), *now]


def _cost(messages: Sequence[Message]) -> int:
    """Tokens of some messages, rather too many than too few."""
    texts = (str(message.get("content") or message) for message in messages)
    return sum(8 + len(text.encode()) // _BYTES_PER_TOKEN for text in texts)
