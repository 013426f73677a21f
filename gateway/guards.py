"""The guard ring: `Breaking(Timed(Limited(engine)))`, each an Engine around an Engine, made anew for each attempt.

The order, and why:

    Breaking  outermost: an open breaker turns an attempt away before it takes a place in the queue, and
              what Timed raises counts against the engine like any other fault
    Timed     next: an attempt's time includes its wait in the queue
    Limited   innermost: a slot is held exactly as long as the engine works, and measured while it is held. Where
              other gateways share the engine, a request may wait once more behind theirs: that is no work either

All accounting ends when the generator closes: for speech, the body is the work. A listener that leaves
(GeneratorExit, CancelledError) is never counted against an engine. What is counted is written on the engine's row,
which the guards hold, wherever it stands. Knows nothing about plans or clients.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import partial

from engines.contract import AudioChunk, Engine, EngineInfo, SpeechRequest
from engines.errors import Busy, DeadlineExceeded, EngineFault, SpeechError
from engines.slots import Slots
from gateway.alarm import Alarm
from gateway.health.line import Visit
from gateway.health.row import Row
from gateway.refusals import OutOfTime
from policies.waiting import room_in_s

#: an engine that gives more audio than this (seconds, and for each character of the text) will never end: speech
#: takes a tenth of a second for a letter and a third for a Han character or a digit
ENDLESS_S, ENDLESS_S_PER_CHAR = 60.0, 2.0
#: of the time that an attempt may take, the part that an engine must have had to itself to be blamed for being late
FAIR_SHARE = 0.5


#: `synthesize_in_turn`, what an engine has whose slots others take too, such as a worker of several gateways: as
#: `synthesize`; calls what it is given with True when others are served first, with False when its turn has come
InTurn = Callable[[SpeechRequest, Callable[[bool], None]], AsyncGenerator[AudioChunk, None]]


@dataclass(slots=True)
class Allowance:
    """Seconds that a whole request may still keep its listener waiting; shared by all its attempts."""

    seconds: float


@dataclass(slots=True)
class Guarded:
    """One engine with what its guards need to know of it."""

    engine: Engine
    row: Row

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def slots(self) -> Slots:
        return self.row.slots

    @property
    def process(self) -> int | None:
        """The process that works for the engine now, if it is one of its own: it may move from one to the next."""
        return getattr(self.engine, "pid", None)

    def attempt(self, first_audio_s: float, gap_s: float, left: Allowance, visit: Visit) -> Engine:
        """The guarded engine for one clause of a visit: seconds to the first audio, of silence, and left of the
        request."""
        limited = Limited(self.engine, self, first_audio_s, left, visit)
        return Breaking(Timed(limited, self, first_audio_s, gap_s, left, visit), self, visit)


class _Around:
    """What every guard passes on unchanged."""

    def __init__(self, inner: Engine, of: Guarded) -> None:
        self.inner, self.of = inner, of

    @property
    def info(self) -> EngineInfo:
        return self.inner.info

    async def start(self) -> None:
        await self.inner.start()

    async def check(self) -> None:
        await self.inner.check()

    async def close(self) -> None:
        await self.inner.close()


class Breaking(_Around):
    """Counts faults on the row and turns attempts away while the breaker is open."""

    def __init__(self, inner: Engine, of: Guarded, visit: Visit) -> None:
        super().__init__(inner, of)
        self._visit = visit

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        row = self.of.row
        probe = row.admit()
        try:
            async with aclosing(self.inner.synthesize(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except SpeechError as error:
            self._judge(error, probe)
            raise
        except Exception as error:
            fault = EngineFault(f"{self.of.name} failed: {type(error).__name__}")
            self._judge(fault, probe)
            raise fault from error
        except BaseException:  # the listener left: no verdict
            if probe:
                row.give_back_probe()
            raise
        else:
            self._judge(None, probe)

    def _judge(self, error: SpeechError | None, probe: bool) -> None:
        """Tell the row how it ended; not of a process that another has replaced, which says nothing of that one."""
        row = self.of.row
        if self._visit.process not in (None, self.of.process):
            if probe:
                row.give_back_probe()
        elif error is None:
            row.succeeded()
        else:
            row.failed(error, probe=probe)


class Timed(_Around):
    """Raises DeadlineExceeded when the first audio, or the next, takes too long.

    Each wait is timed on its own, because a timeout held across a `yield` would cancel a slow listener; and
    time in which the listener does not read is not the engine's. An attempt that got its slot late, or never, was
    Busy, and one whose client had no more time is OutOfTime: neither is the engine's fault. But who waited behind one
    that found the engine mute need not find it out again.

    A speech that is heard already has its time for the first audio from its turn on; and where no other engine could
    go on, it waits for that turn, which is the next, as long as it takes.
    """

    def __init__(
        self, inner: Limited, of: Guarded, first_audio_s: float, gap_s: float, left: Allowance, visit: Visit
    ) -> None:
        super().__init__(inner, of)
        self._limited, self._first_audio_s, self._gap_s, self._left = inner, first_audio_s, gap_s, left
        self._visit = visit
        self._limit_s = 0.0  # what the wait may take from where it was counted
        self._last = False  # because the request has no more

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        loop, left, limited, visit = asyncio.get_running_loop(), self._left, self._limited, self._visit
        allowed_s = math.inf if visit.begun and visit.alone else self._first_audio_s
        async with aclosing(self.inner.synthesize(request)) as chunks:
            with closing(Alarm()) as alarm:
                while True:
                    since_s = loop.time()
                    until_s = since_s + left.seconds
                    if visit.begun and not limited.heard:
                        limited.on_turn = partial(self._allow, alarm, until_s, self._first_audio_s)
                    try:
                        with alarm:
                            self._allow(alarm, until_s, allowed_s)
                            chunk = await anext(chunks)
                    except StopAsyncIteration:
                        return
                    except TimeoutError:
                        if not alarm.rang:
                            raise
                        raise self._lateness() from None
                    finally:
                        left.seconds -= loop.time() - since_s
                    yield chunk
                    await asyncio.sleep(0)  # an engine that never waits must not starve the others
                    allowed_s = self._gap_s

    def _allow(self, alarm: Alarm, until_s: float, allowed_s: float) -> None:
        """Let the wait take so long from now, but not longer than `until_s`, when the request's time is over."""
        now_s = asyncio.get_running_loop().time()
        self._limit_s, self._last = min(allowed_s, until_s - now_s), until_s - now_s < allowed_s
        alarm.set(now_s + self._limit_s)

    def _lateness(self) -> SpeechError:
        row, limited, limit_s = self.of.row, self._limited, self._limit_s
        if self._last:
            return OutOfTime()
        if limited.worked_s >= limit_s * FAIR_SHARE:
            if not limited.heard and row.mute_since_s is None:
                row.mute_since_s = limited.turn_s
            return DeadlineExceeded(f"{self.of.name} gave no audio for {limit_s:g} s")
        # one that was given up for its silence, and nobody has heard a sound since: it is not the line that is slow
        if row.mute_since_s is not None and asyncio.get_running_loop().time() - row.mute_since_s >= limit_s:
            return DeadlineExceeded(f"{self.of.name} gave nobody any audio for {limit_s:g} s")
        return Busy(f"{self.of.name} had no free slot in time", retry_after_s=row.place_in_s)


class Limited(_Around):
    """At most so many at once and so many in line; Busy at once for whom there is no place, or too long a line for the
    time it has. Measures the engine while a slot is held.

    A stream without audio, or without an end, is an EngineFault here too: an engine in this process is not held to
    the contract by a worker, and a clause is held in memory until it is finished.
    """

    def __init__(self, inner: Engine, of: Guarded, first_audio_s: float, left: Allowance, visit: Visit) -> None:
        super().__init__(inner, of)
        self._first_audio_s, self._left, self._visit = first_audio_s, left, visit
        self.heard = False  # it has given audio
        #: since when the engine has had this attempt to do, on the loop's clock; None: others are served first
        self.turn_s: float | None = None
        self.on_turn: Callable[[], None] | None = None
        self._resumed = 0.0  # when the engine last began or went on to work

    @property
    def worked_s(self) -> float:
        """Seconds since the attempt's turn came; 0 while it waits for others."""
        return 0.0 if self.turn_s is None else asyncio.get_running_loop().time() - self.turn_s

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        row, visit, clock = self.of.row, self._visit, self.of.row.clock
        slots, line = row.slots, row.line
        if not visit.begun:
            self._knock()
        if not slots.busy:
            row.mute_since_s = None  # whoever comes to an idle engine is the first to find out
        came_s, visit.process = asyncio.get_running_loop().time(), None
        line.wait(visit, clock.monotonic())
        try:
            async with slots.going_on() if visit.begun else slots, aclosing(self._speech(request)) as chunks:
                line.speak(visit, clock.monotonic())
                visit.process = self.of.process
                self._wait(False)
                first_audio_s, audio_s, work_s = 0.0, 0.0, 0.0
                longest_s = ENDLESS_S + ENDLESS_S_PER_CHAR * len(request.text) / min(request.speed, 1.0)
                async for chunk in chunks:
                    if not chunk.pcm:
                        continue
                    work_s += time.perf_counter() - self._resumed
                    if not audio_s:
                        first_audio_s = work_s
                        self.heard, row.mute_since_s = True, None
                        row.waited((self.turn_s or came_s) - came_s)
                    audio_s += chunk.seconds
                    visit.given_s = audio_s
                    if audio_s > longest_s:
                        raise EngineFault(
                            f"{self.of.name} did not end: {audio_s:.0f} s for {len(request.text)} characters"
                        )
                    yield chunk
                    self._resumed = time.perf_counter()  # while the listener did not read, the engine was not working
                work_s += time.perf_counter() - self._resumed
                if not audio_s:
                    raise EngineFault(f"{self.of.name} ended without audio")
                row.measured(first_audio_s=first_audio_s, work_s=work_s, audio_s=audio_s, estimated_s=visit.clause_s)
                line.spoke(visit, clock.monotonic())
        except BaseException:
            line.leave(visit)
            raise

    def _knock(self) -> None:
        """Raises Busy when there is no place, or the wait would be too long for what this attempt, and the whole
        request, may still take."""
        row, visit, name = self.of.row, self._visit, self.of.name
        slots = row.slots
        taken = slots.busy >= slots.limit or slots.queued > 0
        if taken and not visit.queues:
            raise Busy(f"{name} has no free slot")
        if slots.full:
            raise Busy(f"{name} is full: {slots.busy} speaking, {slots.queued} in line", retry_after_s=row.place_in_s)
        state = row.view(row.clock.monotonic())
        wait_s = state.wait_s or 0.0
        first = room_in_s(wait_s, state.first_audio_s or 0.0, self._first_audio_s) if wait_s else 0.0
        work_s = state.expected_work_s(visit.clause_s + visit.later_s, clauses=visit.later_s > 0)
        whole = room_in_s(wait_s, work_s, self._left.seconds)
        if whole is None:
            raise Busy(f"{name} is expected to take {work_s:.0f} s, too long for the time that is left")
        if first != 0 or whole != 0:
            raise Busy(
                f"{name} has requests for about {wait_s:.0f} s before this one",
                retry_after_s=max(wait_s if first is None else first, whole),
            )

    def _speech(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        in_turn: InTurn | None = getattr(self.inner, "synthesize_in_turn", None)
        return in_turn(request, self._wait) if in_turn else self.inner.synthesize(request)

    def _wait(self, waits: bool) -> None:
        """The attempt waits for others in the engine's own line, or has its turn: the measuring begins anew."""
        self.turn_s = None if waits else asyncio.get_running_loop().time()
        self._resumed = time.perf_counter()
        if self.on_turn is not None and not waits:
            self.on_turn()
