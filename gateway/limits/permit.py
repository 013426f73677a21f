"""What one request takes of its key's limits, step by step. Knows nothing about HTTP or where the buckets are kept."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from gateway.limits.headers import Headers


class Permit(Protocol):
    """One admitted request: `async with` it, spend before an engine speaks, settle when it is over."""

    async def spend(self, characters: int, audio_s: float) -> None:
        """Take characters and the expected seconds of audio before synthesis; both or none.

        A clip from the cache, and a request that follows another's synthesis, never come here. Raises RateLimited.
        """

    async def settle(self, audio_s: float, *, spoken: bool) -> None:
        """Correct what was spent by what was really spoken, in seconds. Not `spoken`: nothing came of it, and all that
        was spent is given back. It may come after the block: what goes on for others when its own client
        has left is paid at its end. Once for each `spend`; without one, nothing happens. Does not wait for Redis."""

    def headers(self) -> Headers:
        """What is left of the limits, as it was last seen: `x-ratelimit-*`."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back the place among the requests in flight."""


class Unlimited:
    """The permit of whoever has no limits."""

    async def spend(self, characters: int, audio_s: float) -> None: ...

    async def settle(self, audio_s: float, *, spoken: bool) -> None: ...

    def headers(self) -> Headers:
        return []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


FREE = Unlimited()
