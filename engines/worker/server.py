"""The worker's side: starts one engine, opens the door to whoever connects, and ends itself when not needed.

It ends when nobody is attached any more for a while, when it is told to retire, on SIGTERM, and when its engine does
not start. In each case it first takes its name away, so that a successor can be started at once, and then finishes
what was begun, in bounded time. Knows nothing about what is said at the desk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from pathlib import Path

from engines.contract import Engine
from engines.errors import SpeechError, Unavailable
from engines.worker.border import one_line
from engines.worker.desk import FIRST_CALL_S, Desk
from engines.worker.load import create_engine
from engines.worker.place import STARTED, Lock
from engines.worker.process import resident_bytes
from engines.worker.spec import Duty

#: a worker that nobody ever attached to is not wanted
ORPHAN_S = 30.0
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
    """The life of one engine's process."""

    def __init__(self, duty: Duty, lock: Lock, listener: socket.socket) -> None:
        self._duty = duty
        self._lock = lock
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._desk = Desk(duty, self._look_around, self.retire)
        self._engine: Engine | None = None
        self._failed = False
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
        await asyncio.wait([starting, *self._desk.informing], timeout=FAREWELL_S)
        if self._engine is not None:
            try:
                await asyncio.wait_for(self._engine.close(), CLOSE_S)
            except BaseException as error:  # it ends either way
                log.error("closing the engine failed: %s", one_line(error))
        return 1 if self._failed else 0

    # the engine

    async def _start(self) -> None:
        """Load the engine, then look after its `info` and its place."""
        self._wind_alarm(self._duty.start_timeout_s + STUCK_S)
        self._lock.mark(b"")
        try:
            engine = self._engine = create_engine(self._duty)
            await engine.start()
            self._desk.open(engine, resident_bytes())
            self._lock.mark(STARTED)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # also SystemExit, which some libraries raise
            if not isinstance(error, SpeechError):
                log.error("the engine did not start", exc_info=error)
            await self._give_up(error if isinstance(error, SpeechError) else Unavailable(one_line(error)))
            return
        while True:
            self._wind_alarm(max(STUCK_S, 4 * self._duty.hang_timeout_s))
            await asyncio.sleep(LOOK_PERIOD_S)
            if not self._retiring and not self._is_found():
                log.warning("retires: its place %s was emptied", self._duty.socket)
                self.retire()
            self._desk.look()

    async def _give_up(self, failure: SpeechError) -> None:
        """Say why there is no engine to whoever waits for it, and make room for another try."""
        self._failed = True
        self._desk.fail(failure)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._desk.heard.wait(), FIRST_CALL_S)
        self.retire()

    def _wind_alarm(self, seconds: float) -> None:
        """Have the kernel end this process unless this is called again in time.

        A worker whose interpreter lock is held for ever cannot end itself, and once every gateway has left nobody else
        would. The alarm needs neither the lock nor a gateway.
        """
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _is_found(self) -> bool:
        """Are lock and socket still where gateways look for them."""
        return self._lock.is_current() and Path(self._duty.socket).exists()

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
            self._desk.welcome(sock)

    def _open_door(self) -> None:
        if not self._retiring:
            self._loop.add_reader(self._listener, self._accept)

    def _look_around(self) -> None:
        """Is there still something to do, and someone to do it for."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._desk.busy:
            return
        if self._retiring:
            self._done.set()
        elif not self._desk.attended:
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
        self._desk.retire()
        self._loop.call_later(self._duty.finish_s, self._break_off)
        self._look_around()

    def _break_off(self) -> None:
        """A listener who does not listen must not keep an engine's memory for ever."""
        log.error("was to retire %g s ago and still speaks: breaks off", self._duty.finish_s)
        self._done.set()
