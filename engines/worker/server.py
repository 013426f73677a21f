"""The worker's side: starts one engine, owns its slots, speaks to whoever connects, and ends itself when not needed.

It ends when nobody is attached any more for a while, when it is told to retire, on SIGTERM, and when its engine does
not start. In each case it first takes its name away, so that a successor can be started at once, and then finishes
what was begun. Knows nothing about gateways beyond their connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from pathlib import Path

from msgspec import MsgspecError

from engines.contract import Engine, EngineInfo
from engines.errors import EngineFault, SpeechError, Unavailable
from engines.slots import Slots
from engines.worker import wire
from engines.worker.border import keep_rules, one_line
from engines.worker.load import create_engine
from engines.worker.place import STARTED, Lock
from engines.worker.process import resident_bytes
from engines.worker.spec import Duty
from engines.worker.wire import Call, Connection, Failure, Hangup, Hello, Reply, WireError

#: a worker that nobody ever attached to is not wanted
ORPHAN_S = 30.0
#: a connection that does not say what it wants is closed
FIRST_CALL_S = 10.0
ACCEPT_PAUSE_S = 1.0
#: how often the engine's `info` is looked at, and whether the lock and the socket are still in their place
LOOK_PERIOD_S = 1.0
#: an event loop that stands still so long, when no gateway has noticed before, never moves again
STUCK_S = 60.0
#: a last word to those who are attached, and the engine's `close`, take no longer
FAREWELL_S = 1.0
CLOSE_S = 5.0

log = logging.getLogger("voxgate.worker")


class Worker:
    """One engine and those who use it."""

    def __init__(self, duty: Duty, lock: Lock, listener: socket.socket) -> None:
        self._duty = duty
        self._lock = lock
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._engine: Engine | None = None
        self._hello = Hello(EngineInfo(), 0)
        self._failure: SpeechError | None = None
        self._begun = asyncio.Event()  # the start succeeded or failed
        self._slots = Slots(1)
        self._attached: dict[Connection, asyncio.Task[None]] = {}
        self._informing: set[asyncio.Task[None]] = set()
        self._serving: set[asyncio.Task[None]] = set()  # every connection's task that is not (yet) an attachment
        self._news = asyncio.Event()  # replaced by a new one each time it is set
        self._heard = asyncio.Event()  # somebody was told of a failed start
        self._retiring = False
        self._done = asyncio.Event()
        self._idle: asyncio.TimerHandle | None = None

    async def run(self) -> int:
        """Serve until there is nothing left to do. Returns the exit status."""
        self._loop.add_signal_handler(signal.SIGTERM, self.retire)
        self._open_door()
        self._idle = self._loop.call_later(ORPHAN_S, self._nobody_came)
        starting = asyncio.create_task(self._start())
        await self._done.wait()
        starting.cancel()
        await asyncio.wait([starting, *self._informing], timeout=FAREWELL_S)
        if self._engine is not None:
            try:
                await asyncio.wait_for(self._engine.close(), CLOSE_S)
            except BaseException as error:  # it ends either way
                log.error("closing the engine failed: %s", one_line(error))
        return 1 if self._failure else 0

    # the engine

    async def _start(self) -> None:
        """Load the engine, then look after its `info` and its place."""
        self._wind_alarm(self._duty.start_timeout_s + STUCK_S)
        self._lock.mark(b"")
        try:
            engine = self._engine = create_engine(self._duty)
            await engine.start()
            self._take(engine.info, resident_bytes())
            self._lock.mark(STARTED)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # also SystemExit, which some libraries raise
            if not isinstance(error, SpeechError):
                log.error("the engine did not start", exc_info=error)
            self._failure = error if isinstance(error, SpeechError) else Unavailable(one_line(error))
        self._begun.set()
        self._tell()
        if self._failure is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), FIRST_CALL_S)
            self.retire()
            return
        while True:
            self._wind_alarm(max(STUCK_S, 4 * self._duty.hang_timeout_s))
            await asyncio.sleep(LOOK_PERIOD_S)
            if not self._retiring and not self._is_found():
                log.warning("retires: its place %s was emptied", self._duty.socket)
                self.retire()
            if (info := engine.info) != self._hello.info:
                self._take(info, self._hello.started_bytes)
                self._tell()

    def _wind_alarm(self, seconds: float) -> None:
        """Have the kernel end this process unless this is called again in time.

        A worker whose interpreter lock is held for ever cannot end itself, and once every gateway has left nobody else
        would. The alarm needs neither the lock nor a gateway.
        """
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _is_found(self) -> bool:
        """Are lock and socket still where gateways look for them."""
        return self._lock.is_current() and Path(self._duty.socket).exists()

    def _take(self, info: EngineInfo, started_bytes: int) -> None:
        if not self._begun.is_set():
            self._slots = Slots(max(1, info.slots), self._duty.queue)
        self._slots.limit = max(1, info.slots)
        self._hello = Hello(info, started_bytes)

    def _tell(self) -> None:
        """Wake everyone who passes news on to a gateway."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    # coming and going

    def _accept(self) -> None:
        """Take everybody who waits at the door."""
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # out of files, mostly: those who wait keep waiting
                log.error("accepting a connection failed: %s", error)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(ACCEPT_PAUSE_S, self._open_door)
                return
            task = asyncio.create_task(self._serve(Connection(sock)))
            self._serving.add(task)
            task.add_done_callback(self._served)

    def _open_door(self) -> None:
        if not self._retiring:
            self._loop.add_reader(self._listener, self._accept)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        self._look_around()

    def _look_around(self) -> None:
        """Is there still something to do, and someone to do it for."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._serving:
            return
        if self._retiring:
            self._done.set()
        elif not self._attached:
            self._idle = self._loop.call_later(self._duty.linger_s, self.retire)

    def _nobody_came(self) -> None:
        log.warning("nobody attached within %g s", ORPHAN_S)
        self.retire()

    def retire(self) -> None:
        """Make room for a successor, finish what was begun, end. Idempotent.

        First the name goes, then those who had already knocked are let in, then the door is shut: nobody who connected
        is turned away, nobody can come in later.
        """
        if self._retiring:
            return
        self._retiring = True
        ours = self._lock.is_current()  # else somebody emptied the directory, and others live there now
        if ours:
            Path(self._duty.socket).unlink(missing_ok=True)
        self._accept()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        if ours:
            Path(self._duty.lock).unlink(missing_ok=True)
        self._lock.close()
        self._tell()
        self._look_around()

    # connections

    async def _serve(self, connection: Connection) -> None:
        """One connection from its first call to its end."""
        try:
            async with asyncio.timeout(FIRST_CALL_S):
                call, payload = await connection.next_call()
            match call:
                case Call.ATTACH:
                    await self._attach(connection, payload)
                case Call.SPEAK:
                    await self._speak(connection, payload)
                case Call.CHECK:
                    await self._check(connection)
                case _:
                    raise WireError(f"{call.name} on a connection that is not attached")
        except (Hangup, TimeoutError):
            pass
        except (WireError, MsgspecError) as error:
            log.warning("a connection was closed: %s", one_line(error))
            with contextlib.suppress(Hangup):
                await connection.reply(Reply.ERROR, wire.encode(Failure.of(EngineFault(one_line(error)))))
        except asyncio.CancelledError:
            pass  # its client is gone
        except Exception as error:
            log.error("serving a connection failed", exc_info=error)
            with contextlib.suppress(Hangup):
                await connection.reply(Reply.ERROR, wire.encode(Failure.of(EngineFault(one_line(error)))))
        finally:
            connection.close()

    async def _attach(self, connection: Connection, payload: bytes) -> None:
        """Keep one gateway informed until it leaves."""
        if wire.decode_attach(payload).fingerprint != self._duty.fingerprint:
            wrong = Unavailable(f"this worker of {self._duty.instance} has another configuration: try again")
            await connection.reply(Reply.ERROR, wire.encode(Failure.of(wrong)))
            return
        task = asyncio.current_task()
        assert task is not None
        informing = asyncio.create_task(self._inform(connection))
        self._informing.add(informing)
        self._attached[connection] = task
        self._serving.discard(task)
        self._look_around()
        try:
            while True:
                call, _ = await connection.next_call()
                match call:
                    case Call.PING:
                        await connection.reply(Reply.PONG)
                    case Call.RETIRE:
                        log.warning("retires: a gateway asked for it")
                        self.retire()
                    case _:
                        raise WireError(f"{call.name} on an attached connection")
        finally:
            informing.cancel()
            self._informing.discard(informing)
            del self._attached[connection]

    async def _inform(self, connection: Connection) -> None:
        """Tell one gateway what it does not know yet, whenever there is something."""
        told: Hello | None = None
        with contextlib.suppress(Hangup):
            while True:
                news = self._news
                if self._failure is not None:
                    await connection.reply(Reply.ERROR, wire.encode(Failure.of(self._failure)))
                    self._heard.set()
                    return
                if self._begun.is_set() and self._hello is not told:
                    told = self._hello
                    await connection.reply(Reply.INFO, wire.encode(told))
                elif self._retiring:
                    await connection.reply(Reply.RETIRING)
                    return
                else:
                    await news.wait()

    async def _ready(self) -> Engine:
        """The engine, once it has started. Raises what kept it from starting."""
        await self._begun.wait()
        if self._failure is not None:
            raise self._failure
        assert self._engine is not None
        return self._engine

    async def _check(self, connection: Connection) -> None:
        try:
            await (await self._ready()).check()
        except SpeechError as error:
            await connection.reply(Reply.ERROR, wire.encode(Failure.of(error)))
        except Exception as error:
            log.error("the check failed", exc_info=error)
            await connection.reply(Reply.ERROR, wire.encode(Failure.of(Unavailable(one_line(error)))))
        else:
            await connection.reply(Reply.WELL)

    async def _speak(self, connection: Connection, payload: bytes) -> None:
        """Speak one request in a slot. A client that closes cancels this task, wherever it stands."""
        request = wire.decode_request(payload)
        task = asyncio.current_task()
        assert task is not None
        connection.watch(task.cancel)
        try:
            engine = await self._ready()
            async with self._slots, contextlib.aclosing(keep_rules(engine, request)) as chunks:
                async for chunk in chunks:
                    marks = wire.encode(chunk.marks) if chunk.marks else b""
                    pcm = memoryview(chunk.pcm)
                    for start in range(0, len(pcm), wire.MAX_AUDIO_BYTES):
                        part = pcm[start : start + wire.MAX_AUDIO_BYTES]
                        await connection.reply(Reply.AUDIO, part, sample_rate=chunk.sample_rate, marks=marks)
                        marks = b""
                    await asyncio.sleep(0)  # an engine that never waits must not keep pings and cancellings waiting
            await connection.reply(Reply.END)
        except SpeechError as error:
            await connection.reply(Reply.ERROR, wire.encode(Failure.of(error)))
