"""The program that speaks: it dies, hangs and babbles, and the next answer is spoken."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from harken.agents import piper
from harken.agents.piper import PiperTts
from harken.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.integration

# Speaks its frames as the real one does; texts are commands of the tests.
PROGRAM = """
import json, os, struct, sys, time
def send(n, data): sys.stdout.buffer.write(struct.pack("<II", n, len(data)) + data); sys.stdout.buffer.flush()
open(sys.argv[1], "a").write("%d\\n" % os.getpid())
START
for line in sys.stdin.buffer:
    request = json.loads(line)
    text, n = request["text"], request["id"]
    if text == "die": os._exit(3)
    if text == "hang": time.sleep(600)
    if text == "half": sys.stdout.buffer.write(b"\\1\\0\\0"); sys.stdout.buffer.flush(); os._exit(3)
    if text == "huge": sys.stdout.buffer.write(struct.pack("<II", n, 1 << 31)); sys.stdout.buffer.flush(); time.sleep(600)
    for word in text.split(): send(n, word.encode())
    send(n, b"")
"""  # noqa: E501
HELLO = 'send(0, json.dumps({"rate": 16000}).encode())'


class Box:
    """A voice whose program is a test's, and what became of its processes."""

    def __init__(self, folder: Path, start: str = HELLO) -> None:
        program = folder / "program.py"
        program.write_text(PROGRAM.replace("START", start))
        self._pids = folder / "pids"
        self.tts = PiperTts(self._pids, program=program)

    def pids(self) -> list[int]:
        return [int(line) for line in self._pids.read_text().split()]

    async def say(self, text: str) -> list[bytes]:
        async with asyncio.timeout(10):
            return [piece async for piece in self.tts.speak(text)]


@pytest.fixture
async def box(tmp_path: Path) -> AsyncGenerator[Box]:
    box = Box(tmp_path)
    yield box
    await box.tts.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_texts_are_spoken_in_order_by_one_program(box: Box) -> None:
    await box.tts.prepare()
    assert box.tts.rate == 16_000
    said = await asyncio.gather(*(box.say(f"number {n}") for n in range(20)))
    assert said == [[b"number", f"{n}".encode()] for n in range(20)]
    assert len(box.pids()) == 1


async def test_it_is_started_when_it_is_needed(box: Box) -> None:
    assert await box.say("hello") == [b"hello"]


@pytest.mark.parametrize("text", ["die", "half", "huge"])
async def test_after_a_death_the_next_text_starts_it_again(box: Box, text: str) -> None:
    with pytest.raises(AgentError, match="ended while it spoke"):
        await box.say(text)
    assert await box.say("again") == [b"again"]
    first, second = box.pids()
    assert first != second
    assert not alive(first)


async def test_those_who_wait_behind_a_death_are_told(box: Box) -> None:
    await box.tts.prepare()
    said = await asyncio.gather(box.say("die"), box.say("after"), return_exceptions=True)
    assert all(isinstance(one, AgentError) for one in said)


async def test_a_program_that_hangs_is_ended(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piper, "_SPEAK_DEADLINE_S", 0.2)
    with pytest.raises(AgentError, match="ended while it spoke"):
        await box.say("hang")
    assert not alive(box.pids()[0])
    assert await box.say("again") == [b"again"]


async def test_a_text_that_is_no_longer_wanted_is_not_heard_by_the_next(box: Box) -> None:
    async with aclosing(box.tts.speak("one two three")) as speech:
        assert await anext(speech) == b"one"
    waiting = asyncio.create_task(box.say("dropped before its turn"))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await box.say("four") == [b"four"]


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ("sys.exit('there is no voice')", "there is no voice"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("sys.stdout.buffer.write(b'not a frame at all'); sys.exit(0)", "did not get ready"),
        ("send(0, b'not json')", "did not get ready"),
        ("send(0, b'{}')", "did not get ready"),
    ],
)
async def test_a_program_that_does_not_start_says_why(tmp_path: Path, start: str, why: str) -> None:
    box = Box(tmp_path, start)
    with pytest.raises(AgentError, match=why):
        await box.tts.prepare()
    await box.tts.close()
    assert not any(alive(pid) for pid in box.pids())


async def test_a_program_that_never_gets_ready_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piper, "_LOAD_DEADLINE_S", 0.5)
    box = Box(tmp_path, "time.sleep(600)")
    with pytest.raises(AgentError, match="did not get ready"):
        await box.tts.prepare()
    assert not any(alive(pid) for pid in box.pids())


async def test_closing_ends_it(box: Box) -> None:
    await box.say("hello")
    await box.tts.close()
    await box.tts.close()
    assert not any(alive(pid) for pid in box.pids())
    with pytest.raises(AgentError, match="closed"):
        await box.say("more")


async def test_closing_ends_it_even_while_it_hangs(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piper, "_END_DEADLINE_S", 0.2)
    await box.tts.prepare()
    speaking = asyncio.create_task(box.say("hang"))
    await asyncio.sleep(0)
    await box.tts.close()
    with pytest.raises(AgentError):
        await speaking
    assert not any(alive(pid) for pid in box.pids())
