"""What tests of the driver and the pool share: a pool in front of the stand-in, tasks, and time that is turned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager

from engines.errors import SpeechError
from engines.remote.exchange import Tap
from engines.sambert.pool import Pool
from engines.sambert.protocol import Audio, Event, Task
from engines.sambert.times import Times
from tests.engines.sambert.service import KEY, Service

TEXT = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
PCM = {"format": "pcm", "sample_rate": 16000, "text_type": "PlainText"}
SAMBERT = Task("sambert-zhiqi-v1", TEXT, PCM)
COSYVOICE = Task("cosyvoice-v3-flash", TEXT, {**PCM, "voice": "longanyang"}, duplex=True)


def with_key() -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}"}


@asynccontextmanager
async def pool_at(service: Service | str, times: Times | None = None, tap: Tap | None = None) -> AsyncGenerator[Pool]:
    """A pool, closed at the end."""
    pool = Pool(service if isinstance(service, str) else service.endpoint, with_key, times, tap)
    try:
        yield pool
    finally:
        await pool.close()


async def hear(pool: Pool, task: Task = SAMBERT, heard: list[Event] | None = None) -> list[Event]:
    """All events of a task; also in `heard`, as they come."""
    events: list[Event] = [] if heard is None else heard
    async with aclosing(pool.run(task)) as running:
        async for event in running:
            events.append(event)
    return events


async def fault_of(pool: Pool, task: Task = SAMBERT, heard: list[Event] | None = None) -> SpeechError:
    """The error with which a task ends."""
    try:
        await hear(pool, task, heard)
    except SpeechError as error:
        return error
    raise AssertionError("the task came to a good end")


def pcm_of(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Audio))


async def until(holds: Callable[[], bool]) -> None:
    """Let others run until something holds that no server sees; ten seconds at most."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def rounds() -> None:
    """Let the event loop go round a few times: all that is due is done then."""
    for _ in range(20):
        await asyncio.sleep(0)


async def at_once(task: asyncio.Task[SpeechError]) -> SpeechError:
    """What comes of a task whose time has been turned: it needs no real time."""
    return await asyncio.wait_for(task, 3)


class Hands:
    """Turns the clock of the running event loop: timers that are due then fire in the next round."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._real, self._turned_s = self._loop.time, 0.0
        self._loop.time = lambda: self._real() + self._turned_s  # type: ignore[method-assign]

    def turn(self, seconds: float) -> None:
        self._turned_s += seconds
