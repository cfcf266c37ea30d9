"""What the device sends: audio and events, and what they make of the turns."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from harken.errors import AgentError, AudioError, printable
from harken.links import link as heard
from harken.session.timeline import DeviceClock
from harken.session.uplink import UplinkDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from harken.agents.agent import Agent, SpeechStarted, SpeechStopped
    from harken.config.settings import SessionSettings
    from harken.session.turn import Turn
    from harken.session.turns import Turns

__all__ = ["Hearing"]

_LOG = logging.getLogger(__name__)
_REASON_S: Final = 0.5
"""A device that stops in mid-answer says so, and then why; so long that is waited for."""


class Hearing:
    """The user's part of each turn, from the microphone's opening to the end of speech.

    Args:
        link: the device.
        agent: hears it; started.
        turns: of this device.
        settings: the longest utterance.
        hang_up: ends the session, with a reason.
        clock: monotonic seconds.

    Attributes:
        device_at: when the device last sent something.
    """

    def __init__(
        self,
        link: heard.Link,
        agent: Agent,
        turns: Turns,
        settings: SessionSettings,
        *,
        hang_up: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._link = link
        self._agent = agent
        self._turns = turns
        self._settings = settings
        self._hang_up = hang_up
        self._clock = clock
        self._decoder = UplinkDecoder(agent.input_rate, link.hello.uplink_frame_ms)
        self._device_clock = DeviceClock()
        self._listening = False
        self._mode: heard.ListenMode = "auto"
        self._frame_at = self.device_at = clock()

    def on_frame(self, frame: heard.AudioFrame) -> None:
        """Audio of the microphone; only what belongs to a turn is heard."""
        self.device_at = frame.received_at
        if not self._listening:
            return
        self._frame_at = frame.received_at
        try:
            self._agent.feed(self._decoder.decode(frame))
        except AudioError as error:
            refused = self._link.counters.refused
            refused[error.code] = refused.get(error.code, 0) + 1

    def on_event(self, event: heard.Uplink) -> None:
        """Anything else the device said but tool replies."""
        self.device_at = self._clock()
        match event:
            case heard.ListenStart(mode=mode):
                self._listen(mode)
            case heard.ListenStop(speech=speech):
                self._stop(speech=speech)
            case heard.Text(text=text):
                self._typed(text)
            case heard.Abort():
                self._abort()
            case heard.Playout():
                self._played(event)
            case heard.Marks():
                self._marked(event)
            case heard.Goodbye():
                self._hang_up("the device said goodbye")
            case heard.Wake(word=word):
                _LOG.info("%s heard its wake word %r", self._link.identity, printable(word, 40))
            case heard.ToolReply():
                pass

    # -- the device --------------------------------------------------------------------------

    @property
    def _device_ends_turns(self) -> bool:
        return self._mode == "manual" or "endpoint" in self._link.hello.features

    def _listen(self, mode: heard.ListenMode) -> None:
        turn = self._turns.current
        if turn is not None and (turn.answering or self._still_plays(turn)):
            self._turns.interrupt(turn)
        turn = self._turns.begin()
        self._mode = mode
        self._decoder.reset()
        try:
            self._agent.listen("client" if self._device_ends_turns else "agent")
        except AgentError as error:
            self._listening = False
            self._turns.fail(turn, str(error), error.code)
        else:
            self._listening = True

    def _still_plays(self, turn: Turn) -> bool:
        """Whether the device has not finished an answer, and would have said so if it had.

        Boards that do not report play to the end before they listen again.
        """
        reports = "playout" in self._link.hello.features
        return reports and turn.phase == "draining" and not turn.stopped

    def _stop(self, *, speech: bool) -> None:
        turn = self._turns.current
        if not self._listening or turn is None or turn.phase != "listening":
            self._listening = False
            return
        self._listening = False
        if not speech:
            self._agent.clear()
            self._turns.forget()
            self._link.send(heard.SpeechStop())
            return
        turn.timeline.stamp("uplink_last", self._frame_at)
        turn.timeline.stamp("endpoint", self._clock())
        self._turns.await_answer(turn)
        self._agent.commit()

    def _typed(self, text: str) -> None:
        turn = self._turns.current
        if turn is not None and turn.open:
            self._turns.interrupt(turn)
        self._agent.clear()
        if self._mode != "realtime":
            self._listening = False
        turn = self._turns.begin()
        turn.transcript = text
        turn.timeline.stamp("endpoint", self._clock())
        self._turns.await_answer(turn)
        self._agent.say(text)

    def _abort(self) -> None:
        turn = self._turns.current
        silent = turn is None or turn.phase not in {"speaking", "draining"}
        if turn is not None and turn.open:
            self._turns.interrupt(turn)
        if silent:
            self._link.send(heard.SpeechStop(cancelled=True))

    def _played(self, report: heard.Playout) -> None:
        self._turns.playout.report(report)
        turn = self._turns.current
        if turn is None or turn.phase in {"listening", "thinking"}:
            return
        turn.late = max(turn.late, report.late)
        turn.played_ms = min(report.played_ms, self._turns.playout.sent_ms)
        turn.reported = True
        if report.ended and turn.phase == "draining":
            turn.stopped = True
            # Less than was sent: a word follows of why the device has stopped.
            cut_s = _REASON_S if turn.played_ms < self._turns.playout.sent_ms else 0.0
            turn.settle_by = self._clock() + cut_s

    def _marked(self, marks: heard.Marks) -> None:
        self._device_clock.join(marks.now, marks.received_at)
        turn = self._turns.current
        if turn is not None:
            for stage, sample in marks.samples.items():
                turn.timeline.stamp_device(stage, self._device_clock.at(sample))

    # -- the agent, where it listens for speech ----------------------------------------------

    def speech_started(self, event: SpeechStarted) -> None:
        """The agent hears somebody speak."""
        turn = self._turns.current
        if not self._listening:
            return
        if turn is None or turn.phase != "listening":
            if turn is not None and turn.open:
                self._turns.interrupt(turn)
            turn = self._turns.begin()
        turn.speech_at = event.at

    def speech_stopped(self, event: SpeechStopped) -> None:
        """The agent has heard the end of the user's turn, and begins to answer."""
        turn = self._turns.current
        if turn is None or turn.phase != "listening":
            return
        turn.timeline.stamp("speech_end", event.at - event.speech_end_ms_ago / 1000)
        turn.timeline.stamp("uplink_last", self._frame_at)
        turn.timeline.stamp("endpoint", event.at)
        if self._mode != "realtime":
            self._listening = False
        self._turns.await_answer(turn)

    # -- deadlines ---------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """End an utterance that has become too long."""
        turn = self._turns.current
        if turn is None or turn.phase != "listening" or not self._listening:
            return
        since = turn.began_at if self._device_ends_turns else turn.speech_at
        if since is not None and now - since > self._settings.max_turn_s:
            self._stop(speech=True)
