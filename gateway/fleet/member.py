"""One engine instance of engines.yaml as the gateway runs it: built, not started. Knows nothing about others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engines.contract import AudioChunk, Engine, EngineInfo, EngineKind, Instance, Quota, SpeechRequest
from engines.errors import Unavailable, without_addresses
from engines.slots import Slots
from engines.worker.client import WorkerEngine, WorkerSpec
from gateway.configuration.engines import EngineEntry
from gateway.guards import Guarded
from gateway.health.board import Board
from gateway.health.row import Row
from policies.types import EngineState

logger = logging.getLogger("voxgate.fleet")

#: seconds in which the loss of an engine is noticed after one of its streams broke
NOTICED_IN_S = 0.05
#: how often (seconds) those who wait for an engine look whether it is still on its way
STILL_COMING_S = 0.25


@dataclass(slots=True, eq=False)
class Member:
    """One running instance. An engine that was changed is two for a while: the old one, and its successor."""

    entry: EngineEntry
    instance: Instance
    guarded: Guarded
    fingerprint: str  # name, kind and options: with the model's version, whatever makes a text sound different
    title: str  # what the log calls it
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    settled: asyncio.Event = field(default_factory=asyncio.Event)  # came up, or failed for the first time
    up: asyncio.Event = field(default_factory=asyncio.Event)
    returning: bool = True  # a start is on its way, or will be in a moment
    keeper: asyncio.Task[None] | None = None
    users: int = 0  # requests that may speak with it
    awaiting: int = 0  # of these, how many wait until it is up again
    leaves: bool = False  # no new request does
    deserted: asyncio.Event = field(default_factory=asyncio.Event)  # it leaves, and nobody speaks with it any more

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def info(self) -> EngineInfo:
        return self.guarded.engine.info

    @property
    def row(self) -> Row:
        """What is known about it; on the board while it is in rotation."""
        return self.guarded.row

    @property
    def has_place(self) -> bool:
        """Will one more who waits for its return find a slot, or a place in its line."""
        return self.awaiting < self.row.slots.limit + self.row.slots.queue

    @property
    def state(self) -> EngineState:
        return self.row.view(self.row.clock.monotonic())

    def let_go(self) -> None:
        """A request that might have spoken with it has ended."""
        self.users -= 1
        if self.leaves and not self.users:
            self.deserted.set()

    def leave(self) -> None:
        """No new request will speak with it; wait for `deserted` before it is closed."""
        self.leaves = True
        if not self.users:
            self.deserted.set()


def build_member(
    entry: EngineEntry,
    kinds: Mapping[str, EngineKind],
    data_dir: Path,
    board: Board,
    gateway: str = "",
    quota: Quota | None = None,
) -> Member:
    """The instance of an entry, with its row on `board`. Raises nothing: one that cannot be made is down."""
    instance = entry.instance(data_dir, kinds, gateway, quota)

    def on_lost(reason: str) -> None:
        member.lost.set()
        member.up.clear()

    engine = build_engine(entry, instance, data_dir, on_lost)
    slots = Slots(entry.slots or max(1, engine.info.slots), entry.queue)
    row = board.add(entry.name, slots, cost_per_1k_chars=cost_of(entry, engine.info), info=engine.info)
    fingerprint = f"{entry.name}\0{entry.kind.name}\0{entry.options.model_dump_json()}"
    member = Member(entry, instance, Guarded(engine, row), fingerprint, title=f"engine {entry.name}")
    return member


def cost_of(entry: EngineEntry, info: EngineInfo) -> float:
    """What 1000 characters cost: as engines.yaml says, else as the kind does."""
    return info.cost_per_1k_chars if entry.cost_per_1k_chars is None else entry.cost_per_1k_chars


async def somebody_returns(members: Sequence[Member], within_s: float) -> bool:
    """Wait until one of these engines, which was lost, is up again; False when none is on its way, or too late.

    No more wait for an engine than will find a place there; who comes later is told so at once.
    """
    if any(member.up.is_set() for member in members):  # a stream may break just before the loss is noticed
        await first_of([member.lost for member in members], NOTICED_IN_S)
    lost = [member for member in members if member.returning and not member.up.is_set() and member.has_place]
    for member in lost:
        member.awaiting += 1
    loop, coming = asyncio.get_running_loop(), lost
    until_s = loop.time() + within_s
    try:
        while coming and (left_s := until_s - loop.time()) > 0:
            if await first_of([member.up for member in coming], min(left_s, STILL_COMING_S)):
                return True
            coming = [member for member in coming if member.returning]  # a start that failed once more ends the wait
        return False
    finally:
        for member in lost:
            member.awaiting -= 1


async def first_of(events: Sequence[asyncio.Event], within_s: float) -> bool:
    """Wait until one of the events is set; False when there are none, or the time is over."""
    waiting = {asyncio.create_task(event.wait()) for event in events}
    if not waiting:
        return False
    try:
        done, _ = await asyncio.wait(waiting, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiting:
            waiter.cancel()
    return bool(done)


def build_engine(entry: EngineEntry, instance: Instance, data_dir: Path, on_lost: Callable[[str], None]) -> Engine:
    """The engine of one entry, not started: in this process, or the near side of a worker process."""
    kind = entry.kind
    try:
        if (entry.isolation or kind.isolation) == "inline":
            engine = kind.create(instance, entry.options)
            _ = engine.info  # may raise: better now than amid a request
            return engine
        described = kind.describe(instance, entry.options) if kind.describe else EngineInfo(slots=entry.slots or 1)
    except Exception as error:
        logger.exception("engine %s cannot be made", entry.name)
        return Unmade(f"cannot be made: {getattr(error, 'message', None) or without_addresses(str(error))}")
    spec = WorkerSpec(
        instance=entry.name,
        kind=kind.name,
        options=entry.options.model_dump(mode="json"),
        slots=entry.slots,
        data_dir=data_dir,
        run_dir=data_dir / "run",
        memory_limit_mb=entry.memory_limit_mb,
        start_timeout_s=entry.start_timeout_s,
        idle_unload_s=entry.idle_unload_s or 0.0,
    )
    return WorkerEngine(spec, described, on_lost=on_lost)


class Unmade:
    """Stands in for an engine that its kind could not create: a state to report, never a dead gateway."""

    info = EngineInfo()

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def start(self) -> None:
        raise Unavailable(self._reason)

    async def check(self) -> None:
        raise Unavailable(self._reason)

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        raise Unavailable(self._reason)
        yield  # what makes this a generator

    async def close(self) -> None:
        pass
