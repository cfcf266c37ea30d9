"""The language model: what the cascade wants of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from harken.agents.agent import ToolSpec
    from harken.agents.history import Message

__all__ = ["LanguageModel", "WantedTool"]


@dataclass(frozen=True, slots=True)
class WantedTool:
    """The model asks for a tool: its own id for the call, the tool, and its arguments in JSON."""

    call_id: str
    name: str
    arguments: str


class LanguageModel(Protocol):
    """Continues a conversation."""

    @property
    def prompt_tokens(self) -> int | None:
        """The longest prompt that makes sense, in tokens; `None` where no limit is known."""
        ...

    async def prepare(self, instructions: str) -> None:
        """Load what is needed, once, and get used to the persona.

        Raises:
            HarkenError: it cannot be had; the hint says what to do.
        """
        ...

    async def expect(self, messages: Sequence[Message]) -> None:
        """A reply to a conversation that begins so will soon be wanted: read it, where that helps.

        Never fails; what goes wrong shows with the reply.
        """
        ...

    def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncGenerator[str | WantedTool]:
        """The answer, in pieces as it is thought of. Closing the generator stops the model.

        Args:
            messages: the conversation in the shape of OpenAI's chat completions.
            tools: what the model may ask for, where it can.

        Raises:
            AgentError: it failed.
        """
        ...

    async def close(self) -> None:
        """Let go of everything; safe to call twice."""
        ...
