"""What the device tells its gateway of a conversation, once `conversation.py` has decided it."""

from time import ticks_diff, ticks_ms

from micropython import const

from harken_device import protocol

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Container

    from board_face import Board

    from harken_device.audio.engine import Engine
    from harken_device.net.link import Link

_REPORT_MS = const(200)
_HEARING_MS = const(1000)


class Signalling:
    """Messages up, as far as this gateway knows them.

    Args:
        hal: the board, for the rig's record.
        engine: knows what was heard and played.
        link: carries the messages.

    Attributes:
        ends_turns: the gateway leaves the end of the user's turn to the device.
    """

    def __init__(self, hal: "Board", engine: "Engine", link: "Link") -> None:
        self._hal = hal
        self._engine = engine
        self._link = link
        self._marked = False  # the gateway wants marks
        self._reported = False  # the gateway wants playout reports
        self._report_at = ticks_ms()
        self._hearing_at = ticks_ms()
        self.ends_turns = False

    def agree(self, features: "Container[str]") -> None:
        """The gateway has said in its hello what it uses."""
        self.ends_turns = "endpoint" in features
        self._marked = "marks" in features
        self._reported = "playout" in features

    def listen_start(self, word: str) -> None:
        """The user's turn begins; told before the audio that already waits.

        Args:
            word: the wake word that was said; "" where the button was pressed.
        """
        link = self._link
        if word:
            link.send(protocol.listen_detect(link.session_id, word), True)
        link.send(protocol.listen_start(link.session_id), True)
        self._hal.mark("listen", self._engine.now, "start")

    def listen_stop(self, speech: bool) -> None:
        """The user's turn is over, after the audio that waits; `speech`: there was any."""
        link = self._link
        link.send(protocol.listen_stop(link.session_id, speech if self.ends_turns else None))
        self._hal.mark("listen", self._engine.now, "stop")

    def stages(self, samples: "dict[str, int]") -> None:
        """When stages of the turn were reached, in samples of the device's clock."""
        link = self._link
        if self._marked and link.up:
            link.send(protocol.marks(link.session_id, self._engine.now, samples))

    def abort(self, reason: str) -> None:
        """The user has interrupted."""
        link = self._link
        self._hal.mark("abort", self._engine.now, reason)
        if link.up:
            link.send(protocol.abort(link.session_id, reason))

    def answer_begins(self) -> None:
        """The first playout report is due a while from now."""
        self._report_at = ticks_ms()

    def answer_plays(self) -> None:
        """Report, now and then, how far the answer is played. Allocates nothing."""
        now = ticks_ms()
        if self._reported and ticks_diff(now, self._report_at) >= _REPORT_MS:
            self._report_at = now
            engine = self._engine
            self._link.report_playout(engine.played_ms, engine.buffered_ms, engine.late)

    def hears(self) -> None:
        """Tell the rig, now and then, how well the microphone's sound is cleaned."""
        now = ticks_ms()
        if self._hal.watched and ticks_diff(now, self._hearing_at) >= _HEARING_MS:
            self._hearing_at = now
            self._hal.mark("hearing", self._engine.now, self._engine.hearing.state)

    def answer_ended(self) -> None:
        """Report that nothing is left to play."""
        link, engine = self._link, self._engine
        if self._reported and link.up:
            link.send(protocol.playout(link.session_id, engine.played_ms, 0, engine.late, True))

    def reply(self, payload: str) -> None:
        """What a tool answers, JSON."""
        self._link.send(protocol.mcp(self._link.session_id, payload))
