"""The fleet: every engine instance of engines.yaml, built, started, watched and started again.

Each enabled instance has one task that keeps it alive: start, check now and then, and after a loss start again, with a
back-off that doubles. What it finds it writes on the board. An instance whose model or credentials are missing is
a reported state, looked at again from time to time, not a fault. Knows nothing about requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.contract import AudioChunk, Engine, EngineInfo, EngineKind, Instance, Missing, SpeechRequest
from engines.errors import SpeechError, Unavailable, without_addresses
from engines.slots import Slots
from engines.worker.client import WorkerEngine, WorkerSpec
from gateway.board import Board
from gateway.configuration.engines import EngineEntry
from gateway.guards import Guarded

logger = logging.getLogger("voxgate.fleet")

#: seconds between two looks at a living engine, and at one whose model or credentials are missing
CHECK_EVERY_S, MISSING_EVERY_S = 5.0, 15.0
#: seconds a check may take
CHECK_WITHIN_S = 5.0
#: seconds before a start is tried again: at once after a first loss, then doubling
BACK_OFF_S, LONGEST_BACK_OFF_S = 0.5, 60.0
#: a pause up to this long (seconds) is worth waiting for, when no other engine can speak
IN_A_MOMENT_S = 1.0
#: seconds in which the loss of an engine is noticed after one of its streams broke
NOTICED_IN_S = 0.05
#: an engine that lived this long (seconds) starts with a clean record
CLEAN_AFTER_S = 30.0


@dataclass(slots=True)
class Member:
    """One running instance."""

    entry: EngineEntry
    guarded: Guarded
    fingerprint: str  # name, kind and options: with the model's version, whatever makes a text sound different
    lost: asyncio.Event
    settled: asyncio.Event  # came up, or failed for the first time
    up: asyncio.Event
    returning: bool = True  # a start is on its way, or will be in a moment
    keeper: asyncio.Task[None] | None = None
    users: int = 0  # requests that may speak with it

    @property
    def info(self) -> EngineInfo:
        return self.guarded.engine.info

    def let_go(self) -> None:
        """A request that might have spoken with it has ended."""
        self.users -= 1


class Fleet:
    """Engines by instance name."""

    def __init__(
        self, entries: Mapping[str, EngineEntry], kinds: Mapping[str, EngineKind], data_dir: Path, board: Board
    ) -> None:
        self._board, self._kinds, self._data_dir = board, kinds, data_dir
        self.members: dict[str, Member] = {name: self._build(entry) for name, entry in entries.items() if entry.enabled}

    def _build(self, entry: EngineEntry) -> Member:
        lost, up = asyncio.Event(), asyncio.Event()

        def on_lost(reason: str) -> None:
            lost.set()
            up.clear()

        engine = build_engine(entry, self._kinds, self._data_dir, on_lost)
        info = engine.info
        slots = Slots(entry.slots or max(1, info.slots), entry.queue)
        cost = info.cost_per_1k_chars if entry.cost_per_1k_chars is None else entry.cost_per_1k_chars
        self._board.add(entry.name, slots, cost_per_1k_chars=cost, info=info)
        guarded = Guarded(entry.name, engine, slots, self._board)
        fingerprint = f"{entry.name}\0{entry.kind.name}\0{entry.options.model_dump_json()}"
        return Member(entry, guarded, fingerprint, lost, asyncio.Event(), up)

    async def start(self, within_s: float = 10.0) -> None:
        """Start all engines at once. Returns when one can speak, or all have settled, or the time is over;
        the others go on starting."""
        for name, member in self.members.items():
            member.keeper = asyncio.create_task(self._keep(member), name=f"keep {name}")
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        while not self.can_speak and loop.time() < until_s:
            starting = [member.settled for member in self.members.values() if not member.settled.is_set()]
            if not await _first_of(starting, until_s - loop.time()):
                break

    async def settled(self) -> None:
        """Wait until every engine came up or failed at least once."""
        await asyncio.gather(*(member.settled.wait() for member in self.members.values()))

    @property
    def can_speak(self) -> bool:
        """Is at least one engine up."""
        return any(state.state == "up" for state in self._board.snapshot().engines.values())

    async def aclose(self) -> None:
        """Stop keeping the engines alive, and close them."""
        keepers = [member.keeper for member in self.members.values() if member.keeper is not None]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        closing = [member.guarded.engine.close() for member in self.members.values()]
        for member, result in zip(
            self.members.values(), await asyncio.gather(*closing, return_exceptions=True), strict=True
        ):
            if isinstance(result, Exception):
                logger.warning("engine %s did not close well: %r", member.entry.name, result)

    async def _keep(self, member: Member) -> None:
        """Keep one engine alive until cancelled."""
        loop, back_off_s = asyncio.get_running_loop(), 0.0
        while True:
            await self._wait_until_installed(member)
            member.returning = True
            if not await self._start(member):
                back_off_s = min(max(back_off_s * 2, BACK_OFF_S), LONGEST_BACK_OFF_S)
                member.returning = back_off_s <= IN_A_MOMENT_S
                await asyncio.sleep(back_off_s)
                continue
            up_since = loop.time()
            member.up.set()
            reason = await self._watch(member)
            member.up.clear()
            back_off_s = 0.0 if loop.time() - up_since > CLEAN_AFTER_S else max(back_off_s * 2, BACK_OFF_S)
            back_off_s = min(back_off_s, LONGEST_BACK_OFF_S)
            member.returning = back_off_s <= IN_A_MOMENT_S
            again = f"starting again in {back_off_s:g} s" if back_off_s else "starting again"
            logger.warning("engine %s is down: %s; %s", member.entry.name, reason, again)
            self._board.set_state(member.entry.name, "down", reason)
            await asyncio.sleep(back_off_s)

    async def _wait_until_installed(self, member: Member) -> None:
        entry, shown = member.entry, ""
        instance = entry.instance(self._data_dir, self._kinds)
        while missing := _missing(entry, instance):
            member.returning = False
            if missing.advice != shown:
                logger.info("engine %s is %s: %s", entry.name, missing.state.replace("_", " "), missing.advice)
                self._board.set_state(entry.name, missing.state, missing.advice)
                shown = missing.advice
            member.settled.set()
            await asyncio.sleep(MISSING_EVERY_S)

    async def _start(self, member: Member) -> bool:
        """One try to start; True when the engine is up."""
        name, began = member.entry.name, asyncio.get_running_loop().time()
        member.lost.clear()
        timer = asyncio.timeout(member.entry.start_timeout_s)
        try:
            async with timer:
                await member.guarded.engine.start()
                await member.guarded.engine.check()  # one that feels ill may take its own start for done
            self._take_info(member)
        except SpeechError as error:
            reason = error.message
        except Exception as error:
            if timer.expired():
                reason = f"did not start within {member.entry.start_timeout_s:g} s (start_timeout_s in engines.yaml)"
            else:
                logger.exception("engine %s failed to start", name)
                reason = f"failed to start: {type(error).__name__}: {without_addresses(str(error))}"
        else:
            self._board.set_state(name, "up")
            logger.info("engine %s is ready after %.2f s", name, asyncio.get_running_loop().time() - began)
            member.settled.set()
            return True
        logger.warning("engine %s: %s", name, reason)
        self._board.set_state(name, "down", reason)
        member.settled.set()
        return False

    async def _watch(self, member: Member) -> str:
        """Look at a living engine until it is lost; returns why."""
        while True:
            try:
                async with asyncio.timeout(CHECK_EVERY_S):
                    await member.lost.wait()
                return "its process ended"
            except TimeoutError:
                pass
            try:
                async with asyncio.timeout(CHECK_WITHIN_S):
                    await member.guarded.engine.check()
                self._take_info(member)
            except SpeechError as error:
                return error.message
            except TimeoutError:
                return f"gave no answer to a check within {CHECK_WITHIN_S:g} s"
            except Exception as error:
                logger.warning("engine %s: the check failed", member.entry.name, exc_info=error)
                return f"{type(error).__name__}: {without_addresses(str(error))}"

    def _take_info(self, member: Member) -> None:
        self._board.set_info(member.entry.name, member.info)
        if member.entry.slots is None:
            member.guarded.slots.limit = max(1, member.info.slots)


async def somebody_returns(members: Sequence[Member], within_s: float) -> bool:
    """Wait until one of these engines, which was lost, is up again; False when none is on its way, or too late."""
    if any(member.up.is_set() for member in members):  # a stream may break just before the loss is noticed
        await _first_of([member.lost for member in members], NOTICED_IN_S)
    lost = [member for member in members if member.returning and not member.up.is_set()]
    return await _first_of([member.up for member in lost], within_s)


async def _first_of(events: Sequence[asyncio.Event], within_s: float) -> bool:
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


def _missing(entry: EngineEntry, instance: Instance) -> Missing | None:
    """What stands in the way of a start, as its kind tells. One that cannot tell is tried: its start will say."""
    if entry.kind.missing is None:
        return None
    try:
        return entry.kind.missing(instance, entry.options)
    except Exception:
        logger.exception("engine %s: its kind does not tell what is missing", entry.name)
        return None


def build_engine(
    entry: EngineEntry, kinds: Mapping[str, EngineKind], data_dir: Path, on_lost: Callable[[str], None]
) -> Engine:
    """The engine of one entry, not started: in this process, or the near side of a worker process."""
    kind = entry.kind
    instance = entry.instance(data_dir, kinds)
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
