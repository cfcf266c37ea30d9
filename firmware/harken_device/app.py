"""The device's state machine. Nothing else decides what the device does.

idle ──wake, button──> listening ──speech ends──> thinking ──answer begins──> speaking ──> idle
  └─ the link is down: connecting ──link up──> listening          (or listening: `follow_up`)

Wake word or button while thinking or speaking, or a voice while speaking: silence at once, then
listening. The stop word while speaking: silence at once, then idle. `updating` is entered by nobody
but an update and left by a reboot.
"""

import asyncio
from time import ticks_ms

from micropython import const

from harken_device import protocol, watchdog
from harken_device.audio.barge_in import VOICED_BLOCKS
from harken_device.controls import Controls
from harken_device.errors import printable
from harken_device.lights import Lights
from harken_device.net.link import Link
from harken_device.net.stream import deadline_in, left
from harken_device.signalling import Signalling

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from board_face import Board

    from harken_device.audio.engine import Engine
    from harken_device.config import Config

IDLE = const(0)
CONNECTING = const(1)
LISTENING = const(2)
THINKING = const(3)
SPEAKING = const(4)
UPDATING = const(5)
STATES = ("idle", "connecting", "listening", "thinking", "speaking", "updating")

# What `engine.hop` reports.
_WAKE = const(2)
_SPEECH = const(4)
_SPEECH_END = const(8)
_PACKET = const(16)
_HEARD = const(32)
_DRAINED = const(64)
_STOP = const(128)
_BARGE_IN = const(256)
_RARE = const(2 | 4 | 8 | 32 | 64 | 128 | 256)

_CONNECTING_MS = const(10_000)
_THINKING_MS = const(30_000)
_SILENT_ANSWER_MS = const(30_000)  # speaking, and the gateway sends nothing
_DRAIN_MS = const(3000)  # beyond what is buffered
# Somebody who breaks in has spoken for a while before it is certain: as much of the past as the
# microphone's ring has.
_VOICE_PREROLL_MS = const(350)
_CONTROL_MS = const(10)
_AUDIO_MS = const(1)


class App:
    """Owns the conversation.

    Args:
        hal: the board.
        config: the owner's settings.
        engine: microphone, wake word, speech end, Opus and loudspeaker (`audio/engine.py`).

    Attributes:
        state: one of `IDLE` .. `UPDATING`.
        link: the connection to the gateway.
        refused_audio: packets that came out of turn or that the engine did not take.
    """

    def __init__(self, hal: "Board", config: "Config", engine: "Engine") -> None:
        self._hal = hal
        self._config = config
        self._engine = engine
        self._dog = watchdog.Watchdog(hal.watchdog.feed)
        self.link = Link(hal, config, self, self._dog, engine.packets)
        self._gateway = Signalling(hal, engine, self.link)
        self._lights = Lights(hal.leds, config.colour("led"))
        self._controls = Controls(
            hal, config, engine, self._lights, lambda: (STATES[self.state], self.link.up)
        )
        self.state = IDLE
        self.refused_audio = 0
        self._by_button = config.text("listen") == "button"
        self._by_voice = config.text("barge_in") == "voice"
        self._deadline = ticks_ms()  # of the state, where it has one
        self._word = ""  # that began this conversation; "" for the button
        self._spoke = False  # speech began in this listening
        self._ended = False  # and ended, before the link was up
        self._aborted = False  # what still comes of the old answer is ignored
        self._draining = False  # the answer is complete, the loudspeaker is not done
        self._last_packet = 0  # sample counter at the last packet for the gateway
        self._button = False

    # ------------------------------------------------------------------ loops

    async def run(self) -> None:
        """Run until the board is switched off.

        Raises:
            Exception: whatever ended one of the loops; the board should be reset.
        """
        self._lights.show(self.state)
        self._hal.mark("state", self._engine.now, STATES[self.state])
        audio = asyncio.create_task(self._audio())
        link = asyncio.create_task(self.link.run())
        try:
            while not audio.done() and not link.done():
                self._control()
                await asyncio.sleep_ms(_CONTROL_MS)
            await (audio if audio.done() else link)
        finally:
            audio.cancel()
            link.cancel()

    async def _audio(self) -> None:
        """The only path that runs for every frame; it allocates nothing."""
        engine, uplink, dog = self._engine, self.link.uplink, self._dog
        while True:
            flags = engine.hop()
            if not flags:
                await asyncio.sleep_ms(_AUDIO_MS)
                continue
            dog.beat(watchdog.AUDIO)
            if flags & _PACKET:
                uplink.put(engine.packet, engine.packet_length, engine.packet_timestamp_ms)
                self._last_packet = engine.now
            if flags & _RARE:
                self._heard(flags)
            await asyncio.sleep_ms(0)

    def _control(self) -> None:
        """What is looked at a hundred times a second."""
        pressed = self._hal.button.pressed()
        if pressed and not self._button:
            self._on_button()
        self._button = pressed
        self._lights.look()
        if self.state == SPEAKING:
            self._gateway.answer_plays()
        if self.state in (LISTENING, SPEAKING):
            self._gateway.hears()
        if self.state == IDLE:
            self._controls.save()
        elif self.state != UPDATING and left(self._deadline) <= 0:
            self._too_late()
        self._dog.check()

    # ------------------------------------------------------------------ what the engine heard

    def _heard(self, flags: int) -> None:
        engine = self._engine
        if flags & _SPEECH and self.state in (LISTENING, CONNECTING):
            self._hal.mark("speech", engine.now, None)
            if not self._spoke and self.state == LISTENING:
                self._deadline = deadline_in(self._config.number("longest_listen_ms"))
            self._spoke = True
        if flags & _SPEECH_END:
            self._on_speech_end()
        if flags & _HEARD:
            self._hal.mark("heard", engine.heard_sample, None)
            self._gateway.stages({"heard_first": engine.heard_sample})
        if flags & _DRAINED and self._draining:
            self._answer_over()
        if flags & _STOP:
            self._on_stop_word(engine.wake_word)
        if flags & _WAKE:
            self._hal.mark("wake", engine.now, engine.wake_word)
            if not self._by_button:
                self._attend(engine.wake_word)
        if flags & _BARGE_IN:
            self._on_voice()

    def _on_button(self) -> None:
        self._hal.mark("button", self._engine.now, None)
        if self.state == LISTENING:
            self._stop_listening(self._spoke)
        else:
            self._attend("")

    def _on_stop_word(self, word: str) -> None:
        if self.state != SPEAKING:
            return
        self._hal.mark("stop", self._engine.now, word)
        self._abort("stop_word")
        self._rest()

    def _on_voice(self) -> None:
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
        self.link.awake = True
        if self.link.up:
            self._start_listening()
        else:
            self.link.want()
            self._enter(CONNECTING, _CONNECTING_MS)

    def _start_listening(self) -> None:
        self._gateway.listen_start(self._word)
        if self._spoke:
            self._enter(LISTENING, self._config.number("longest_listen_ms"))
        else:
            self._enter(LISTENING, self._config.number("no_speech_ms"))

    def _on_speech_end(self) -> None:
        engine = self._engine
        self._hal.mark("speech_end", engine.speech_end_sample, None)
        if self.state == LISTENING and self._gateway.ends_turns:
            self._stop_listening(True)
        elif self.state == CONNECTING:
            # The silence that follows must not push what was said out of the queue.
            engine.unlisten()
            self._ended = True

    def _stop_listening(self, speech: bool) -> None:
        engine = self._engine
        engine.unlisten()
        self._aborted = False
        self._gateway.listen_stop(speech)
        if not speech:
            self._rest()
            return
        self._gateway.stages(
            {
                "speech_end": engine.speech_end_sample,
                "device_endpoint": engine.endpoint_sample,
                "uplink_last": self._last_packet,
            }
        )
        self._enter(THINKING, _THINKING_MS)

    # ------------------------------------------------------------------ states

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
        self.link.awake = False
        self._enter(IDLE, 0)
        self.link.release()

    def _fail(self, why: str) -> None:
        """Back to idle, and show that it did not work."""
        self._hal.log("app: " + why)
        self._hal.mark("error", self._engine.now, why)
        self._engine.unlisten()
        if self.state == SPEAKING:
            self._engine.answer_drop()
        if not self.link.up:
            self.link.uplink.clear()
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
        self._aborted = True

    def _begin_answer(self) -> None:
        if self._aborted or (self.state == LISTENING and self._gateway.ends_turns):
            return
        # The answer's packets take the memory of the user's: on a link that is too slow for speech,
        # what was not sent when the answer began is lost.
        self._engine.unlisten()
        self.link.uplink.drop()
        self._draining = False
        self._engine.answer_begin()
        self._gateway.answer_begins()
        self.link.awake = True
        self._enter(SPEAKING, _SILENT_ANSWER_MS)

    def _end_answer(self, drop: bool) -> None:
        """The gateway has said all it will."""
        self._aborted = False
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

    def _answer_over(self) -> None:
        """The loudspeaker is silent again."""
        self._hal.mark("drained", self._engine.now, None)
        self._gateway.answer_ended()
        self._draining = False
        if self._config.flag("follow_up") and self.link.up:
            self._word = ""
            self._spoke = False
            self._engine.listen(0)
            self._start_listening()
        else:
            self._rest()

    # ------------------------------------------------------------------ what the link tells

    def now(self) -> int:
        """The device's sample counter."""
        sample: int = self._engine.now
        return sample

    def link_up(self, hello: protocol.ServerHello) -> None:
        """The gateway has greeted."""
        self._gateway.agree(hello.features)
        self._aborted = False
        self._engine.configure(hello.frame_ms)
        self._hal.mark("link", self._engine.now, "up")
        self._hal.slots.confirm()
        if self.state == CONNECTING:
            self._start_listening()
            if self._ended and self._gateway.ends_turns:
                self._stop_listening(True)
            elif self._ended:
                self._engine.listen(0)  # the gateway finds the end by the silence

    def link_down(self) -> None:
        """The connection is gone."""
        self._hal.mark("link", self._engine.now, "down")
        if self.state in (LISTENING, THINKING):
            self._fail("the connection was lost")
        elif self.state == SPEAKING and not self._draining:
            self._end_answer(False)  # what has come is played to its end

    def audio(self, buffer: bytearray, offset: int, length: int) -> None:
        """One Opus packet of the answer."""
        if self.state != SPEAKING or self._draining or self._aborted:
            self.refused_audio += 1
            return
        self._deadline = deadline_in(_SILENT_ANSWER_MS)
        if not self._engine.answer_packet(buffer, offset, length):
            self.refused_audio += 1

    def message(self, message: "protocol.Message") -> None:
        """One parsed message of the gateway."""
        kind = message["type"]
        if kind == "tts":
            self._on_tts(message)
        elif kind == "stt":
            self._on_stt(message["text"])
        elif kind == "mcp":
            reply = self._controls.server.answer(message["payload"])
            if reply is not None:
                self._gateway.reply(reply)
        elif kind == "alert":
            self._hal.log("gateway: " + printable(message["status"] + ": " + message["message"]))
        elif kind == "system":
            self._on_system(message["command"])

    def _on_tts(self, message: "protocol.Message") -> None:
        state = message["state"]
        if state == "start":
            self._hal.mark("tts", self._engine.now, "start")
            self._begin_answer()
        elif state == "sentence_start" and not self._aborted:
            self._hal.mark("sentence", self._engine.now, printable(message.get("text") or ""))
        elif state == "stop":
            self._hal.mark("tts", self._engine.now, "stop")
            self._end_answer(protocol.cancelled(message))

    def _on_stt(self, text: str) -> None:
        self._hal.mark("stt", self._engine.now, printable(text))
        self._aborted = False
        if text and self.state == LISTENING and not self._gateway.ends_turns:
            # The gateway found the end of the turn.
            self._engine.unlisten()
            self._enter(THINKING, _THINKING_MS)

    def _on_system(self, command: str) -> None:
        self._hal.log("gateway: system " + printable(command))
        if command == "reboot":
            self._controls.save()
            self._hal.reset()
