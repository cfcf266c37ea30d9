"""The demo's scene: one device in a quiet room, one person, and the clock of what happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harken.errors import HarkenError, StartError
from harken_hil.board.sim_board import RATE

if TYPE_CHECKING:
    from harken.session.timeline import TurnRecord
    from harken_hil.board.sim_board import SimBoard
    from harken_hil.demo.gateway import GatewayProcess
    from harken_hil.demo.script import Script
    from harken_hil.speech import Clip
    from harken_hil.world import Utterance, World

__all__ = ["Asked", "Scene"]

_CONNECT_S = 30.0
_NOTICE_S = 5.0
_ANSWER_S = 60.0
_REST_S = 60.0
_BREATH = RATE // 2
# People pause between the name and the question; so long is short for a person.
_PAUSE = RATE * 3 // 10
# Into the answer, so that one of a single sentence is still being heard when the word is over.
_INTERRUPT_AFTER = RATE * 2 // 5


@dataclass(frozen=True, slots=True)
class Asked:
    """One turn as it was put to the device.

    Attributes:
        word: the wake word at the microphone; None where the button was pressed.
        called: device sample at which the user began to call: onset of the word, or the press.
        question: the words after it, at the microphone.
    """

    word: Utterance | None
    called: int
    question: Utterance


@dataclass(slots=True)
class Scene:
    """Plays a script, in the order of the room's clock.

    Attributes:
        asked: the turns put to the device.
        records: the turns that the gateway finished.
        failure: why the scene ended early; None where it did not.
    """

    script: Script
    world: World
    board: SimBoard
    gateway: GatewayProcess
    identity: str
    asked: list[Asked] = field(default_factory=list["Asked"])
    records: list[TurnRecord] = field(default_factory=list["TurnRecord"])
    failure: HarkenError | None = None

    async def play(self) -> None:
        """Play it to its end, or to the first thing that goes wrong (`failure`).

        Raises:
            StartError: the gateway has ended.
        """
        try:
            await self._play()
        except StartError:
            raise
        except HarkenError as error:
            self.failure = error

    async def _play(self) -> None:
        await self.board.wait_mark("link", "up", timeout=_CONNECT_S)
        await self.world.reached(self.world.position + _BREATH, within_s=5)
        first = await self.ask(self.script.question)
        answer = await self.world.heard(first.question.end, within_s=_ANSWER_S)
        if self.script.command is not None:
            await self.world.reached(answer + _INTERRUPT_AFTER, within_s=10)
            await self.ask(self.script.command)
            self.records.append(await self.gateway.turn(within_s=_REST_S))
        await self.rest()
        self.records.append(await self.gateway.turn(within_s=_REST_S))

    async def ask(self, clip: Clip) -> Asked:
        """Call the device and say `clip`; returns when it has been said.

        Raises:
            RigError: the device does not listen, or the room's clock stands still.
        """
        marks_from = len(self.board.marks)
        now = self.world.position + 160
        word: Utterance | None = None
        if self.script.word is not None:
            word = self.world.speak(self.script.word, now)
            called, ready = word.onset, word.end + _PAUSE
        else:
            self.board.press(True)
            called, ready = self.world.position, now + _PAUSE
        # Padding before the first word is no part of the pause.
        question = self.world.speak(clip, max(now, ready - clip.onset))
        asked = Asked(word, called, question)
        self.asked.append(asked)
        if self.script.word is None:
            await self.world.reached(now + RATE // 10, within_s=5)
            self.board.press(False)
        await self.world.reached(question.end, within_s=clip.seconds + 10)
        await self.board.wait_mark("listen", "start", timeout=_NOTICE_S, after=marks_from)
        return asked

    async def rest(self) -> None:
        """Wait until the last answer is over and the device idle again.

        Raises:
            RigError: there was no answer, or it does not end.
        """
        end = self.asked[-1].question.end
        await self.world.heard(end, within_s=_ANSWER_S)
        marks = self.board.marks
        after = next((i for i, mark in enumerate(marks) if mark.sample >= end), len(marks))
        await self.board.wait_mark("drained", timeout=_REST_S, after=after)
        await self.board.wait_mark("state", "idle", timeout=10, after=after)
        await self.world.reached(self.world.position + _BREATH, within_s=5)
