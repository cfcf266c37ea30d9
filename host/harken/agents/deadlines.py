"""Deadlines for what an agent waits for."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from harken.errors import AgentTimeoutError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable

__all__ = ["each_within", "within"]

_T = TypeVar("_T")


async def within(work: Awaitable[_T], seconds: float, what: str, hint: str = "") -> _T:
    """The result of `work`.

    Raises:
        AgentTimeoutError: it took longer than `seconds`; it was cancelled.
    """
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise AgentTimeoutError(f"{what} took longer than {seconds:g} s", hint=hint) from error


async def each_within(
    items: AsyncGenerator[_T], seconds: float, what: str, hint: str = ""
) -> AsyncGenerator[_T]:
    """The items, each coming within `seconds` of being asked for.

    Raises:
        AgentTimeoutError: one did not; the source was closed.
    """
    async with aclosing(items):
        while True:
            try:
                item = await within(anext(items), seconds, what, hint)
            except StopAsyncIteration:
                return
            yield item
