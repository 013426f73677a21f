"""Meeting a worker, or starting it: an election without a supervisor.

Whoever finds nobody at the socket and gets the lock starts the worker; all others wait until the socket answers or the
lock is free again. Knows nothing about what becomes of a worker that was met.
"""

from __future__ import annotations

import asyncio
import logging

from msgspec import MsgspecError

from engines.errors import Unavailable
from engines.worker import wire
from engines.worker.attachment import Attachment
from engines.worker.place import Place, prepare_place
from engines.worker.process import Process
from engines.worker.spawn import Spawned, spawn_if_free
from engines.worker.spec import WorkerSpec
from engines.worker.wire import Attach, Call, Connection, Hangup, Reply, WireError

#: how often the socket is tried while a worker comes up, at first and at most
TRY_FIRST_S = 0.002
TRY_MOST_S = 0.05
#: workers that die under our hands before we give up, when it was not we who started them
TRIES = 3
#: how long the answer of a worker whose start takes too long is waited for, or the last words of one that died
GRACE_S = 1.0


async def attach(spec: WorkerSpec) -> Attachment:
    """Meet the worker of `spec`, or start it. Raises `Unavailable` that says what to do."""
    place = prepare_place(spec)
    spawning = _Spawning(spec, place)
    try:
        return await _meet(spec, place, spawning)
    except BaseException:
        spawning.dismiss()
        raise


class _Spawning:
    """The worker that one attempt at attaching may start."""

    def __init__(self, spec: WorkerSpec, place: Place) -> None:
        self._spec = spec
        self._place = place
        self.spawned: Spawned | None = None

    def begin(self) -> None:
        """Start it unless that was done, by us or by others. Raises `Unavailable` when it has ended already."""
        if self.spawned is not None:
            if self.spawned.ended:
                raise _died(self._spec, self.spawned)
            return
        try:
            self.spawned = spawn_if_free(self._spec, self._place)
        except OSError as error:
            raise Unavailable(f"the worker of {self._spec.instance} cannot be started: {error}") from error

    def at(self, connection: Connection) -> Spawned | None:
        """Our worker, if it is the one on the other side."""
        return self.spawned if self.spawned is not None and self.spawned.pid == connection.peer()[0] else None

    def dismiss(self) -> None:
        """We leave before we attached: a knock makes the worker look whether anybody else is there."""
        if self.spawned is None or self.spawned.ended:
            return
        try:
            Connection.open(self._place.socket).close()
        except OSError:
            self.spawned.terminate()  # it has hardly begun, and nobody has met it


async def _meet(spec: WorkerSpec, place: Place, spawning: _Spawning) -> Attachment:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + spec.start_timeout_s
    pause = TRY_FIRST_S
    deaths = 0
    while True:
        try:
            connection = Connection.open(place.socket)
        except (FileNotFoundError, ConnectionError, BlockingIOError):
            spawning.begin()
        except OSError as error:
            raise Unavailable(f"the worker of {spec.instance} cannot be reached: {error}") from error
        else:
            ours = spawning.at(connection)
            try:
                hello = await _greet(spec, place, connection, deadline)
                if hello is not None:
                    return Attachment(spec, place, connection, hello, ours)
                connection.close()  # it retires: its successor will be at the same place
                if ours is not None:
                    spawning.spawned = None
            except Hangup:
                connection.close()
                deaths += 1
                if ours is not None or deaths == TRIES:
                    raise await _death(spec, ours) from None
            except BaseException:
                connection.close()
                raise
        if loop.time() > deadline:
            raise Unavailable(
                f"no worker of {spec.instance} answers at {place.socket} within {spec.start_timeout_s:g} s: "
                f"raise start_timeout_s, or end the process that holds {place.lock}"
            )
        await asyncio.sleep(pause)
        pause = min(TRY_MOST_S, pause * 1.5)


async def _greet(spec: WorkerSpec, place: Place, connection: Connection, deadline: float) -> wire.Hello | None:
    """Wait until the engine has started; None when this worker is about to go. Raises `Unavailable` and `Hangup`."""
    try:
        await connection.call(Call.ATTACH, wire.encode(Attach(spec.fingerprint)))
        reply = await _first_reply(spec, place, connection, deadline)
    except TimeoutError:
        await _end_if_stuck(connection)
        raise Unavailable(
            f"{spec.instance} did not start within {spec.start_timeout_s:g} s: raise start_timeout_s"
        ) from None
    except WireError as error:
        raise Unavailable(f"the worker of {spec.instance} broke the protocol: {error}") from error
    try:
        match reply.type:
            case Reply.INFO:
                return wire.decode_hello(reply.payload)
            case Reply.RETIRING:
                return None
            case Reply.ERROR:
                failure = wire.decode_failure(reply.payload)
                raise Unavailable(failure.message, retry_after_s=failure.retry_after_s)
            case _:
                raise Unavailable(f"the worker of {spec.instance} broke the protocol: {reply.type.name}")
    except MsgspecError as error:
        raise Unavailable(f"the worker of {spec.instance} broke the protocol: {error}") from error


async def _first_reply(spec: WorkerSpec, place: Place, connection: Connection, deadline: float) -> wire.Frame:
    """The answer to our greeting. Raises `TimeoutError`, and `Hangup` after killing a worker that hangs.

    One that says in its lock file that it has started answers at once, or hangs: its last gateway may have left before
    it could notice.
    """
    loop = asyncio.get_running_loop()
    reading = asyncio.create_task(connection.next_reply())
    try:
        while True:
            started = place.has_started()
            await asyncio.wait([reading], timeout=max(0.0, min(spec.hang_timeout_s, deadline - loop.time())))
            if not reading.done():
                await asyncio.wait([reading], timeout=0.1)  # perhaps it was we who stood still
            if reading.done():
                return reading.result()
            if loop.time() >= deadline:
                raise TimeoutError
            if started:
                log = logging.getLogger(f"voxgate.engine.{spec.instance}")
                log.error("process %d was found hanging: killed", connection.peer()[0])
                _kill(connection)
                raise Hangup("killed")
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def _kill(connection: Connection) -> None:
    process = Process(connection.peer()[0])
    process.kill()
    process.close()


async def _end_if_stuck(connection: Connection) -> None:
    """A worker whose start takes too long ends by itself once we leave, unless its event loop is stuck too."""
    try:
        async with asyncio.timeout(GRACE_S):
            await connection.call(Call.PING)
            await connection.next_reply()
    except (TimeoutError, WireError):
        _kill(connection)
    except Hangup:
        pass


async def _death(spec: WorkerSpec, spawned: Spawned | None) -> Unavailable:
    if spawned is None:
        return Unavailable(f"the worker of {spec.instance} died while it started")
    await asyncio.to_thread(spawned.wait, GRACE_S)
    return _died(spec, spawned)


def _died(spec: WorkerSpec, spawned: Spawned) -> Unavailable:
    how = f" ({spawned.manner})" if spawned.manner else ""
    words = f": {spawned.last_words}" if spawned.last_words else ""
    return Unavailable(f"the worker of {spec.instance} died while it started{how}{words}")
