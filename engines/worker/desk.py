"""The worker's desk: serves everybody who is connected, one task for each, and tells attached gateways the news.

It owns the slots of the engine. Knows nothing about how the engine is started, or when the worker ends: whoever
opens it says `open`, `fail` and `retire`, and hears when somebody has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable

from msgspec import MsgspecError

from engines.contract import Engine, EngineInfo
from engines.errors import EngineFault, SpeechError, Unavailable
from engines.slots import Slots
from engines.worker import wire
from engines.worker.border import keep_rules, one_line
from engines.worker.spec import Duty
from engines.worker.wire import Call, Connection, Failure, Hangup, Hello, Reply, WireError

#: a connection that does not say what it wants is closed
FIRST_CALL_S = 10.0
#: requests that may wait here for a slot: all that come. Each gateway bounds its own line and sends no more than
#: `slots` at once, so this one is never longer than the other gateways' slots; and one turned away here may be the next
#: clause of a speech that has begun, which only its own gateway can know
QUEUE = sys.maxsize

log = logging.getLogger("voxgate.worker")


class Desk:
    """One engine and those who use it.

    `changed` is called when somebody has become attached or a connection has ended; `asked_to_retire` when a gateway
    wants another worker.
    """

    def __init__(self, duty: Duty, changed: Callable[[], None], asked_to_retire: Callable[[], None]) -> None:
        self._duty = duty
        self._changed = changed
        self._asked_to_retire = asked_to_retire
        self._engine: Engine | None = None
        self._hello = Hello(EngineInfo(), 0)
        self._failure: SpeechError | None = None
        self._begun = asyncio.Event()  # the start succeeded or failed
        self._slots = Slots(1, QUEUE)
        self._speaking: set[asyncio.Task[None]] = set()  # those in a slot
        self._in_line: dict[Connection, bool] = {}  # those without; were they told that they wait for others
        self._retiring = False
        self._attached: set[Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()  # every connection's task that is not (yet) an attachment
        self._news = asyncio.Event()  # replaced by a new one each time it is set
        #: those who pass news on, one task for each attached gateway
        self.informing: set[asyncio.Task[None]] = set()
        #: somebody was told of a failed start
        self.heard = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Is anybody served who is not only kept informed."""
        return bool(self._serving)

    @property
    def attended(self) -> bool:
        """Is any gateway attached."""
        return bool(self._attached)

    def open(self, engine: Engine, started_bytes: int) -> None:
        """The engine has started, and its process had so many resident bytes then."""
        self._engine = engine
        self._take(Hello(engine.info, started_bytes))
        self._begun.set()
        self._tell()

    def fail(self, failure: SpeechError) -> None:
        """The engine did not start."""
        self._failure = failure
        self._begun.set()
        self._tell()

    def look(self) -> None:
        """Take the engine's `info` anew, and tell everyone when it has changed."""
        assert self._engine is not None
        if (info := self._engine.info) != self._hello.info:
            self._take(Hello(info, self._hello.started_bytes))
            self._tell()

    def retire(self) -> None:
        """Tell everyone that a successor takes over. Those who are served still are, and those who knocked before."""
        self._retiring = True
        self._tell()

    def welcome(self, sock: socket.socket) -> None:
        """Serve a new connection."""
        task = asyncio.create_task(self._serve(Connection(sock)))
        self._serving.add(task)
        task.add_done_callback(self._served)

    def _take(self, hello: Hello) -> None:
        self._slots.limit = max(1, hello.info.slots)
        self._hello = hello

    def _tell(self) -> None:
        """Wake everyone who passes news on to a gateway."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        self._changed()

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
        self.informing.add(informing)
        self._attached.add(connection)
        self._serving.discard(task)
        self._changed()
        try:
            while True:
                call, _ = await connection.next_call()
                match call:
                    case Call.PING:
                        await connection.reply(Reply.PONG)
                    case Call.RETIRE:
                        log.warning("retires: a gateway asked for it")
                        self._asked_to_retire()
                    case _:
                        raise WireError(f"{call.name} on an attached connection")
        finally:
            informing.cancel()
            self.informing.discard(informing)
            self._attached.discard(connection)

    async def _inform(self, connection: Connection) -> None:
        """Tell one gateway what it does not know yet, whenever there is something."""
        told: Hello | None = None
        with contextlib.suppress(Hangup):
            while True:
                news = self._news
                if self._failure is not None:
                    await connection.reply(Reply.ERROR, wire.encode(Failure.of(self._failure)))
                    self.heard.set()
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
            self._in_line[connection] = False
            await self._tell_the_line()
            async with self._slots, contextlib.aclosing(keep_rules(engine, request)) as chunks:
                self._speaking.add(task)
                told = self._in_line.pop(connection)
                await self._tell_the_line()  # who came while this slot was deserted waits for this speech from now on
                if told:
                    await connection.reply(Reply.TURN)
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
        finally:
            self._in_line.pop(connection, None)
            self._speaking.discard(task)

    async def _tell_the_line(self) -> None:
        """Tell those who wait for others and do not know it yet. Their sockets are empty: this does not wait."""
        if not self._is_taken():
            return
        for connection in list(self._in_line):
            if self._in_line.get(connection) is False:
                self._in_line[connection] = True
                with contextlib.suppress(Hangup):  # its own task will notice
                    await connection.reply(Reply.WAITS)

    def _is_taken(self) -> bool:
        """Does every slot speak to somebody.

        One whose listener has left, and that the engine does not let go of, is no excuse: who waits for that waits for
        the engine, and is not told that he waits for others.
        """
        deserted = sum(task.cancelling() > 0 for task in self._speaking)
        return self._slots.busy - deserted >= self._slots.limit
