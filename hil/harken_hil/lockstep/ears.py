"""The rig's end of a device that runs in lockstep with its world."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np

from harken.audio.opus import Encoder
from harken.errors import RigError
from harken_hil.micropython import Conversation, firmware_paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harken_hil.world import World

__all__ = ["Ears", "Event"]

BLOCK: Final = 160
RATE: Final = 16_000
_SCRIPT: Final = Path(__file__).with_name("device_ears.py")
# What is written to the loudspeaker with block n is heard in block n + 2.
_OUTPUT_DELAY_BLOCKS: Final = 2
# The gateway sends so much of an answer at once, and then at the pace at which it is heard.
_PACKETS_AHEAD: Final = 8
_BLOCKS_A_PACKET: Final = 2

_BEGIN, _END, _INTERRUPTIBLE, _DROP, _LISTEN = 1, 2, 4, 8, 16
_HEAP_KIB: Final = 768  # bytecode and models are in it too, as they are not on a board
_BOOT_S: Final = 30.0

EventName = Literal["wake", "speech", "speech_end", "heard", "drained", "stop", "barge_in"]
_EVENTS: Final[Mapping[int, EventName]] = {
    2: "wake",
    4: "speech",
    8: "speech_end",
    32: "heard",
    64: "drained",
    128: "stop",
    256: "barge_in",
}


@dataclass(frozen=True, slots=True)
class Event:
    """What the engine reported.

    Attributes:
        sample: end of the microphone block in which it did.
        name: of the event.
        word: that was said, of `wake` and `stop`.
    """

    sample: int
    name: EventName
    word: str = ""


class Ears:
    """The firmware's audio engine in a world; a context manager.

    As the application does, it drops an answer when a wake or stop word was said, and tells the
    engine while an answer may be interrupted by a voice.

    Args:
        world: what is heard; its clock goes on with `run`.
        models: folder with packed models and their manifests.
        config: the device's settings.
        by_voice: whether a voice ends an answer; else it is only reported.

    Attributes:
        events: in order.
        hearing: what the cleaner said of itself, once a second: sample and its words.
        log: what the firmware had to say of its models.
    """

    def __init__(
        self, world: World, models: Path, config: Mapping[str, Any], *, by_voice: bool = True
    ) -> None:
        self.events: list[Event] = []
        self.hearing: list[tuple[int, dict[str, Any]]] = []
        self.log: list[str] = []
        self._world = world
        self._by_voice = by_voice
        self._start = json.dumps({"config": dict(config), "models": str(models)})
        self._device = Conversation(_SCRIPT, paths=firmware_paths(), heap_kib=_HEAP_KIB)
        self._waiting: deque[NDArray[np.int16]] = deque()
        self._mic: list[NDArray[np.int16]] = []
        self._speaker: list[NDArray[np.int16]] = []
        self._packets: deque[bytes] = deque()
        self._flags = 0
        self._due = 0

    def __enter__(self) -> Self:
        """Start the firmware.

        Raises:
            RigError: it does not start.
        """
        try:
            self.log = json.loads(self._device.ask(self._start, _BOOT_S))
        except ValueError as error:
            self._device.__exit__()
            raise RigError(f"the firmware's engine does not start: {error}") from error
        silence = np.zeros(BLOCK, np.int16)
        self._waiting.extend([silence] * _OUTPUT_DELAY_BLOCKS)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._device.__exit__()

    @property
    def now(self) -> int:
        """Device sample: what has been heard."""
        return len(self._mic) * BLOCK

    @property
    def origin(self) -> int:
        """The device has heard everything from this sample on."""
        return 0

    @property
    def mic(self) -> NDArray[np.int16]:
        """Everything the microphone has heard: int16 [now], 16 kHz."""
        return np.concatenate(self._mic)

    @property
    def speaker(self) -> NDArray[np.int16]:
        """Everything the loudspeaker has played, in step with `mic`."""
        return np.concatenate(self._speaker)

    def play(self, samples: NDArray[np.int16]) -> None:
        """Begin an answer: int16 [n], 16 kHz; it goes to the device in Opus, as from a gateway."""
        encoder = Encoder(RATE, complexity=5)
        padded = samples.tobytes() + bytes(-2 * len(samples) % encoder.frame_bytes)
        step = encoder.frame_bytes
        self._packets.extend(
            encoder.encode(padded[at : at + step]) for at in range(0, len(padded), step)
        )
        self._flags |= _BEGIN
        self._due = _PACKETS_AHEAD

    def listen(self) -> None:
        """Let a turn of the user begin, as after a wake word."""
        self._flags |= _LISTEN

    def run(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            RigError: the firmware has ended.
        """
        for _ in range(round(seconds * RATE / BLOCK)):
            self._block()

    def named(self, name: EventName, after: int = 0) -> list[Event]:
        """The events of a name, from a sample on."""
        return [event for event in self.events if event.name == name and event.sample >= after]

    def _block(self) -> None:
        n = len(self._mic)
        played = self._waiting.popleft()
        heard = self._world.block(n, played)
        self._mic.append(heard)
        self._speaker.append(played)
        flags = self._flags | (_INTERRUPTIBLE if self._by_voice else 0)
        self._flags = 0
        if n % _BLOCKS_A_PACKET == 0 and self._packets:
            self._due += 1
        sent = [self._packets.popleft() for _ in range(min(self._due, len(self._packets)))]
        self._due = 0
        if sent and not self._packets:
            flags |= _END
        line = " ".join([str(flags), heard.astype("<i2").tobytes().hex(), *(p.hex() for p in sent)])
        self._take(self._device.ask(line))

    def _take(self, answer: str) -> None:
        try:
            events, word, block, state = answer.split("\t")
            self._waiting.append(np.frombuffer(bytes.fromhex(block), "<i2").astype(np.int16))
            told: list[EventName] = [name for bit, name in _EVENTS.items() if int(events) & bit]
            said = json.loads(state)
        except ValueError as error:
            raise RigError(f"the firmware's engine failed: {answer[:500]}") from error
        for name in told:
            self.events.append(Event(self.now, name, word if name in {"wake", "stop"} else ""))
        if said:
            self.hearing.append((self.now, said))
        dropped = {"wake", "stop"} | ({"barge_in"} if self._by_voice else set[str]())
        if dropped & set(told):
            self._packets.clear()
            self._flags |= _DROP
