"""The turns of one device: what it does and what the agent does, brought together.

The agent answers turns in order, and each answer ends in exactly one of done, cancelled or
failed. So the oldest turn that has not ended owns what the agent says, and what it says for a
cancelled one is dropped: nothing late leaks into the next turn.

Everything here returns at once; the only tasks are those of tools and of `Playout.run`.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from harken.agents import agent as said
from harken.errors import AudioError, ToolError, printable
from harken.links import link as heard
from harken.session.playout import Playout
from harken.session.timeline import DeviceClock
from harken.session.turn import Turn
from harken.session.uplink import UplinkDecoder

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from harken.config.settings import SessionSettings
    from harken.session.timeline import TurnRecord
    from harken.session.tools import ToolRegistry

__all__ = ["Conversation"]

_LOG = logging.getLogger(__name__)
_REPORT_S = 0.5
"""A device that was interrupted says how much it had played; so long the record waits for it."""
_DRAIN_S = 2.0
"""How much longer than expected a device may take to play the end of an answer."""
_CANCEL_S = 5.0
"""An agent that was interrupted has to say so within this time."""


class Conversation:
    """The state machine between a link and an agent that has started.

    Args:
        link: the device.
        agent: hears it and answers.
        settings: time-outs, pacing, encoder.
        tools: what the agent may call.
        spawn: runs a coroutine in the session's task group.
        hang_up: ends the session, with a reason.
        on_turn: called with each turn's record when it is over.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        link: heard.Link,
        agent: said.Agent,
        settings: SessionSettings,
        tools: ToolRegistry,
        *,
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        hang_up: Callable[[str], None],
        on_turn: Callable[[TurnRecord], None],
        clock: Callable[[], float],
    ) -> None:
        self._link = link
        self._agent = agent
        self._settings = settings
        self._tools = tools
        self._spawn = spawn
        self._hang_up = hang_up
        self._on_turn = on_turn
        self._clock = clock
        self._decoder = UplinkDecoder(agent.input_rate, link.hello.uplink_frame_ms)
        self._device_clock = DeviceClock()
        self._number = 1
        self._turn: Turn | None = None
        self._answers: deque[Turn] = deque()
        self._listening = False
        self._mode: heard.ListenMode = "auto"
        self._frame_at = self._agent_at = self._device_at = clock()
        self.playout = Playout(
            link,
            settings,
            clock,
            on_first=self._first_sent,
            on_sentence=self._sentence_sent,
            on_sent=self._all_sent,
        )

    # -- the device --------------------------------------------------------------------------

    @property
    def answering(self) -> bool:
        """An answer is being made, sent or played."""
        return self._turn is not None and self._turn.phase in {"thinking", "speaking", "draining"}

    def on_frame(self, frame: heard.AudioFrame) -> None:
        """Audio of the microphone; only what belongs to a turn is heard."""
        self._device_at = frame.received_at
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
        self._device_at = self._clock()
        match event:
            case heard.ListenStart(mode=mode):
                self._listen(mode)
            case heard.ListenStop(speech=speech):
                self._stop_listening(speech=speech)
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

    def _listen(self, mode: heard.ListenMode) -> None:
        turn = self._turn
        if turn is not None and turn.answering:
            self._interrupt(turn)
        elif turn is not None and turn.phase == "listening":
            self._agent.clear()
        self._begin()
        self._mode = mode
        self._listening = True
        self._decoder.reset()

    def _stop_listening(self, *, speech: bool) -> None:
        turn = self._turn
        if not self._listening or turn is None or turn.phase != "listening":
            self._listening = False
            return
        self._listening = False
        if not speech:
            self._agent.clear()
            self._turn = None
            self._link.send(heard.SpeechStop())
            return
        now = self._clock()
        turn.timeline.stamp("uplink_last", self._frame_at)
        turn.timeline.stamp("endpoint", now)
        self._await_answer(turn)
        self._agent.commit()

    def _typed(self, text: str) -> None:
        turn = self._turn
        if turn is not None and turn.answering:
            self._interrupt(turn)
        elif turn is not None and turn.phase == "listening":
            self._agent.clear()
        turn = self._begin()
        turn.transcript = text
        turn.timeline.stamp("endpoint", self._clock())
        self._await_answer(turn)
        self._agent.say(text)

    def _abort(self) -> None:
        turn = self._turn
        sent = self.playout.active
        if turn is not None and turn.phase in {"thinking", "speaking", "draining"}:
            self._interrupt(turn)
        else:
            self._agent.interrupt(0)
        if not sent:
            self._link.send(heard.SpeechStop(cancelled=True))

    def _played(self, report: heard.Playout) -> None:
        self.playout.report(report)
        turn = self._turn
        if turn is None or turn.phase in {"listening", "thinking"}:
            return
        turn.late = max(turn.late, report.late)
        turn.played_ms = min(report.played_ms, self.playout.sent_ms)
        turn.reported = True
        if report.ended and turn.phase == "draining":
            turn.settle_by = self._clock()

    def _marked(self, marks: heard.Marks) -> None:
        self._device_clock.join(marks.now, marks.received_at)
        if self._turn is not None:
            for stage, sample in marks.samples.items():
                self._turn.timeline.stamp_device(stage, self._device_clock.at(sample))

    # -- the agent ---------------------------------------------------------------------------

    def on_agent(self, event: said.AgentEvent) -> None:
        """Something the agent did."""
        self._agent_at = self._clock()
        if isinstance(event, said.SpeechStarted):
            self._speech_started(event)
        elif isinstance(event, said.SpeechStopped):
            self._speech_stopped(event)
        elif self._answers:
            ends = isinstance(event, said.AnswerDone | said.AnswerCancelled | said.AgentFailed)
            turn = self._answers.popleft() if ends else self._answers[0]
            if not turn.cancelled:
                self._answer(turn, event)
            elif isinstance(event, said.AgentFailed) and event.fatal:
                self._hang_up(f"the agent failed: {event.message}")
        else:
            _LOG.debug("the agent says %s between answers", type(event).__name__)

    def _speech_started(self, event: said.SpeechStarted) -> None:
        turn = self._turn
        if not self._listening:
            return
        if turn is None or turn.phase != "listening":
            if turn is not None and turn.phase != "over":
                self._interrupt(turn)
            turn = self._begin()
        turn.speech_at = event.at

    def _speech_stopped(self, event: said.SpeechStopped) -> None:
        turn = self._turn
        if turn is None or turn.phase != "listening":
            return
        turn.timeline.stamp("speech_end", event.at - event.speech_end_ms_ago / 1000)
        turn.timeline.stamp("uplink_last", self._frame_at)
        turn.timeline.stamp("endpoint", event.at)
        if self._mode != "realtime":
            self._listening = False
        self._await_answer(turn)

    def _answer(self, turn: Turn, event: said.AgentEvent) -> None:
        match event:
            case said.UserTranscript(text=text, final=True):
                turn.timeline.stamp("stt_final", event.at)
                turn.transcript = text
                if text:
                    self._link.send(heard.Transcript(text))
            case said.AnswerStage(stage=stage):
                turn.timeline.stamp(stage, event.at)
            case said.AnswerText(text=text):
                self._speak(turn)
                turn.answer.append(text)
                self.playout.text(text)
            case said.AnswerAudio(pcm=pcm, rate=rate):
                self._speak(turn)
                turn.timeline.stamp("tts_first", event.at)
                self.playout.audio(pcm, rate)
            case said.ToolCall():
                self._call(turn, event)
            case said.AnswerDone(text=text):
                self._done(turn, text)
            case said.AnswerCancelled():
                self._silence(turn)
            case said.AgentFailed():
                self._fail(turn, f"{event.message} {event.hint}".strip(), event.code)
                if event.fatal:
                    self._hang_up(f"the agent failed: {event.message}")
            case _:
                pass

    def _call(self, turn: Turn, call: said.ToolCall) -> None:
        async def run() -> None:
            try:
                content, failed = await self._tools.call(call.name, call.arguments), False
            except ToolError as error:
                content, failed = str(error), True
                turn.errors.append(printable(content))
            self._agent_at = self._clock()
            if not turn.cancelled:
                self._agent.tool_result(call.call_id, content, is_error=failed)

        turn.tools.append(call.name)
        task = self._spawn(run())
        turn.tool_tasks.add(task)
        task.add_done_callback(turn.tool_tasks.discard)

    def _done(self, turn: Turn, text: str) -> None:
        if text:
            turn.answer = [text]
        if self.playout.active:
            self.playout.finish()
            return
        self._link.send(heard.SpeechStop())
        self._over(turn, 0.0)

    # -- the turn ----------------------------------------------------------------------------

    def _begin(self) -> Turn:
        self.settle()
        self._turn = Turn(self._number, self._clock())
        return self._turn

    def _await_answer(self, turn: Turn) -> None:
        turn.phase = "thinking"
        self._agent_at = self._clock()
        self._answers.append(turn)

    def _speak(self, turn: Turn) -> None:
        if turn.phase == "thinking":
            turn.phase = "speaking"
            self.playout.begin()

    def _first_sent(self, at: float) -> None:
        if self._turn is not None:
            self._turn.timeline.stamp("downlink_first", at)

    def _sentence_sent(self, sentence: str) -> None:
        if self._turn is not None:
            self._turn.spoken.append(sentence)

    def _all_sent(self) -> None:
        turn = self._turn
        if turn is None or turn.phase != "speaking":
            return
        turn.phase = "draining"
        left_ms = self.playout.sent_ms - self.playout.played_ms()
        reports = "playout" in self._link.hello.features
        turn.settle_by = self._clock() + left_ms / 1000 + (_DRAIN_S if reports else 0.0)

    def _interrupt(self, turn: Turn) -> None:
        """The user broke in: fall silent, tell the agent how much was heard."""
        played_ms = self._silence(turn)
        for answer in self._answers:
            answer.cancel()
        self._agent.interrupt(played_ms)
        self._agent_at = self._clock()

    def _silence(self, turn: Turn) -> int:
        played_ms = 0
        if self.playout.active:
            played_ms = self.playout.cancel()
        elif turn.phase == "draining":
            played_ms = self.playout.played_ms()
        turn.interrupted = True
        turn.cancel()
        if turn.phase != "thinking":
            turn.played_ms = played_ms
            turn.sent_ms = self.playout.sent_ms
        self._over(turn, _REPORT_S)
        return played_ms

    def _fail(self, turn: Turn, message: str, code: str) -> None:
        turn.errors.append(f"{code}: {message}")
        _LOG.warning("turn %d of %s failed: %s", turn.number, self._link.identity, message)
        self._link.send(heard.Alert("error", message[:200], "sad"))
        if self.playout.active:
            turn.played_ms, turn.sent_ms = self.playout.cancel(), self.playout.sent_ms
        else:
            self._link.send(heard.SpeechStop())
        turn.cancel()
        self._over(turn, 0.0)

    def _over(self, turn: Turn, settle_s: float) -> None:
        turn.phase = "over"
        turn.settle_by = self._clock() + settle_s

    def settle(self) -> None:
        """Close the record of the current turn, if it came to anything."""
        turn, self._turn = self._turn, None
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
        turn = self._turn
        if turn is not None and turn.answering:
            turn.errors.append(f"link: {printable(reason)}")
            turn.interrupted = True
            if turn.phase == "speaking":
                turn.played_ms, turn.sent_ms = self.playout.played_ms(), self.playout.sent_ms
        for answer in self._answers:
            answer.cancel()
        self.settle()

    # -- deadlines ---------------------------------------------------------------------------

    def look(self) -> None:
        """Act on every deadline that has passed; to be called a few times a second."""
        now = self._clock()
        settings = self._settings
        if self.playout.active or self._answers:
            self._device_at = max(self._device_at, self._agent_at)
        if now - self._device_at > settings.idle_timeout_s:
            self._hang_up(f"nothing was heard for {settings.idle_timeout_s:g} s")
            return
        turn = self._turn
        if turn is not None and turn.settle_by is not None and now >= turn.settle_by:
            self.settle()
        elif turn is not None and turn.phase == "listening" and self._listening:
            self._end_long_turn(turn, now)
        if self._answers:
            self._end_silent_answer(self._answers[0], now)

    def _end_long_turn(self, turn: Turn, now: float) -> None:
        waits = "endpoint" not in self._link.hello.features and self._mode != "manual"
        since = turn.speech_at if waits else turn.began_at
        if since is not None and now - since > self._settings.max_turn_s:
            self._stop_listening(speech=True)

    def _end_silent_answer(self, turn: Turn, now: float) -> None:
        silent_s = now - self._agent_at
        if turn.cancelled:
            if silent_s > _CANCEL_S:
                _LOG.warning("the agent of %s ignores an interruption", self._link.identity)
                self._answers.popleft()
        elif (
            silent_s > self._settings.answer_timeout_s
            and not turn.tool_tasks
            and not self.playout.full
        ):
            played_ms = self.playout.played_ms() if self.playout.active else 0
            self._fail(turn, f"the agent was silent for {silent_s:.0f} s", "agent_timeout")
            self._agent.interrupt(played_ms)
            self._agent_at = now
