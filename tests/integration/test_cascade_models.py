"""The whole cascade with its real models: a question is spoken, transcribed, answered, spoken."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pytest_asyncio

from harken.agents.agent import (
    AgentConfig,
    AgentFailed,
    AnswerAudio,
    AnswerCancelled,
    AnswerDone,
    AnswerStage,
    AnswerText,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    ToolSpec,
    UserTranscript,
)
from harken.agents.factory import build
from harken.agents.llama import LlamaLlm
from harken.agents.piper import PiperTts
from harken.audio.pcm import Resampler
from harken.config import AgentSettings
from harken.errors import AgentError, ModelFormatError, ModelMissingError
from harken_models.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from harken.agents.agent import Agent, AgentEvent
    from harken.agents.factory import AgentFactory

pytestmark = [
    pytest.mark.integration,
    pytest.mark.models,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]
for package in ("faster_whisper", "xllamacpp", "piper", "hassil", "onnxruntime"):
    pytest.importorskip(package, reason="pip install 'harken[local]'")

LAST = (AnswerDone, AnswerCancelled, AgentFailed)
TOOLS = tuple(
    ToolSpec(name, "", {}) for name in ("self.audio_speaker.set_volume", "self.get_device_status")
)
RATE = 16_000
FRAME = RATE // 50 * 2
QUIET = np.random.default_rng(5).normal(0, 20, RATE).astype(np.int16).tobytes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def factory() -> AsyncGenerator[AgentFactory]:
    try:
        made = build(AgentSettings())
        await made.prepare()
    except ModelMissingError:
        pytest.skip("harken models pull")
    yield made
    await made.close()


async def voice(text: str) -> bytes:
    """A text as a person might say it, at 16 kHz: by a program of its own, always the same way."""
    tts = PiperTts(Store().weights("piper-joe"))
    try:
        await tts.prepare()
        resampler = Resampler(tts.rate, RATE)
        pcm = b""
        async for piece in tts.speak(text):
            pcm += resampler.feed(piece)
        return pcm + resampler.flush()
    finally:
        await tts.close()


@pytest_asyncio.fixture(loop_scope="module")
async def agent(factory: AgentFactory) -> AsyncGenerator[Agent]:
    made = factory.create()
    await made.start(AgentConfig(tools=TOOLS))
    yield made
    await made.close()


def feed(agent: Agent, pcm: bytes) -> None:
    for at in range(0, len(pcm), FRAME):
        agent.feed(pcm[at : at + FRAME])


async def until(events: AsyncIterator[AgentEvent], *kinds: type) -> list[AgentEvent]:
    seen: list[AgentEvent] = []
    async with asyncio.timeout(90):
        async for event in events:
            seen.append(event)
            if isinstance(event, kinds):
                return seen
    pytest.fail("the agent's events ended")


def transcript(events: Sequence[AgentEvent]) -> str:
    return " ".join(event.text for event in events if isinstance(event, UserTranscript))


def plain(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def sound(events: Sequence[AgentEvent]) -> bytes:
    return b"".join(event.pcm for event in events if isinstance(event, AnswerAudio))


async def test_a_spoken_question_is_answered_aloud(factory: AgentFactory, agent: Agent) -> None:
    feed(agent, QUIET + await voice("What is the capital of France?") + QUIET[:8000])
    agent.commit()
    seen = await until(agent.events(), *LAST)
    assert plain(transcript(seen)) == ["what", "is", "the", "capital", "of", "france"]
    last = seen[-1]
    assert isinstance(last, AnswerDone)
    assert "Paris" in last.text
    assert [e.stage for e in seen if isinstance(e, AnswerStage)] == ["llm_first", "tts_first"]
    # What was spoken is what was written: the answer, heard again.
    pcm = sound(seen)
    assert factory._engines is not None
    rate = factory._engines.tts.rate
    resampler = Resampler(rate, RATE)
    heard = await factory._engines.stt.transcribe(resampler.feed(pcm) + resampler.flush(), "en")
    assert "paris" in plain(heard)


async def test_the_agent_hears_the_end_of_a_turn(factory: AgentFactory) -> None:
    agent = factory.create()
    await agent.start(AgentConfig())
    agent.listen("agent")
    feed(agent, QUIET + await voice("How many legs does a spider have?") + QUIET * 2)
    seen = await until(agent.events(), *LAST)
    kinds = [type(event) for event in seen[:3]]
    assert kinds == [SpeechStarted, SpeechStopped, UserTranscript]
    assert plain(transcript(seen)) == ["how", "many", "legs", "does", "a", "spider", "have"]
    await agent.close()


async def test_a_spoken_command_changes_the_volume(agent: Agent) -> None:
    feed(agent, QUIET + await voice("Turn the volume up.") + QUIET)
    agent.commit()
    events = agent.events()
    asked = (await until(events, ToolCall, *LAST))[-1]
    assert isinstance(asked, ToolCall)
    assert asked.name == "self.get_device_status"
    agent.tool_result(asked.call_id, json.dumps({"audio_speaker": {"volume": 70}}))
    asked = (await until(events, ToolCall, *LAST))[-1]
    assert isinstance(asked, ToolCall)
    assert (asked.name, dict(asked.arguments)) == ("self.audio_speaker.set_volume", {"volume": 80})
    agent.tool_result(asked.call_id, "true")
    seen = await until(events, *LAST)
    assert isinstance(seen[-1], AnswerDone)
    assert seen[-1].text == "Volume is now 80 percent."
    assert len(sound(seen)) > 22_050


async def test_an_interrupted_answer_ends_and_the_next_turn_is_clean(agent: Agent) -> None:
    events = agent.events()
    agent.say("Tell me a long story about a dragon.")
    seen = await until(events, AnswerAudio)
    agent.interrupt(500)
    assert isinstance((await until(events, *LAST))[-1], AnswerCancelled)
    agent.say("What is the capital of France?")
    seen = await until(events, *LAST)
    said = [event.text for event in seen if isinstance(event, AnswerText)]
    last = seen[-1]
    assert isinstance(last, AnswerDone)
    assert " ".join(said) == last.text
    assert "dragon" not in last.text.lower()


async def test_the_same_question_has_the_same_answer(factory: AgentFactory) -> None:
    answers: set[str] = set()
    for _ in range(2):
        agent = factory.create()
        await agent.start(AgentConfig())
        agent.say("Name a fruit.")
        last = (await until(agent.events(), *LAST))[-1]
        assert isinstance(last, AnswerDone)
        answers.add(last.text)
        await agent.close()
    assert len(answers) == 1


@pytest.mark.parametrize("pcm", [b"", b"\0" * 100, b"\0" * 64_000, QUIET], ids=len)
async def test_no_speech_is_no_words(factory: AgentFactory, pcm: bytes) -> None:
    assert factory._engines is not None
    assert await factory._engines.stt.transcribe(pcm, "en") == ""


async def test_noise_is_an_empty_turn(agent: Agent) -> None:
    noise = np.random.default_rng(1).normal(0, 800, 3 * RATE).astype(np.int16).tobytes()
    feed(agent, noise)
    agent.commit()
    seen = await until(agent.events(), *LAST)
    assert transcript(seen) == ""
    assert isinstance(seen[-1], AnswerDone)


async def test_human_speech_is_understood(factory: AgentFactory) -> None:
    data = Path("/usr/share/pocketsphinx/test/data/librivox")
    clip = data / "sense_and_sensibility_01_austen_64kb-0930.wav"
    if not clip.is_file():
        pytest.skip("apt install pocketsphinx-testdata")
    pcm = clip.read_bytes()[44:]
    assert factory._engines is not None
    heard = await factory._engines.stt.transcribe(pcm, "en")
    assert plain(heard) == ["he", "might", "even", "have", "been", "made", "amiable", "himself"]


async def test_the_model_stops_when_nobody_listens(factory: AgentFactory) -> None:
    assert factory._engines is not None
    llm = factory._engines.llm
    for _ in range(12):  # more often than there are slots: each must become free again
        async with aclosing(llm.reply([{"role": "user", "content": "Count to 1000."}], ())) as it:
            assert await anext(it)


async def test_several_conversations_at_once_do_not_mix(factory: AgentFactory) -> None:
    agents = [factory.create() for _ in range(3)]
    for agent in agents:
        await agent.start(AgentConfig())
        agent.say("What is the capital of France?")
    ends = await asyncio.gather(*(until(agent.events(), *LAST) for agent in agents))
    answers = [seen[-1] for seen in ends]
    assert all(isinstance(last, AnswerDone) and "Paris" in last.text for last in answers)
    for agent in agents:
        await agent.close()


async def test_a_prompt_that_is_too_long_is_refused_and_harms_nobody(
    factory: AgentFactory,
) -> None:
    assert factory._engines is not None
    llm = factory._engines.llm
    with pytest.raises(AgentError, match="exceeds the available context"):
        async for _ in llm.reply([{"role": "user", "content": "word " * 5000}], ()):
            pass
    pieces = [p async for p in llm.reply([{"role": "user", "content": "Say yes."}], ())]
    assert pieces


def damaged_store(folder: Path, name: str) -> Store:
    """A store that holds one model, whose weights are no model."""
    real = Store()
    store = Store(folder)
    for model in real.manifest.models.values():
        source = real.locate(model.name)
        target = folder / model.name / source.name
        target.mkdir(parents=True)
        for path in source.iterdir():
            shutil.copy2(path, target)
    weights = store.weights(name)
    status = weights.stat()
    weights.unlink()
    weights.write_bytes(b"\0" * status.st_size)
    stamp = weights.parent / "stamp.json"
    told = json.loads(stamp.read_bytes())
    told[weights.name] = [status.st_size, weights.stat().st_mtime_ns]
    stamp.unlink()
    stamp.write_text(json.dumps(told))
    return store


@pytest.mark.parametrize("name", ["whisper-tiny", "smollm2-135m", "piper-joe"])
async def test_a_corrupt_model_is_named(factory: AgentFactory, tmp_path: Path, name: str) -> None:
    broken = build(AgentSettings(), damaged_store(tmp_path, name))
    with pytest.raises((ModelFormatError, AgentError), match="harken models verify"):
        await broken.prepare()


async def test_a_missing_model_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="harken models pull whisper-tiny"):
        await build(AgentSettings(), Store(tmp_path)).prepare()


async def test_a_library_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on a machine where Debian's libgomp1 is not installed."""
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('libgomp.so.1: cannot open')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    llm = LlamaLlm(tmp_path / "model.gguf")
    with pytest.raises(AgentError, match=r"libgomp\.so\.1.*libgomp1"):
        await llm.prepare("")
    await llm.close()


async def test_piper_is_not_in_the_gateways_process() -> None:
    """Its licence is not ours: it runs in a program of its own."""
    script = (
        "import asyncio, sys\n"
        "from harken.agents.factory import build\n"
        "from harken.config import AgentSettings\n"
        "async def main():\n"
        "    factory = build(AgentSettings())\n"
        "    await factory.prepare()\n"
        "    print(sorted(m for m in sys.modules if m == 'piper' or m.startswith('piper.')))\n"
        "    await factory.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
