"""What the OpenAI-compatible engines share: the client, and its errors in Harken's words."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from harken.errors import AgentError, AgentTimeoutError, HarkenError, printable

if TYPE_CHECKING:
    from collections.abc import Generator

    from openai import AsyncOpenAI

__all__ = ["Endpoint", "OpenAiClient"]


class Endpoint(Protocol):
    """The settings that say where an endpoint is."""

    @property
    def base_url(self) -> str:
        """Its root; empty for OpenAI's own."""
        ...

    @property
    def api_key(self) -> str:
        """Its key, perhaps empty."""
        ...

    @property
    def timeout_s(self) -> float:
        """The longest wait for it."""
        ...


class OpenAiClient:
    """A client of one endpoint.

    Args:
        section: of the configuration, for hints, e.g. "agent.stt".
        endpoint: that section.
    """

    def __init__(self, section: str, endpoint: Endpoint) -> None:
        self._section = section
        self._endpoint = endpoint
        self._client: AsyncOpenAI | None = None

    async def prepare(self) -> None:
        """Load the library; the endpoint is first asked when it is needed.

        Raises:
            AgentError: `openai` is not installed, or no key is set.
        """
        if self._client is None:
            self._client = await asyncio.to_thread(self._connect)

    def _connect(self) -> AsyncOpenAI:
        try:
            import openai
        except ImportError as error:
            raise AgentError(
                f"{self._section} needs the openai package, which is not installed",
                hint='pip install "harken[local]"',
            ) from error
        # With an endpoint of its own, no key of the environment may leave for it.
        key = self._endpoint.api_key or ("none" if self._endpoint.base_url else None)
        try:
            return openai.AsyncOpenAI(
                base_url=self._endpoint.base_url or None,
                api_key=key,
                timeout=self._endpoint.timeout_s,
                max_retries=0,
            )
        except openai.OpenAIError as error:
            raise AgentError(
                f"{self._section} has no key for OpenAI",
                hint=f"set {self._section}.api_key, or base_url to a server of yours",
            ) from error

    @property
    def api(self) -> AsyncOpenAI:
        """The client; `prepare` was called."""
        assert self._client is not None, "prepare comes first"
        return self._client

    @contextmanager
    def errors(self) -> Generator[None]:
        """Whatever goes wrong inside is an `AgentError` that says where and what to do."""
        import openai

        where = f"{self._section} ({printable(str(self.api.base_url), 100)})"
        try:
            yield
        except HarkenError:
            raise
        except openai.APITimeoutError as error:
            raise AgentTimeoutError(
                f"{where} did not answer within {self._endpoint.timeout_s:g} s",
                hint=f"is the server overloaded? see {self._section}.timeout_s",
            ) from error
        except openai.APIStatusError as error:
            raise AgentError(
                f"{where} refused: HTTP {error.status_code}", hint=self._hint(error.status_code)
            ) from error
        except openai.APIConnectionError as error:
            raise AgentError(
                f"{where} cannot be reached or broke off",
                hint=f"is the server running? see {self._section}.base_url",
            ) from error
        except Exception as error:  # the library lets many kinds through for garbage
            raise AgentError(
                f"{where} sent something that cannot be understood:"
                f" {printable(f'{type(error).__name__}: {error}', 120)}",
                hint=f"does {self._section}.base_url speak OpenAI's API?",
            ) from error

    def _hint(self, status: int) -> str:
        """What to do about an HTTP status."""
        if status in {401, 403}:
            return f"check {self._section}.api_key"
        if status in {400, 404, 422}:
            return f"check {self._section}.model and {self._section}.base_url"
        return "see the server's log, and try again later"

    async def close(self) -> None:
        """Close its connections; safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
