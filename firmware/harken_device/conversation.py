"""The conversation's state machine. Nothing else decides what the device does.

idle ──wake, button──> listening ──speech ends──> thinking ──answer begins──> speaking ──> idle
  └─ the link is down: connecting ──link up──> listening          (or listening: `follow_up`)

Wake word or button while thinking or speaking, or a voice while speaking: silence at once, then
listening. The stop word while speaking: silence at once, then idle. `updating` is entered by nobody
but an update and left by a reboot.
"""

from time import ticks_ms

from micropython import const

from harken_device.audio.barge_in import VOICED_BLOCKS
from harken_device.net.stream import deadline_in, left

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from board_face import Board

    from harken_device.audio.engine import Engine
    from harken_device.config import Config
    from harken_device.lights import Lights
    from harken_device.net.link import Link
    from harken_device.signalling import Signalling

IDLE = const(0)
CONNECTING = const(1)
LISTENING = const(2)
THINKING = const(3)
SPEAKING = const(4)
UPDATING = const(5)
STATES = ("idle", "connecting", "listening", "thinking", "speaking", "updating")

_CONNECTING_MS = const(10_000)
_THINKING_MS = const(30_000)
_SILENT_ANSWER_MS = const(30_000)  # speaking, and the gateway sends nothing
_DRAIN_MS = const(3000)  # beyond what is buffered
# Somebody who breaks in has spoken for a while before it is certain: as much of the past as the
# microphone's ring has.
_VOICE_PREROLL_MS = const(350)


class Conversation:
    """What the device does, and for how long.

    Args:
        hal: the board.
        config: the owner's settings.
        engine: microphone and loudspeaker (`audio/engine.py`).
        link: the connection to the gateway.
        gateway: what it is told.
        lights: show the state.

    Attributes:
        state: one of `IDLE` .. `UPDATING`.
        last_packet: sample counter at the last packet for the gateway.
        aborted: the user has broken off the answer; what still comes of it is ignored.
        refused_audio: packets that came out of turn or that the engine did not take.
    """

    def __init__(
        self,
        hal: "Board",
        config: "Config",
        engine: "Engine",
        link: "Link",
        gateway: "Signalling",
        lights: "Lights",
    ) -> None:
        self._hal = hal
        self._config = config
        self._engine = engine
        self._link = link
        self._gateway = gateway
        self._lights = lights
        self.state = IDLE
        self.last_packet = 0
        self.refused_audio = 0
        self.aborted = False
        self._by_button = config.text("listen") == "button"
        self._by_voice = config.text("barge_in") == "voice"
        self._deadline = ticks_ms()  # of the state, where it has one
        self._word = ""  # that began this conversation; "" for the button
        self._spoke = False  # speech began in this listening
        self._ended = False  # and ended, before the link was up
        self._draining = False  # the answer is complete, the loudspeaker is not done

    # ------------------------------------------------------------------ what the user does

    def wakes(self, word: str) -> None:
        """A wake word was said."""
        self._hal.mark("wake", self._engine.now, word)
        if not self._by_button:
            self._attend(word)

    def presses(self) -> None:
        """The button was pressed."""
        self._hal.mark("button", self._engine.now, None)
        if self.state == LISTENING:
            self._stop_listening(self._spoke)
        else:
            self._attend("")

    def speaks(self) -> None:
        """Speech begins."""
        if self.state not in (LISTENING, CONNECTING):
            return
        self._hal.mark("speech", self._engine.now, None)
        if not self._spoke and self.state == LISTENING:
            self._deadline = deadline_in(self._config.number("longest_listen_ms"))
        self._spoke = True

    def falls_silent(self) -> None:
        """Speech has ended."""
        engine = self._engine
        self._hal.mark("speech_end", engine.speech_end_sample, None)
        if self.state == LISTENING and self._gateway.ends_turns:
            self._stop_listening(True)
        elif self.state == CONNECTING:
            # The silence that follows must not push what was said out of the queue.
            engine.unlisten()
            self._ended = True

    def stops(self, word: str) -> None:
        """The stop word was said."""
        if self.state != SPEAKING:
            return
        self._hal.mark("stop", self._engine.now, word)
        self._abort("stop_word")
        self._rest()

    def breaks_in(self) -> None:
        """A voice speaks over the answer."""
        if self.state != SPEAKING or not self._by_voice:
            return
        self._hal.mark("barge_in", self._engine.now, None)
        self._abort("voice")
        self._engine.listen(_VOICE_PREROLL_MS, VOICED_BLOCKS)
        self._turn_begins("")

    def _attend(self, word: str) -> None:
        """The user wants us: by wake word, or by button where `word` is empty."""
        if self.state in (LISTENING, CONNECTING, UPDATING):
            return
        if self.state in (THINKING, SPEAKING):
            self._abort("wake_word_detected" if word else "button")
        self._engine.listen(self._config.number("preroll_ms") if word else 0)
        self._turn_begins(word)

    def _turn_begins(self, word: str) -> None:
        """The microphone is being encoded: tell the gateway, once it can be told."""
        self._word = word
        self._spoke = False
        self._ended = False
        self._link.awake = True
        if self._link.up:
            self._start_listening()
        else:
            self._link.want()
            self._enter(CONNECTING, _CONNECTING_MS)

    def _start_listening(self) -> None:
        self._gateway.listen_start(self._word)
        if self._spoke:
            self._enter(LISTENING, self._config.number("longest_listen_ms"))
        else:
            self._enter(LISTENING, self._config.number("no_speech_ms"))

    def _stop_listening(self, speech: bool) -> None:
        engine = self._engine
        engine.unlisten()
        self.aborted = False
        self._gateway.listen_stop(speech)
        if not speech:
            self._rest()
            return
        self._gateway.stages(
            {
                "speech_end": engine.speech_end_sample,
                "device_endpoint": engine.endpoint_sample,
                "uplink_last": self.last_packet,
            }
        )
        self._enter(THINKING, _THINKING_MS)

    # ------------------------------------------------------------------ states

    def look(self) -> None:
        """End a state that has outlived its deadline; to be called often."""
        if self.state not in (IDLE, UPDATING) and left(self._deadline) <= 0:
            self._too_late()

    def _enter(self, state: int, within_ms: int) -> None:
        self._deadline = deadline_in(within_ms)
        if state != self.state:
            self.state = state
            self._engine.interruptible = state == SPEAKING and self._by_voice
            self._hal.mark("state", self._engine.now, STATES[state])
            self._lights.show(state)

    def _rest(self) -> None:
        """Back to idle, the conversation is over."""
        self._draining = False
        self._link.awake = False
        self._enter(IDLE, 0)
        self._link.release()

    def _fail(self, why: str) -> None:
        """Back to idle, and show that it did not work."""
        self._hal.log("app: " + why)
        self._hal.mark("error", self._engine.now, why)
        self._engine.unlisten()
        if self.state == SPEAKING:
            self._engine.answer_drop()
        if not self._link.up:
            self._link.uplink.clear()
        self._lights.fail()
        self._rest()

    def _too_late(self) -> None:
        """The state has outlived its deadline."""
        if self.state == CONNECTING:
            self._fail("the gateway cannot be reached")
        elif self.state == LISTENING:
            self._stop_listening(self._spoke)
        elif self.state == THINKING:
            self._fail("the gateway does not answer")
        elif self._draining:
            self._engine.answer_drop()
            self._answer_over()
        else:
            self._fail("the answer stopped half-way")

    # ------------------------------------------------------------------ answers

    def _abort(self, reason: str) -> None:
        """The user interrupts: silence first, then tell."""
        self._draining = False
        if self.state == SPEAKING:
            self._engine.answer_drop()
            self._gateway.answer_ended()
        self._gateway.abort(reason)
        self.aborted = True

    def answer_begins(self) -> None:
        """The gateway is about to speak."""
        if self.aborted or (self.state == LISTENING and self._gateway.ends_turns):
            return
        # The answer's packets take the memory of the user's: on a link that is too slow for speech,
        # what was not sent when the answer began is lost.
        self._engine.unlisten()
        self._link.uplink.drop()
        self._draining = False
        self._engine.answer_begin()
        self._gateway.answer_begins()
        self._link.awake = True
        self._enter(SPEAKING, _SILENT_ANSWER_MS)

    def answer_ends(self, drop: bool) -> None:
        """The gateway has said all it will."""
        self.aborted = False
        if self.state == THINKING:
            self._rest()
        elif self.state == SPEAKING:
            self._draining = True
            if drop:
                self._engine.answer_drop()
                self._answer_over()
            else:
                self._engine.answer_end()
                self._deadline = deadline_in(self._engine.buffered_ms + _DRAIN_MS)

    def drained(self) -> None:
        """The loudspeaker has played what it had."""
        if self._draining:
            self._answer_over()

    def answer_packet(self, buffer: bytearray, offset: int, length: int) -> None:
        """One Opus packet of the answer."""
        if self.state != SPEAKING or self._draining or self.aborted:
            self.refused_audio += 1
            return
        self._deadline = deadline_in(_SILENT_ANSWER_MS)
        if not self._engine.answer_packet(buffer, offset, length):
            self.refused_audio += 1

    def understood(self, text: str) -> None:
        """The gateway has understood what the user said."""
        self.aborted = False
        if text and self.state == LISTENING and not self._gateway.ends_turns:
            # The gateway found the end of the turn.
            self._engine.unlisten()
            self._enter(THINKING, _THINKING_MS)

    def _answer_over(self) -> None:
        """The loudspeaker is silent again."""
        self._hal.mark("drained", self._engine.now, None)
        self._gateway.answer_ended()
        self._draining = False
        if self._config.flag("follow_up") and self._link.up:
            self._word = ""
            self._spoke = False
            self._engine.listen(0)
            self._start_listening()
        else:
            self._rest()

    # ------------------------------------------------------------------ the link

    def link_up(self) -> None:
        """The gateway has greeted, and `Signalling` knows what it uses."""
        self.aborted = False
        if self.state == CONNECTING:
            self._start_listening()
            if self._ended and self._gateway.ends_turns:
                self._stop_listening(True)
            elif self._ended:
                self._engine.listen(0)  # the gateway finds the end by the silence

    def link_down(self) -> None:
        """The connection is gone."""
        if self.state in (LISTENING, THINKING):
            self._fail("the connection was lost")
        elif self.state == SPEAKING and not self._draining:
            self.answer_ends(False)  # what has come is played to its end
