"""The turns of one device: which one is going on, which answers are owed, and how turns end.

The agent answers turns in order, and each answer ends in exactly one of done, cancelled or
failed. So the oldest turn that has not ended owns what the agent says, and what it says for a
cancelled one is dropped: nothing late leaks into the next turn.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from harken.errors import printable
from harken.links.link import Alert, SpeechStop
from harken.session.playout import Playout
from harken.session.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from harken.agents.agent import Agent
    from harken.config.settings import SessionSettings
    from harken.links.link import Link
    from harken.session.timeline import TurnRecord

__all__ = ["Turns"]

_LOG = logging.getLogger(__name__)
_REPORT_S: Final = 0.5
"""A device that was interrupted says how much it had played; so long the record waits for it."""
_DRAIN_S: Final = 2.0
"""How much longer than expected a device may take to play the end of an answer."""


class Turns:
    """One turn after the other, and their records.

    Args:
        link: the device.
        agent: answers; started.
        settings: pacing and encoder.
        on_turn: called with each turn's record when it is over.
        clock: monotonic seconds.

    Attributes:
        current: the turn that is going on, or the last one while its record is open.
        owed: turns whose answers have not ended, oldest first.
        agent_at: when the agent was last asked for something, or did something.
        playout: what the device is given to play.
    """

    def __init__(
        self,
        link: Link,
        agent: Agent,
        settings: SessionSettings,
        *,
        on_turn: Callable[[TurnRecord], None],
        clock: Callable[[], float],
    ) -> None:
        self._link = link
        self._agent = agent
        self._on_turn = on_turn
        self._clock = clock
        self._number = 1
        self._reports = "playout" in link.hello.features
        self.current: Turn | None = None
        self.owed: deque[Turn] = deque()
        self.agent_at = clock()
        self.playout = Playout(
            link,
            settings,
            clock,
            on_first=self._first_sent,
            on_sentence=self._sentence_sent,
            on_sent=self._all_sent,
        )

    def begin(self) -> Turn:
        """The next turn; the record of the one before is closed."""
        self.settle()
        self.current = Turn(self._number, self._clock())
        return self.current

    def forget(self) -> None:
        """The current turn came to nothing; there will be no record of it."""
        self.current = None

    def await_answer(self, turn: Turn) -> None:
        """The user's part is over, the agent's begins."""
        turn.phase = "thinking"
        self.agent_at = self._clock()
        self.owed.append(turn)

    def speak(self, turn: Turn) -> None:
        """The answer begins to come; does nothing within it."""
        if turn.phase == "thinking":
            turn.phase = "speaking"
            self.playout.begin()

    def said_all(self, turn: Turn) -> None:
        """The agent has said all of the answer; the device has not played it yet."""
        if self.playout.active:
            self.playout.finish()
        else:
            self._link.send(SpeechStop())
            self._end(turn, 0.0)

    def interrupt(self, turn: Turn) -> None:
        """The user broke in: fall silent, tell the agent how much was heard.

        So also where the agent has said all of it long ago and the device still plays.
        """
        played_ms = self.silence(turn)
        for answer in self.owed:
            answer.cancel()
        self._agent.interrupt(played_ms)
        self.agent_at = self._clock()

    def silence(self, turn: Turn) -> int:
        """Nothing more of a turn is heard; returns the ms that were."""
        played_ms = 0
        if self.playout.active or turn.phase == "draining":
            played_ms = self.playout.cancel()
        turn.interrupted = True
        turn.cancel()
        if turn.phase != "thinking":
            turn.played_ms, turn.sent_ms = played_ms, self.playout.sent_ms
        self._end(turn, _REPORT_S)
        return played_ms

    def fail(self, turn: Turn, message: str, code: str) -> int:
        """A turn cannot be answered, and its user is told; returns the ms that were heard of it."""
        turn.errors.append(f"{code}: {message}")
        _LOG.warning("turn %d of %s failed: %s", turn.number, self._link.identity, message)
        self._link.send(Alert("error", message[:200], "sad"))
        if self.playout.active:
            turn.played_ms, turn.sent_ms = self.playout.cancel(), self.playout.sent_ms
        else:
            self._link.send(SpeechStop())
        turn.cancel()
        self._end(turn, 0.0)
        return turn.played_ms

    def settle(self) -> None:
        """Close the record of the current turn, if it came to anything."""
        turn, self.current = self.current, None
        if turn is None or turn.phase == "listening":
            return
        if turn.phase == "draining":
            turn.sent_ms = self.playout.sent_ms
            if not turn.reported:
                turn.played_ms = self.playout.played_ms()
        endpoint = turn.timeline.at("endpoint")
        if endpoint is not None:
            # Without a better word, speech ended when the turn did.
            turn.timeline.stamp("speech_end", endpoint)
        self._number += 1
        self._on_turn(turn.record(self._link.identity, self._link.session_id))

    def end(self, reason: str) -> None:
        """The session is over: close the record of a turn that this cuts short."""
        turn = self.current
        if turn is not None and turn.answering:
            turn.errors.append(f"link: {printable(reason)}")
            turn.interrupted = True
            if turn.phase == "speaking":
                turn.played_ms, turn.sent_ms = self.playout.played_ms(), self.playout.sent_ms
        for answer in self.owed:
            answer.cancel()
        self.settle()

    def _end(self, turn: Turn, settle_s: float) -> None:
        turn.phase = "over"
        turn.settle_by = self._clock() + settle_s

    def _first_sent(self, at: float) -> None:
        if self.current is not None:
            self.current.timeline.stamp("downlink_first", at)

    def _sentence_sent(self, sentence: str) -> None:
        if self.current is not None:
            self.current.spoken.append(sentence)

    def _all_sent(self) -> None:
        turn = self.current
        if turn is None or turn.phase != "speaking":
            return
        turn.phase = "draining"
        left_ms = self.playout.sent_ms - self.playout.played_ms()
        turn.settle_by = self._clock() + left_ms / 1000 + (_DRAIN_S if self._reports else 0.0)
