"""A language model at an OpenAI-compatible endpoint: `POST /chat/completions`, streamed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from harken.agents.llm import WantedTool
from harken.agents.openai_client import OpenAiClient
from harken.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from harken.agents.agent import ToolSpec
    from harken.agents.history import Message
    from harken.config import LlmSettings

__all__ = ["OpenAiLlm"]

# An answer or a call that grows beyond this is no answer.
_MOST_TEXT = 64_000
_MOST_TOOLS = 16


class OpenAiLlm:
    """A `LanguageModel` elsewhere; it may ask for tools.

    Args:
        settings: the `[agent.llm]` section.
    """

    def __init__(self, settings: LlmSettings) -> None:
        self._client = OpenAiClient("agent.llm", settings)
        self._settings = settings

    @property
    def prompt_tokens(self) -> int | None:
        """See `LanguageModel.prompt_tokens`."""
        return None

    async def prepare(self, instructions: str) -> None:  # noqa: ARG002  (the endpoint keeps no state)
        """See `LanguageModel.prepare`."""
        await self._client.prepare()

    async def expect(self, messages: Sequence[Message]) -> None:
        """See `LanguageModel.expect`; an endpoint that bills by the token is asked nothing."""

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncGenerator[str | WantedTool]:
        """See `LanguageModel.reply`."""
        names = _Names(tools)
        wanted: dict[int, list[str]] = {}
        length = 0
        with self._client.errors():
            # Any: its overloads cannot be told apart with the request in a dict.
            completions: Any = self._client.api.chat.completions
            stream: Any = await completions.create(**self._request(messages, names))
            async with stream:
                finished = False
                async for chunk in stream:
                    for choice in chunk.choices:
                        finished = finished or choice.finish_reason is not None
                        _collect(choice.delta.tool_calls or (), wanted)
                        if content := choice.delta.content:
                            length += len(content)
                            yield content
                    if length > _MOST_TEXT or len(wanted) > _MOST_TOOLS:
                        raise AgentError("agent.llm does not come to an end")
            if not finished:
                raise AgentError(
                    "agent.llm broke off in the middle of its answer",
                    hint="see the server's log, and try again",
                )
            for call_id, name, arguments in wanted.values():
                yield WantedTool(call_id, names.original(name), arguments)

    def _request(self, messages: Sequence[Message], names: _Names) -> dict[str, Any]:
        """The body of the request."""
        settings = self._settings
        # Servers other than OpenAI's often know only the older name.
        limit = "max_tokens" if settings.base_url else "max_completion_tokens"
        request: dict[str, Any] = {
            "model": settings.model or "gpt-4o-mini",
            "messages": [names.renamed(message) for message in messages],
            "temperature": settings.temperature,
            limit: settings.max_tokens,
            "stream": True,
        }
        if names.tools:
            request["tools"] = names.tools
        return request

    async def close(self) -> None:
        """See `LanguageModel.close`."""
        await self._client.close()


def _collect(deltas: Sequence[Any], wanted: dict[int, list[str]]) -> None:
    """Put the pieces of tool calls together: index -> id, name, arguments."""
    for delta in deltas:
        call = wanted.setdefault(delta.index, ["", "", ""])
        call[0] = delta.id or call[0]
        if delta.function is not None:
            call[1] += delta.function.name or ""
            call[2] += delta.function.arguments or ""
        if len(call[2]) > _MOST_TEXT:
            raise AgentError("agent.llm asks for a tool with endless arguments")


class _Names:
    """Tools under names that the API takes: letters, digits, `_` and `-`, at most 64.

    Args:
        tools: as the session knows them.
    """

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self._original: dict[str, str] = {}
        self.tools: list[dict[str, Any]] = []
        for tool in tools:
            name = re.sub(r"[^a-zA-Z0-9_-]", "_", tool.name)[:60]
            while name in self._original:
                name += "_"
            self._original[name] = tool.name
            function = {
                "name": name,
                "description": tool.description,
                "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
            }
            self.tools.append({"type": "function", "function": function})
        self._names = {original: name for name, original in self._original.items()}

    def original(self, name: str) -> str:
        """The session's name of a tool; an unknown one stays as it is."""
        return self._original.get(name, name)

    def renamed(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """A message with the API's names in the calls that it tells of."""
        if "tool_calls" not in message:
            return message
        calls = [
            {**call, "function": {**call["function"], "name": self._known(call)}}
            for call in message["tool_calls"]
        ]
        return {**message, "tool_calls": calls}

    def _known(self, call: Mapping[str, Any]) -> str:
        name: str = call["function"]["name"]
        return self._names.get(name, re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64])
