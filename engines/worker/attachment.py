"""A gateway's tie to one worker that it has met: speaks through it, and watches it until it is gone.

Knows nothing about how the worker came to be, or what to do when it is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable

from msgspec import MsgspecError

from engines.contract import AudioChunk, EngineInfo, SpeechRequest
from engines.errors import EngineFault, InvalidRequest, Unavailable
from engines.worker import wire
from engines.worker.place import Place
from engines.worker.process import Process, Scales
from engines.worker.spawn import Spawned
from engines.worker.spec import WorkerSpec
from engines.worker.wire import Call, Connection, Hangup, Reply, WireError

PING_PERIOD_S = 2.0
WEIGH_PERIOD_S = 1.0
CHECK_S = 5.0
#: how long a broken stream waits to learn which signal broke it: failover waits with it
NEWS_S = 0.2
#: an engine that needs nearly all its memory right after the start may still grow by this before it is replaced
HEADROOM = 1.5


class Attachment:
    """One worker, met and started. `watch` must run as long as it is kept; cancelling `watch` detaches."""

    def __init__(
        self, spec: WorkerSpec, place: Place, connection: Connection, hello: wire.Hello, spawned: Spawned | None
    ) -> None:
        self._spec = spec
        self._place = place
        self._connection = connection
        self._started_bytes = hello.started_bytes
        self._spawned = spawned
        self._process = Process(connection.peer()[0])
        self._streams: set[Connection] = set()
        self._log = logging.getLogger(f"voxgate.engine.{spec.instance}")
        self._ponged = True
        self._verdict = ""  # why we killed it
        self._released = False
        self.info: EngineInfo = hello.info
        self.retiring = False
        #: set when the worker retires or is gone
        self.over = asyncio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def watch(self, on_info: Callable[[], None], on_retiring: Callable[[], None]) -> str:
        """Pass on what the worker says until it is gone; returns why, empty when it went as announced."""
        self._process.watch(self._hang_up)
        helpers = [asyncio.create_task(self._ping())]
        if self._spec.memory_limit_mb and self.pid:
            helpers.append(asyncio.create_task(self._weigh(self._spec.memory_limit_mb << 20)))
        try:
            while True:
                reply = await self._connection.next_reply()
                match reply.type:
                    case Reply.PONG:
                        self._ponged = True
                    case Reply.INFO:
                        self.info = wire.decode_hello(reply.payload).info
                        on_info()
                    case Reply.RETIRING:
                        self.retiring = True
                        self.over.set()
                        on_retiring()
                    case _:
                        raise WireError(f"{reply.type.name} on an attached connection")
        except Hangup:
            return "" if self.retiring and not self._verdict else await self.epitaph()
        except (WireError, MsgspecError) as error:
            return f"broke the protocol: {error}"
        finally:
            self.over.set()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            self.close()

    async def epitaph(self) -> str:
        """How the worker ended, as far as that is known; waits shortly for the news."""
        if self._verdict:
            return self._verdict
        if self._released:
            return "was let go"
        if self._spawned is None:
            return "died"
        await asyncio.to_thread(self._spawned.wait, NEWS_S)
        return f"died ({self._spawned.manner})" if self._spawned.manner else "died"

    def close(self) -> None:
        """Free what is held. Where `watch` has begun, it does so itself. Idempotent."""
        self._process.close()
        self._connection.close()

    def break_off(self) -> None:
        """End everything that speaks through this attachment: its owner closes."""
        self._released = True
        self._cut_streams()

    # speaking

    def connect(self) -> Connection | None:
        """A new connection to the worker, or None when nobody listens there any more."""
        try:
            connection = Connection.open(self._place.socket)
        except (FileNotFoundError, ConnectionError):
            return None
        except OSError as error:
            raise Unavailable(f"the worker of {self._spec.instance} cannot be reached: {error}") from error
        if connection.peer()[0] == self.pid:  # else it is the successor already
            self._streams.add(connection)
        return connection

    async def speak(
        self, connection: Connection, request: SpeechRequest, waits: Callable[[bool], None]
    ) -> AsyncGenerator[AudioChunk, None]:
        """Speak over a connection of `connect`, which is closed at the end, whatever that is.

        `waits` is called with True when the worker lets the request wait for a slot, and with False when it has one.
        """
        try:
            try:
                words = wire.encode(request)
            except UnicodeEncodeError as error:
                raise InvalidRequest(f"the text holds half a character: {error.reason}", param="input") from None
            await connection.call(Call.SPEAK, words)
            while True:
                reply = await connection.next_reply()
                match reply.type:
                    case Reply.AUDIO:
                        marks = wire.decode_marks(reply.marks) if reply.marks else ()
                        yield AudioChunk(reply.payload, reply.sample_rate, marks)
                    case Reply.WAITS | Reply.TURN:
                        waits(reply.type is Reply.WAITS)
                    case Reply.END:
                        return
                    case Reply.ERROR:
                        raise wire.decode_failure(reply.payload).error()
                    case _:
                        raise WireError(f"{reply.type.name} in a stream of audio")
        except Hangup:
            fault = Unavailable if self._released else EngineFault
            raise fault(f"the worker of {self._spec.instance} {await self.epitaph()}") from None
        except (WireError, MsgspecError) as error:
            raise EngineFault(f"the worker of {self._spec.instance} broke the protocol: {error}") from error
        finally:
            self._streams.discard(connection)
            connection.close()

    async def check(self, connection: Connection) -> None:
        """Ask the engine how it is, over a connection of `connect`. Raises what it says, or `Unavailable`."""
        try:
            async with asyncio.timeout(CHECK_S):
                await connection.call(Call.CHECK)
                reply = await connection.next_reply()
            if reply.type is Reply.ERROR:
                raise wire.decode_failure(reply.payload).error()
            if reply.type is not Reply.WELL:
                raise WireError(f"{reply.type.name} as the answer to a check")
        except TimeoutError:
            raise Unavailable(f"the worker of {self._spec.instance} has not answered for {CHECK_S:g} s") from None
        except (Hangup, WireError, MsgspecError) as error:
            raise Unavailable(f"the worker of {self._spec.instance} cannot be asked: {error}") from error
        finally:
            self._streams.discard(connection)
            connection.close()

    # watching

    def _hang_up(self) -> None:
        """End every connection: their other ends may live on in children of a dead worker."""
        self._connection.shutdown()
        self._cut_streams()

    def _cut_streams(self) -> None:
        for stream in self._streams:
            stream.shutdown()

    async def _ping(self) -> None:
        """Kill a worker that answers nothing for `hang_timeout_s`.

        Counted in pings, not by the clock: when this process itself was stopped for a while, that is no fault of the
        worker's.
        """
        period_s = min(PING_PERIOD_S, self._spec.hang_timeout_s / 4)
        silent_s = 0.0
        while True:
            self._ponged = False
            try:
                await self._connection.call(Call.PING)
            except Hangup:
                return  # `watch` sees it too
            await asyncio.sleep(period_s)
            silent_s = 0.0 if self._ponged else silent_s + period_s
            if silent_s >= self._spec.hang_timeout_s:
                self._verdict = f"does not answer for {self._spec.hang_timeout_s:g} s and was killed"
                self._log.error("process %d %s", self.pid, self._verdict)
                self._process.kill()
                self._hang_up()
                return

    async def _weigh(self, limit_bytes: int) -> None:
        """Ask a worker that has grown too big to retire. Kill it only if it then grows on beyond twice the limit.

        Retiring cuts no speech: the worker finishes what it began, while a successor takes over. A process that swells
        beyond all bounds meanwhile would take the machine down with it.
        """
        if self._started_bytes * HEADROOM > limit_bytes:
            limit_bytes = int(self._started_bytes * HEADROOM)
            self._log.warning(
                "memory_limit_mb is %d, but it has %d MB right after its start: replaced above %d MB",
                self._spec.memory_limit_mb,
                self._started_bytes >> 20,
                limit_bytes >> 20,
            )
        try:
            scales = await asyncio.to_thread(Scales, self.pid)
        except Exception:  # gone already: the connection tells
            return
        asked = False
        before = 0
        growths = 0
        while True:
            weight = await asyncio.to_thread(scales.weigh)
            growths = growths + 1 if weight > before else 0
            before = weight
            if weight > limit_bytes and not (asked or self.retiring):
                asked = True
                self._log.warning("has %d MB, the limit is %d: is replaced", weight >> 20, limit_bytes >> 20)
                try:
                    await self._connection.call(Call.RETIRE)
                except Hangup:
                    return
            elif weight > 2 * limit_bytes and growths >= 2 and (asked or self.retiring):
                self._verdict = f"had {weight >> 20} MB, grew on and was killed"
                self._log.error("process %d %s", self.pid, self._verdict)
                self._process.kill()
                return
            await asyncio.sleep(WEIGH_PERIOD_S)
