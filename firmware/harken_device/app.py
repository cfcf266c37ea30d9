"""The device's loops: what it hears and what the gateway tells go to the conversation.

`conversation.py` decides what follows.
"""

import asyncio

from micropython import const

from harken_device import protocol, watchdog
from harken_device.controls import Controls
from harken_device.conversation import IDLE, LISTENING, SPEAKING, STATES, Conversation
from harken_device.errors import printable
from harken_device.lights import Lights
from harken_device.net.link import Link
from harken_device.signalling import Signalling

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from board_face import Board

    from harken_device.audio.engine import Engine
    from harken_device.config import Config

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

_CONTROL_MS = const(10)
_AUDIO_MS = const(1)


class App:
    """Owns all parts and runs them.

    Args:
        hal: the board.
        config: the owner's settings.
        engine: microphone, wake word, speech end, Opus and loudspeaker (`audio/engine.py`).

    Attributes:
        link: the connection to the gateway.
        conversation: knows the state.
    """

    def __init__(self, hal: "Board", config: "Config", engine: "Engine") -> None:
        self._hal = hal
        self._engine = engine
        self._dog = watchdog.Watchdog(hal.watchdog.feed)
        self.link = Link(hal, config, self, self._dog, engine.packets)
        self._gateway = Signalling(hal, engine, self.link)
        self._lights = Lights(hal.leds, config.colour("led"))
        self.conversation = Conversation(
            hal, config, engine, self.link, self._gateway, self._lights
        )
        self._controls = Controls(
            hal,
            config,
            engine,
            self._lights,
            lambda: (STATES[self.conversation.state], self.link.up),
        )
        self._button = False

    # ------------------------------------------------------------------ loops

    async def run(self) -> None:
        """Run until the board is switched off.

        Raises:
            Exception: whatever ended one of the loops; the board should be reset.
        """
        self._lights.show(self.conversation.state)
        self._hal.mark("state", self._engine.now, STATES[self.conversation.state])
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
        conversation = self.conversation
        while True:
            flags = engine.hop()
            if not flags:
                await asyncio.sleep_ms(_AUDIO_MS)
                continue
            dog.beat(watchdog.AUDIO)
            if flags & _PACKET:
                uplink.put(engine.packet, engine.packet_length, engine.packet_timestamp_ms)
                conversation.last_packet = engine.now
            if flags & _RARE:
                self._heard(flags)
            await asyncio.sleep_ms(0)

    def _control(self) -> None:
        """What is looked at a hundred times a second."""
        conversation = self.conversation
        pressed = self._hal.button.pressed()
        if pressed and not self._button:
            conversation.presses()
        self._button = pressed
        self._lights.look()
        if conversation.state == SPEAKING:
            self._gateway.answer_plays()
            self._gateway.hears()
        elif conversation.state == LISTENING:
            self._gateway.hears()
        if conversation.state == IDLE:
            self._controls.save()
        conversation.look()
        self._dog.check()

    def _heard(self, flags: int) -> None:
        engine, conversation = self._engine, self.conversation
        if flags & _SPEECH:
            conversation.speaks()
        if flags & _SPEECH_END:
            conversation.falls_silent()
        if flags & _HEARD:
            self._hal.mark("heard", engine.heard_sample, None)
            self._gateway.stages({"heard_first": engine.heard_sample})
        if flags & _DRAINED:
            conversation.drained()
        if flags & _STOP:
            conversation.stops(engine.wake_word)
        if flags & _WAKE:
            conversation.wakes(engine.wake_word)
        if flags & _BARGE_IN:
            conversation.breaks_in()

    # ------------------------------------------------------------------ what the link tells

    def now(self) -> int:
        """The device's sample counter."""
        sample: int = self._engine.now
        return sample

    def link_up(self, hello: protocol.ServerHello) -> None:
        """The gateway has greeted."""
        self._gateway.agree(hello.features)
        self._engine.configure(hello.frame_ms)
        self._hal.mark("link", self._engine.now, "up")
        self._hal.slots.confirm()
        self.conversation.link_up()

    def link_down(self) -> None:
        """The connection is gone."""
        self._hal.mark("link", self._engine.now, "down")
        self.conversation.link_down()

    def audio(self, buffer: bytearray, offset: int, length: int) -> None:
        """One Opus packet of the answer."""
        self.conversation.answer_packet(buffer, offset, length)

    def message(self, message: "protocol.Message") -> None:
        """One parsed message of the gateway."""
        kind = message["type"]
        if kind == "tts":
            self._on_tts(message)
        elif kind == "stt":
            self._hal.mark("stt", self._engine.now, printable(message["text"]))
            self.conversation.understood(message["text"])
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
            self.conversation.answer_begins()
        elif state == "sentence_start" and not self.conversation.aborted:
            self._hal.mark("sentence", self._engine.now, printable(message.get("text") or ""))
        elif state == "stop":
            self._hal.mark("tts", self._engine.now, "stop")
            self.conversation.answer_ends(protocol.cancelled(message))

    def _on_system(self, command: str) -> None:
        self._hal.log("gateway: system " + printable(command))
        if command == "reboot":
            self._controls.save()
            self._hal.reset()
