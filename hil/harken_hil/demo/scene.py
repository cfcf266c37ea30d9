"""The demo's scene: one device in a room, one person, and the clock of what happens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeVar

from harken.errors import HarkenError, RigError, printable
from harken_hil.board.sim_board import RATE

if TYPE_CHECKING:
    from collections.abc import Coroutine

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
# Longer than any wait in a scene: whoever watches for an error goes on as long as that.
_WATCH_S: Final = 3_600.0
_BREATH = RATE // 2
# A device has been on for a while before it is called; so long, it hears what else sounds.
_USED_TO_IT = RATE * 3
# People pause between the name and the question; so long is short for a person.
_PAUSE = RATE * 3 // 10
# Into the answer, so that one of a single sentence is still being heard when the word is over.
_INTERRUPT_AFTER = RATE * 2 // 5
# People let somebody begin before they break in; so long the device must not interrupt itself.
_SPEAK_OVER_AFTER = RATE * 2

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Asked:
    """One turn as it was put to the device.

    Attributes:
        word: the wake word at the microphone; None where none was said.
        called: device sample at which the user began to call: onset of the word, the press, or
            onset of the question where it was spoken over an answer.
        question: the words after it, at the microphone.
        how: the device was called; `voice`: not at all, somebody just spoke.
    """

    word: Utterance | None
    called: int
    question: Utterance
    how: Literal["wake", "button", "voice"] = "wake"


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
    _marks_from: int = field(default=0, init=False)  # of the turn now

    async def play(self) -> None:
        """Play it to its end, or to the first thing that goes wrong (`failure`)."""
        try:
            await self._play()
        except HarkenError as error:
            self.failure = error
            # What the gateway has to say of the turn may be the reason.
            self.records += self.gateway.finished_turns()

    async def _play(self) -> None:
        await self.watched(self.board.wait_mark("link", "up", timeout=_CONNECT_S))
        before = _USED_TO_IT if self.world.sounding else _BREATH
        await self.world.reached(self.world.position + before, within_s=10)
        first = await self.ask(self.script.question)
        answer = await self.watched(self.world.heard(first.question.end, within_s=_ANSWER_S))
        if self.script.command is not None:
            by_voice = self.script.interrupt == "voice"
            after = _SPEAK_OVER_AFTER if self.script.long else _INTERRUPT_AFTER
            await self.world.reached(answer + after, within_s=10)
            await self.ask(self.script.command, call=not by_voice)
            self.records.append(await self._turn())
        await self.rest()
        self.records.append(await self._turn())

    async def _turn(self) -> TurnRecord:
        return await self.gateway.turn(within_s=_REST_S)

    async def watched(self, waiting: Coroutine[Any, Any, _Found]) -> _Found:
        """Wait for something in this turn, but no longer than it can still come.

        Raises:
            RigError: the device marks an error; its text is the device's.
            StartError: the gateway ends.
            HarkenError: of what is waited for.
        """
        wanted = asyncio.ensure_future(waiting)
        tasks: list[asyncio.Future[Any]] = [
            wanted,
            asyncio.ensure_future(self._device_fails(self._marks_from)),
            asyncio.ensure_future(self.gateway.ended()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # What came at the same moment as its failure came all the same.
            for task in tasks:
                if task.done():
                    task.result()
                    break
            return wanted.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _device_fails(self, after: int) -> NoReturn:
        mark = await self.board.wait_mark("error", timeout=_WATCH_S, after=after)
        raise RigError(f"the device: {printable(str(mark.value))}", hint="the logs say more")

    async def ask(self, clip: Clip, *, call: bool = True) -> Asked:
        """Call the device and say `clip`; returns when it has been said.

        Args:
            clip: what is said.
            call: by wake word or button, as the script has it; else it is just said.

        Raises:
            RigError: the device does not listen, or the room's clock stands still.
            StartError: the gateway has ended.
        """
        self._marks_from = len(self.board.marks)
        now = self.world.position + 160
        asked = self._say(clip, now) if call else self._say_over(clip, now)
        self.asked.append(asked)
        if asked.how == "button":
            await self.world.reached(now + RATE // 10, within_s=5)
            self.board.press(False)
        question = asked.question
        await self.world.reached(question.end, within_s=clip.seconds + 10)
        listens = self.board.wait_mark("listen", "start", timeout=_NOTICE_S, after=self._marks_from)
        await self.watched(listens)
        return asked

    def _say(self, clip: Clip, now: int) -> Asked:
        if self.script.word is not None:
            word = self.world.speak(self.script.word, now)
            # Padding before the first word is no part of the pause.
            question = self.world.speak(clip, max(now, word.end + _PAUSE - clip.onset))
            return Asked(word, word.onset, question, "wake")
        self.board.press(True)
        question = self.world.speak(clip, max(now, now + _PAUSE - clip.onset))
        return Asked(None, self.world.position, question, "button")

    def _say_over(self, clip: Clip, now: int) -> Asked:
        question = self.world.speak(clip, now)
        return Asked(None, question.onset, question, "voice")

    async def rest(self) -> None:
        """Wait until the last answer is over and the device idle again.

        Raises:
            RigError: there was no answer, or it does not end.
            StartError: the gateway has ended.
        """
        end = self.asked[-1].question.end
        await self.watched(self.world.heard(end, within_s=_ANSWER_S))
        marks = self.board.marks
        after = next((i for i, mark in enumerate(marks) if mark.sample >= end), len(marks))
        await self.watched(self.board.wait_mark("drained", timeout=_REST_S, after=after))
        await self.board.wait_mark("state", "idle", timeout=10, after=after)
        await self.world.reached(self.world.position + _BREATH, within_s=5)
