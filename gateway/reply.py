"""What the pipeline gives to whoever asked: a record, and encoded audio, whole or as a stream.

Knows nothing about HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from gateway.audio.encode import finish_clip
from gateway.record import Served


@dataclass(slots=True)
class Reply:
    """Encoded audio for a client: `body` when it is whole, else `stream`, which the holder must close.

    The stream raises a SpeechError when the speech cannot be completed. `served` goes on being written
    while it runs.
    """

    served: Served
    media_type: str
    sample_rate: int
    body: bytes | None = None
    stream: EncodedStream | None = None

    async def whole(self) -> bytes:
        """All of it, awaited. Raises SpeechError when the speech cannot be completed."""
        if self.body is None and self.stream is not None:
            async with aclosing(self.stream) as pieces:
                gathered = b"".join([piece async for piece in pieces])
            self.body = finish_clip(self.served.format, gathered)
        return self.body or b""

    async def aclose(self) -> None:
        if self.stream is not None:
            await self.stream.aclose()


class EncodedStream:
    """Encoded pieces, the first of them already there. Closing it cancels the engine, also before it is read."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self._first: bytes | None = first
        self._rest = rest

    def __aiter__(self) -> EncodedStream:
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await anext(self._rest)

    async def aclose(self) -> None:
        await self._rest.aclose()
