"""Hedging: when a stream stays silent for a while, the next begins beside it, and the first that is heard goes on.

Knows nothing about engines or speech. The others are closed before anything is handed on, and so is everything when the
listener leaves: no task and no generator is left behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import TypeVar

T = TypeVar("T")


async def hedged(streams: Iterator[AsyncGenerator[T, None]], after_s: float) -> AsyncGenerator[T, None]:
    """What the first of `streams` gives, or the next that was quicker: two are open at a time, `after_s` seconds apart.

    A stream that fails leaves the other alone with the race. Raises the error of the last one that was open. At least
    one stream is needed, and each gives something or raises.
    """
    opening: dict[asyncio.Task[T], AsyncGenerator[T, None]] = {}
    won: asyncio.Task[T] | None = None
    try:
        _begin(streams, opening)
        may_begin = True
        while won is None:
            timeout_s = after_s if may_begin and len(opening) == 1 else None
            done, _ = await asyncio.wait(opening, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                may_begin = _begin(streams, opening)
            for task in [task for task in opening if task in done]:  # in the order of their beginning
                if (error := task.exception()) is None:
                    won = won or task
                    continue
                del opening[task]
                if not opening:
                    raise error
    except BaseException:
        await _close(opening)
        raise
    async with aclosing(opening.pop(won)) as stream:  # also when the listener leaves while the others are closed
        await _close(opening)
        yield won.result()
        async for item in stream:
            yield item


def _begin(streams: Iterator[AsyncGenerator[T, None]], opening: dict[asyncio.Task[T], AsyncGenerator[T, None]]) -> bool:
    """Open one stream more; False when there is none."""
    for stream in streams:
        opening[asyncio.create_task(_first_of(stream))] = stream
        return True
    return False


async def _first_of(stream: AsyncGenerator[T, None]) -> T:
    return await anext(stream)


async def _close(losers: Mapping[asyncio.Task[T], AsyncGenerator[T, None]]) -> None:
    async with AsyncExitStack() as stack:
        for task, stream in losers.items():
            stack.push_async_callback(stream.aclose)
            task.cancel()
        await asyncio.gather(*losers, return_exceptions=True)
