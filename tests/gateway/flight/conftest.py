"""What tests of flights share: an engine that goes on when it is told to, and a listener who can leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from engines.contract import AudioChunk, SpeechRequest
from gateway.pipeline import speak
from gateway.record import Served
from gateway.request import ClientRequest
from gateway.runtime import Runtime
from tests.engines_at_hand import Scripted
from tests.redis_at_hand import until

TEXT = "One sentence. Two sentences. Three sentences."


class Paced(Scripted):
    """Speaks the first clauses at once, `free` of them, and waits for `go` before each one after those."""

    def __init__(self, *scripts: list[AudioChunk | float | Exception], free: int = 1) -> None:
        super().__init__(*scripts)
        self.free, self.go = free, asyncio.Event()
        self.waiting = asyncio.Event()

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        if self.free == 0:
            self.waiting.set()
            self.open += 1
            try:
                await self.go.wait()
            finally:
                self.open -= 1
        else:
            self.free -= 1
        async with aclosing(super().synthesize(request)) as chunks:
            async for one in chunks:
                yield one


@dataclass
class Client:
    """One who asks for a speech, hears it piece by piece, and may leave."""

    runtime: Runtime
    name: str
    request: ClientRequest
    pieces: list[bytes] = field(default_factory=list)
    served: Served | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self) -> bytes:
        """All of it."""
        reply = await speak(self.request, self.runtime, self.name)
        self.served = reply.served
        assert reply.stream is not None or reply.body is not None
        if reply.body is not None:
            return reply.body
        assert reply.stream is not None
        async with aclosing(reply.stream) as pieces:
            async for piece in pieces:
                self.pieces.append(piece)
                self.begun.set()
        return b"".join(self.pieces)

    def start(self) -> asyncio.Task[bytes]:
        return asyncio.create_task(self.hear(), name=self.name)

    async def record(self) -> Served:
        """What is told of the request afterwards."""
        served = await self.runtime.outcomes.get(self.name)
        assert served is not None
        return served


def client(runtime: Runtime, name: str, text: str = TEXT, **more: object) -> Client:
    fields = {"format": "pcm", "sample_rate": 8000} | more
    return Client(runtime, name, ClientRequest(text, **fields))  # type: ignore[arg-type]


async def nothing_left(runtime: Runtime, *engines: Scripted) -> None:
    """Fails when a task, a slot, a flight or a piece of audio is still there, though nobody listens any more."""
    await until(lambda: runtime.flights.idle)
    for engine in engines:
        assert engine.open == 0
    for member in runtime.fleet.members.values():
        await until(lambda member=member: member.users == 0)  # type: ignore[misc]
        assert member.state.busy == member.state.queued == 0


@pytest.fixture
def paced() -> Paced:
    return Paced()
