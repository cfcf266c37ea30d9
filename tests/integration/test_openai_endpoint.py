"""Any OpenAI-compatible endpoint in place of a stage: one that behaves, and many that do not."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from harken.agents.agent import (
    AgentConfig,
    AgentFailed,
    AnswerAudio,
    AnswerCancelled,
    AnswerDone,
    ToolCall,
    ToolSpec,
    UserTranscript,
)
from harken.agents.factory import build
from harken.config import AgentSettings, LlmSettings, SttSettings, TtsSettings
from harken.errors import AgentError
from harken_models.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from harken.agents.agent import Agent, AgentEvent

pytestmark = pytest.mark.integration
pytest.importorskip("openai", reason="pip install 'harken[local]'")

STAGES = ("stt", "llm", "tts")
SPEECH = b"\x00\x10" * 16_000
TOOL = ToolSpec("self.lamp.dim", "Dim the lamp.", {"type": "object", "properties": {}})
TROUBLES = ("401", "404", "429", "500", "vanish", "html", "json")
LAST = (AnswerDone, AnswerCancelled, AgentFailed)


class Endpoint:
    """A server of the three calls; `trouble` says which of them misbehaves, and how.

    Its paths are those of OpenAI's API, under `/v1`.
    """

    def __init__(self) -> None:
        self.trouble: dict[str, str] = {}
        self.requests: dict[str, list[Any]] = {stage: [] for stage in STAGES}
        self.asked = {stage: asyncio.Event() for stage in STAGES}
        self.keys: set[str] = set()
        self.answers: list[list[dict[str, Any]]] = []
        self.url = ""
        self._leave = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Endpoint]:
        app = web.Application()
        app.router.add_post("/v1/audio/transcriptions", self.transcriptions)
        app.router.add_post("/v1/chat/completions", self.completions)
        app.router.add_post("/v1/audio/speech", self.speech)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield self
        finally:
            self._leave.set()
            await runner.cleanup()

    async def misbehave(self, stage: str, request: web.Request) -> web.StreamResponse | None:
        """What is said instead of the answer, if the stage is in trouble."""
        self.keys.add(request.headers.get("Authorization", ""))
        trouble = self.trouble.get(stage, "")
        if trouble.isdigit():
            return web.json_response({"error": {"message": "no"}}, status=int(trouble))
        if trouble == "stall":
            await self._leave.wait()
        if trouble == "vanish":
            assert request.transport is not None
            request.transport.abort()
        if trouble == "html":
            return web.Response(text="<html>login first</html>", content_type="text/html")
        if trouble == "json":
            return web.json_response({"unexpected": True})
        if trouble == "empty":
            return web.Response()
        return None

    async def transcriptions(self, request: web.Request) -> web.StreamResponse:
        form = dict(await request.post())
        file = form["file"]
        assert isinstance(file, web.FileField)
        self.requests["stt"].append({**form, "file": file.file.read()})
        self.asked["stt"].set()
        wrong = await self.misbehave("stt", request)
        return wrong or web.json_response({"text": " What is it? "})

    async def completions(self, request: web.Request) -> web.StreamResponse:
        self.requests["llm"].append(await request.json())
        self.asked["llm"].set()
        if wrong := await self.misbehave("llm", request):
            return wrong
        deltas = self.answers.pop(0) if self.answers else said("It is ", "so. ", "Really.")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        trouble = self.trouble.get("llm")
        for number, delta in enumerate(deltas):
            if number == 1 and trouble in {"stall_midway", "vanish_midway", "garbage_midway"}:
                return await self.midway(trouble, request, response)
            await response.write(event(delta, last=number == len(deltas) - 1))
        await response.write(b"data: [DONE]\n\n")
        return response

    async def speech(self, request: web.Request) -> web.StreamResponse:
        self.requests["tts"].append(await request.json())
        self.asked["tts"].set()
        if wrong := await self.misbehave("tts", request):
            return wrong
        trouble = self.trouble.get("tts", "")
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        if trouble == "endless":
            response.enable_chunked_encoding()
        await response.prepare(request)
        if trouble == "wav":
            await response.write(b"RIFF....WAVE" + b"\0" * 100)
            return response
        for number in range(10_000 if trouble == "endless" else 5):
            if number == 1 and trouble in {"stall_midway", "vanish_midway"}:
                return await self.midway(trouble, request, response)
            # Odd sizes: samples are cut in two on the way.
            await response.write(b"\x00\x10" * (50_000 if trouble == "endless" else 2400) + b"\x00")
            await response.write(b"\x10")
        return response

    async def midway(
        self, trouble: str, request: web.Request, response: web.StreamResponse
    ) -> web.StreamResponse:
        """Trouble in the middle of an answer."""
        if trouble == "stall_midway":
            await self._leave.wait()
        elif trouble == "garbage_midway":
            await response.write(b"data: {not json\n\n")
        else:
            assert request.transport is not None
            request.transport.abort()
        return response


def said(*pieces: str) -> list[dict[str, Any]]:
    return [{"content": piece} for piece in pieces]


def event(delta: dict[str, Any], *, last: bool) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if last else None}
    chunk = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [choice],
    }
    return f"data: {json.dumps(chunk)}\n\n".encode()


@pytest.fixture
async def endpoint() -> AsyncGenerator[Endpoint]:
    async with Endpoint().running() as running:
        yield running


def settings(url: str, timeout_s: float = 5.0) -> AgentSettings:
    common: dict[str, Any] = {
        "engine": "openai",
        "base_url": url,
        "api_key": "sk-secret",
        "timeout_s": timeout_s,
    }
    return AgentSettings(
        stt=SttSettings(**common), llm=LlmSettings(**common), tts=TtsSettings(**common)
    )


@asynccontextmanager
async def conversation(
    agent_settings: AgentSettings, folder: Path
) -> AsyncGenerator[tuple[Agent, AsyncIterator[AgentEvent]]]:
    """An agent of an empty model store, started."""
    factory = build(agent_settings, Store(folder))
    await factory.prepare()
    agent = factory.create()
    try:
        await agent.start(AgentConfig(tools=(TOOL,)))
        yield agent, agent.events()
    finally:
        await agent.close()
        await factory.close()


async def turn(agent: Agent, events: AsyncIterator[AgentEvent]) -> list[AgentEvent]:
    """Speak, and take everything up to the end of the turn."""
    agent.feed(SPEECH)
    agent.commit()
    return await until(events, *LAST)


async def until(events: AsyncIterator[AgentEvent], *kinds: type) -> list[AgentEvent]:
    seen: list[AgentEvent] = []
    async with asyncio.timeout(20):
        async for event_ in events:
            seen.append(event_)
            if isinstance(event_, kinds):
                return seen
    pytest.fail("the agent's events ended")


async def test_a_turn_through_the_endpoint(endpoint: Endpoint, tmp_path: Path) -> None:
    async with conversation(settings(endpoint.url), tmp_path) as (agent, events):
        seen = await turn(agent, events)
    assert [e.text for e in seen if isinstance(e, UserTranscript)] == ["What is it?"]
    last = seen[-1]
    assert isinstance(last, AnswerDone)
    assert last.text == "It is so. Really."
    audio = [e for e in seen if isinstance(e, AnswerAudio)]
    assert {e.rate for e in audio} == {24_000}
    pcm = b"".join(e.pcm for e in audio)
    assert pcm == b"\x00\x10" * (2 * 5 * 2401)
    form = endpoint.requests["stt"][0]
    assert (form["model"], form["language"]) == ("whisper-1", "en")
    with wave.open(io.BytesIO(form["file"])) as wav:
        assert (wav.getframerate(), wav.getnchannels()) == (16_000, 1)
        assert wav.readframes(100_000) == SPEECH
    request = endpoint.requests["llm"][0]
    assert request["stream"] is True
    assert [m["role"] for m in request["messages"]] == ["system", "user"]
    spoken = endpoint.requests["tts"]
    assert [r["input"] for r in spoken] == ["It is so.", "Really."]
    assert {r["response_format"] for r in spoken} == {"pcm"}
    assert endpoint.keys == {"Bearer sk-secret"}


async def test_the_models_own_tool_calls_go_through(endpoint: Endpoint, tmp_path: Path) -> None:
    call = {"index": 0, "id": "call_1", "type": "function"}
    endpoint.answers = [
        [
            {"tool_calls": [{**call, "function": {"name": "self_lamp_dim", "arguments": ""}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"lev'}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": 'el": 3}'}}]},
        ],
        said("Dimmed."),
    ]
    async with conversation(settings(endpoint.url), tmp_path) as (agent, events):
        agent.say("make it cosy")
        wanted = (await until(events, ToolCall))[-1]
        assert isinstance(wanted, ToolCall)
        assert (wanted.name, dict(wanted.arguments)) == ("self.lamp.dim", {"level": 3})
        agent.tool_result(wanted.call_id, "true")
        last = (await until(events, *LAST))[-1]
    assert isinstance(last, AnswerDone)
    assert last.text == "Dimmed."
    offered = endpoint.requests["llm"][0]["tools"][0]["function"]
    assert offered["name"] == "self_lamp_dim"
    followed = endpoint.requests["llm"][1]["messages"][-2:]
    assert followed[0]["tool_calls"][0]["function"]["name"] == "self_lamp_dim"
    assert followed[1] == {"role": "tool", "tool_call_id": "call_1", "content": "true"}


@pytest.mark.parametrize(
    ("stage", "trouble"),
    [
        *((stage, trouble) for stage in STAGES for trouble in TROUBLES),
        # A transcript may be empty, an answer and its sound may not.
        ("llm", "empty"),
        ("tts", "empty"),
    ],
)
async def test_trouble_fails_the_turn_and_not_the_session(
    endpoint: Endpoint, tmp_path: Path, stage: str, trouble: str
) -> None:
    endpoint.trouble[stage] = trouble
    async with conversation(settings(endpoint.url), tmp_path) as (agent, events):
        failed = (await turn(agent, events))[-1]
        assert isinstance(failed, AgentFailed), failed
        assert f"agent.{stage}" in failed.message
        assert failed.hint
        assert not failed.fatal
        assert "sk-secret" not in failed.message + failed.hint
        if trouble == "401":
            assert f"agent.{stage}.api_key" in failed.hint
        endpoint.trouble.clear()
        assert isinstance((await turn(agent, events))[-1], AnswerDone)


@pytest.mark.parametrize(
    ("stage", "trouble"),
    [
        ("llm", "vanish_midway"),
        ("llm", "garbage_midway"),
        ("tts", "vanish_midway"),
        ("tts", "wav"),
        ("tts", "endless"),
    ],
)
async def test_trouble_in_the_middle_of_an_answer(
    endpoint: Endpoint, tmp_path: Path, stage: str, trouble: str
) -> None:
    endpoint.trouble[stage] = trouble
    async with conversation(settings(endpoint.url), tmp_path) as (agent, events):
        failed = (await turn(agent, events))[-1]
        assert isinstance(failed, AgentFailed), failed
        assert f"agent.{stage}" in failed.message
        endpoint.trouble.clear()
        assert isinstance((await turn(agent, events))[-1], AnswerDone)


@pytest.mark.parametrize(
    ("stage", "trouble"),
    [(stage, "stall") for stage in STAGES] + [("llm", "stall_midway"), ("tts", "stall_midway")],
)
async def test_a_stalled_endpoint_meets_its_deadline(
    endpoint: Endpoint, tmp_path: Path, stage: str, trouble: str
) -> None:
    endpoint.trouble[stage] = trouble
    async with conversation(settings(endpoint.url, timeout_s=0.3), tmp_path) as (agent, events):
        failed = (await turn(agent, events))[-1]
        assert isinstance(failed, AgentFailed), failed
        assert failed.code == "agent_timeout"
        endpoint.trouble.clear()


@pytest.mark.parametrize("stage", STAGES)
async def test_an_interruption_lets_go_of_a_stalled_endpoint(
    endpoint: Endpoint, tmp_path: Path, stage: str
) -> None:
    endpoint.trouble[stage] = "stall"
    async with conversation(settings(endpoint.url, timeout_s=30), tmp_path) as (agent, events):
        agent.feed(SPEECH)
        agent.commit()
        async with asyncio.timeout(5):
            await endpoint.asked[stage].wait()
        agent.interrupt(0)
        assert isinstance((await until(events, *LAST))[-1], AnswerCancelled)
        endpoint.trouble.clear()
        assert isinstance((await turn(agent, events))[-1], AnswerDone)


async def test_nobody_listens_there(tmp_path: Path) -> None:
    async with Endpoint().running() as gone:
        url = gone.url
    async with conversation(settings(url), tmp_path) as (agent, events):
        failed = (await turn(agent, events))[-1]
    assert isinstance(failed, AgentFailed)
    assert "cannot be reached" in failed.message
    assert "agent.stt.base_url" in failed.hint


async def test_no_key_of_the_environment_leaves_for_another_server(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    keyless: dict[str, Any] = {"engine": "openai", "base_url": endpoint.url}
    without = AgentSettings(
        stt=SttSettings(**keyless), llm=LlmSettings(**keyless), tts=TtsSettings(**keyless)
    )
    async with conversation(without, tmp_path) as (agent, events):
        assert isinstance((await turn(agent, events))[-1], AnswerDone)
    assert not any("environment" in key for key in endpoint.keys)


async def test_openai_itself_needs_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    factory = build(
        AgentSettings(
            stt=SttSettings(engine="openai"),
            llm=LlmSettings(engine="openai"),
            tts=TtsSettings(engine="openai"),
        ),
        Store(tmp_path),
    )
    with pytest.raises(AgentError, match=r"no key.*api_key"):
        await factory.prepare()
