"""A crowd in front of engines of known speed, on virtual time: plan, failover and guards as a request meets them."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from engines.contract import AudioChunk, EngineInfo, SpeechRequest
from engines.errors import SpeechError
from engines.slots import Slots
from gateway.failover import Failover
from gateway.guards import Allowance, Guarded
from gateway.health.board import Board
from gateway.no_engine import no_engine
from gateway.record import Making
from gateway.text.script import Clause, Script
from policies.decide import decide
from policies.policy import Policy
from policies.types import Ask
from tests.virtual import LoopClock

#: seconds of speech for a character, as the estimate has it
CHAR_S = 0.065
RATE_HZ = 100


class Worker:
    """An engine that works `pace` seconds for a second of speech.

    How long a text lasts can only be estimated: each is off by up to `error`, and all by `slower`. One that streams
    gives a piece for every half second of speech.
    """

    def __init__(
        self, pace: float, seed: int, *, error: float = 0.3, slower: float = 1.0, streams: bool = True
    ) -> None:
        self.info = EngineInfo(any_voice=True, any_language=True)
        self._pace, self._random, self._error = pace, random.Random(seed), error
        self._slower, self._streams = slower, streams
        self.worked_s = 0.0

    async def start(self) -> None: ...
    async def check(self) -> None: ...
    async def close(self) -> None: ...

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        audio_s = len(request.text) * CHAR_S * self._slower * self._random.uniform(1 - self._error, 1 + self._error)
        while audio_s > 0:
            piece_s = min(audio_s, 0.5) if self._streams else audio_s
            await asyncio.sleep(piece_s * self._pace)
            self.worked_s += piece_s * self._pace
            audio_s -= piece_s
            yield AudioChunk(bytes(2 * max(1, round(piece_s * RATE_HZ))), RATE_HZ)


@dataclass(slots=True)
class Visitor:
    """What became of one request."""

    came_s: float
    clauses: int
    allowed_s: float  # its own deadline for the whole
    first_s: float | None = None
    ended_s: float | None = None
    audio_s: float = 0.0
    error: SpeechError | None = None
    again: Visitor | None = None  # when it came back

    @property
    def at_once(self) -> bool:
        """Was it turned away without a wait."""
        return self.error is not None and self.ended_s == self.came_s

    @property
    def in_time(self) -> bool:
        return self.error is None and self.ended_s is not None and self.ended_s - self.came_s <= self.allowed_s


@dataclass
class Crowd:
    """Engines, and those who come. Make it inside the running loop."""

    workers: dict[str, Worker]
    slots: int = 1
    queue: int = 8
    terms: dict[str, object] = field(default_factory=dict)
    visitors: list[Visitor] = field(default_factory=list)
    most_open: int = 0

    def __post_init__(self) -> None:
        self.clock = LoopClock()
        self.board = Board(self.clock)
        self.guarded = {}
        for name, worker in self.workers.items():
            slots = Slots(self.slots, self.queue, self.clock.monotonic)
            row = self.board.add(name, slots, info=worker.info)
            row.set_state("up")
            self.guarded[name] = Guarded(worker, row)
        rule = {"name": "all", "use": list(self.workers), **self.terms}
        self.policy = Policy.model_validate({"version": 1, "rules": [rule]})
        self._open = 0

    async def visit(self, lengths: Sequence[int], deadline_ms: int | None = None) -> Visitor:
        """Ask for a text of clauses of so many characters."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        allowed_s = math.inf if deadline_ms is None else deadline_ms / 1000
        visitor = Visitor(began_s, len(lengths), allowed_s)
        self.visitors.append(visitor)
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        chars = sum(lengths)
        script = Script(tuple(Clause("x" * n, "en") for n in lengths), chars, ("en",), chars * CHAR_S)
        ask = Ask(chars, ("en",), script.audio_s, max(lengths), deadline_ms=deadline_ms)
        plan = decide(ask, self.board.snapshot(), self.policy)
        try:
            if not plan.steps:
                raise no_engine(plan, [], self.guarded)
            speech = Failover(
                plan, script, self.guarded, lambda _, clause: SpeechRequest(clause.text, "en"),
                Making(), lambda: loop.time() - began_s, Allowance(allowed_s), self._nobody,
            )  # fmt: skip
            async with aclosing(speech.speak()) as audio:
                async for spoken in audio:
                    if visitor.first_s is None:
                        visitor.first_s = loop.time() - began_s
                    visitor.audio_s += spoken.chunk.seconds
        except SpeechError as error:
            visitor.error = error
        finally:
            visitor.ended_s = loop.time()
            self._open -= 1
        return visitor

    async def _nobody(self, engine: str, within_s: float) -> bool:
        return False
