"""A language model on this machine, through llama.cpp."""

from __future__ import annotations

import asyncio
import importlib
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from harken.errors import AgentError, ModelFormatError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from harken.agents.agent import ToolSpec
    from harken.agents.history import Message
    from harken.agents.llm import WantedTool

__all__ = ["LlamaLlm"]


class LlamaLlm:
    """A GGUF model through llama.cpp, in this process. It is not offered tools: too small for them.

    Several conversations go on at once, each in a slot of its own, which remembers the prompt so
    far: only what is new in it has to be read.

    Args:
        path: the GGUF file.
        max_tokens: the longest answer.
        temperature: 0 always says the likeliest.
        threads: CPU threads.
        slots: conversations at once; further ones wait.
        context: tokens of one conversation, prompt and answer.
        prompt: tokens of a prompt. A processor reads some 200 a second, and a model so small loses
            the thread of a longer one anyway.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_tokens: int = 96,
        temperature: float = 0.0,
        threads: int = 2,
        slots: int = 4,
        context: int = 2048,
        prompt: int = 384,
    ) -> None:
        self._prompt = prompt
        self._path = path
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._threads = threads
        self._slots = slots
        self._context = context
        self._workers = ThreadPoolExecutor(slots, thread_name_prefix="harken-llm")
        self._server: Any = None

    @property
    def prompt_tokens(self) -> int | None:
        """See `LanguageModel.prompt_tokens`."""
        return min(self._prompt, self._context - self._max_tokens - 32)

    async def prepare(self, instructions: str) -> None:
        """Load the model and read the persona once.

        Raises:
            AgentError: `xllamacpp` is not installed.
            ModelFormatError: the file is not such a model.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._workers, self._load)
        await self.expect([{"role": "system", "content": instructions}])

    async def expect(self, messages: Sequence[Message]) -> None:
        """See `LanguageModel.expect`."""
        # What follows the conversation so far will be a user's words, whatever they are.
        prompt = [*messages, {"role": "user", "content": "Hello."}]
        with suppress(AgentError):
            async with aclosing(self.reply(prompt, ())) as pieces:
                await anext(pieces, None)

    def _load(self) -> None:
        if self._server is not None:
            return
        try:
            xllamacpp: Any = importlib.import_module("xllamacpp")  # it has no types
        except ModuleNotFoundError as error:
            raise AgentError(
                "the local language model needs xllamacpp, which is not installed",
                hint='pip install "harken[local]", or set agent.llm.engine = "openai"',
            ) from error
        except ImportError as error:
            raise AgentError(
                f"the local language model cannot be loaded: {error}",
                hint="install the library that it names; libgomp.so.1 is Debian's libgomp1",
            ) from error
        try:
            self._server = xllamacpp.Server(self._params(xllamacpp.CommonParams()))
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelFormatError(
                f"{self._path} is not a model that llama.cpp can load: {error}",
                hint="run `harken models verify`",
            ) from error

    def _params(self, params: Any) -> Any:
        params.model.path = str(self._path)
        params.n_ctx = self._context * self._slots
        params.n_parallel = self._slots
        params.n_gpu_layers = 0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.cache_ram_mib = 0
        params.verbosity = -1
        # llama.cpp opens a door of its own on loopback, which nobody here uses: lock it.
        params.api_keys = [secrets.token_urlsafe(32)]
        params.endpoint_slots = params.endpoint_props = params.ui = False
        return params

    async def reply(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],  # noqa: ARG002  (never offered)
    ) -> AsyncGenerator[str | WantedTool]:
        """See `LanguageModel.reply`."""
        loop = asyncio.get_running_loop()
        # Bounded by max_tokens.
        pieces: asyncio.Queue[str | AgentError | None] = asyncio.Queue()
        stop = threading.Event()

        def put(piece: str | AgentError | None) -> None:
            if not stop.is_set():
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        work = loop.run_in_executor(self._workers, self._run, list(messages), put, stop)
        try:
            while (piece := await pieces.get()) is not None:
                if isinstance(piece, AgentError):
                    raise piece
                yield piece
        finally:
            stop.set()
            work.cancel()

    def _run(self, messages: list[Message], put: Any, stop: threading.Event) -> None:
        """One request, in a worker thread; `put` takes its pieces, then an error or `None`."""
        request = {
            "messages": messages,
            "max_tokens": self._max_tokens,
            "temperature": self._temperature,
            "seed": 0,
            "stream": True,
            "cache_prompt": True,
        }

        def take(chunk: Any) -> bool:
            """One chunk of the stream; true ends it."""
            if "error" in chunk:
                put(AgentError(f"the language model failed: {_message(chunk['error'])}"))
                return True
            for choice in chunk.get("choices", ()):
                if content := choice.get("delta", {}).get("content"):
                    put(content)
            return stop.is_set()

        try:
            if not stop.is_set():
                self._server.handle_chat_completions(request, take)
        except (RuntimeError, ValueError) as error:
            put(AgentError(f"the language model failed: {error}"))
        put(None)

    async def close(self) -> None:
        """Free the model once the requests under way have ended."""
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._server = None


def _message(error: Any) -> str:
    """What an error of llama.cpp says."""
    try:
        return str(error["message"])
    except (TypeError, LookupError):
        return str(error)
