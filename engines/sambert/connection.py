"""One WebSocket to Model Studio: carries one task after another, and bounds every wait.

A thin driver of `protocol` over `websockets`. Knows nothing about voices, keys or when a connection is used again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
    WebSocketException,
)
from websockets.protocol import State

from engines.errors import EngineFault, SpeechError, Unavailable
from engines.remote.exchange import Tap
from engines.remote.unreachable import why
from engines.sambert.faults import turned_away
from engines.sambert.protocol import Audio, Event, OneShot, Started, Task, exchange_for
from engines.sambert.times import Times

#: bytes of a frame: longer than any that was heard of, and a bound for what one may take
MAX_FRAME_BYTES = 16 * 1024 * 1024
#: what websockets logs to: at the level `debug` it would write every header, and the key is one
_LOGGER = logging.getLogger("voxgate.sambert.socket")
_LOGGER.setLevel(logging.INFO)


class _Direct(connect):
    """Follows no redirect: it could lead the key and the text to another host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_connection(
    endpoint: str, headers: Mapping[str, str], times: Times, tls: ssl.SSLContext | None = None, tap: Tap | None = None
) -> Connection:
    """Connect, through the proxy that the environment names, if any. Raises SpeechError."""
    if tap:
        tap.note("sent", "head", json.dumps({"method": "GET", "url": endpoint, "headers": dict(headers)}))
    try:
        socket = await _Direct(
            endpoint,
            additional_headers=headers,
            user_agent_header="voxgate",
            ssl=tls,
            compression=None,  # audio does not get smaller
            max_size=MAX_FRAME_BYTES,
            open_timeout=times.connect_s,
            close_timeout=times.close_s,
            logger=_LOGGER,
            ping_interval=None,  # while a slow listener holds the audio up, no answer to a ping would get through
        )
    except InvalidStatus as error:
        answer = error.response
        if tap:
            _note_answer(tap, answer.status_code, answer.headers.raw_items(), bytes(answer.body or b""))
        raise turned_away(answer.status_code, bytes(answer.body or b""), answer.headers.get("Retry-After")) from None
    except TimeoutError:
        raise Unavailable(f"the speech service could not be reached within {times.connect_s:g} s") from None
    except (OSError, EOFError, ImportError, WebSocketException) as error:
        raise Unavailable(f"the speech service cannot be reached: {_why_not(error)}") from None
    if tap and socket.response:
        _note_answer(tap, socket.response.status_code, socket.response.headers.raw_items())
    return Connection(socket, dict(headers), times, tap)


def _why_not(error: OSError | EOFError | ImportError | WebSocketException) -> str:
    """Why there is no connection, in words without an address."""
    if isinstance(error, OSError | EOFError):
        return why(error)
    if isinstance(error, InvalidURI):
        return "its address is no URL: the operator must look at `endpoint`"
    if isinstance(error, ImportError):
        return "the proxy of the environment speaks SOCKS, for which python-socks is not installed"
    if isinstance(error, InvalidProxy | ProxyError):
        return "the proxy of the environment does not lead there"
    return "who answers there speaks no WebSocket"


def _note_answer(tap: Tap, status: int, headers: Iterable[tuple[str, str]], body: bytes = b"") -> None:
    tap.note("received", "head", json.dumps({"status": status, "headers": dict(headers)}))
    if body:
        tap.note("received", "text", body.decode(errors="replace"))


class Connection:
    """Carries tasks: `begin` one, then `hear` its events until it is `finished`.

    Waits count only while somebody waits: a listener who is slow uses up no time. After any error the connection is
    of no more use but to be closed.
    """

    def __init__(self, socket: ClientConnection, headers: Mapping[str, str], times: Times, tap: Tap | None) -> None:
        self.headers = headers
        self._socket, self._times, self._tap = socket, times, tap
        self._exchange: OneShot | None = None
        self._quiet_s = self._whole_s = 0.0  # that may still be waited: for the next step, and for all of the task
        self._left = False  # before the end of a task
        self._watching = asyncio.create_task(self._note_end(tap)) if tap else None

    @property
    def finished(self) -> bool:
        """Has the task come to its good end, so that another one may follow."""
        return self._exchange is not None and self._exchange.finished

    async def begin(self, task: Task) -> Started:
        """Send a task off. Raises SpeechError: Lost where the connection was of no use before the task had started."""
        exchange = self._exchange = exchange_for(task)
        self._quiet_s, self._whole_s = self._times.start_s, self._times.whole(len(task.text))
        await self._send(exchange.begin())
        while not exchange.started:
            exchange.receive(await self._receive())
        self._quiet_s = self._times.first_audio_s
        for frame in exchange.text():
            await self._send(frame)
        return Started()

    async def hear(self) -> Event:
        """The next event of the task that was begun. Raises SpeechError."""
        assert self._exchange is not None
        event = None
        while event is None:
            event = self._exchange.receive(await self._receive())
        if isinstance(event, Audio):
            self._quiet_s = self._times.gap_s
        return event

    async def close(self) -> None:
        """Send a close frame, and wait only a moment for its answer: all the audio on the way may stand before it."""
        self._left = self._socket.state is State.OPEN and not self.finished
        try:
            await self._socket.close()
        finally:
            self._socket.transport.abort()
        if self._watching:
            await self._watching

    async def _note_end(self, tap: Tap) -> None:
        await self._socket.wait_closed()
        code = "cancelled" if self._left else str(self._socket.close_code)
        tap.note("closed", code, self._socket.close_reason or "")

    async def _send(self, frame: str) -> None:
        if self._tap:
            self._tap.note("sent", "text", frame)
        try:
            async with self._wait():
                await self._socket.send(frame)
        except ConnectionClosed:
            pass  # what was received before tells why

    async def _receive(self) -> str | bytes:
        assert self._exchange is not None
        try:
            async with self._wait():
                frame = await self._socket.recv()
        except ConnectionClosed as error:
            raise self._exchange.lost() from error
        if self._tap:
            self._tap.note("received", "text" if isinstance(frame, str) else "binary", frame)
        return frame

    @asynccontextmanager
    async def _wait(self) -> AsyncGenerator[None, None]:
        """Bound what is awaited inside, and take its time from what is left."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        try:
            async with asyncio.timeout(min(self._quiet_s, self._whole_s)):
                yield
        except TimeoutError:
            raise self._late() from None
        finally:
            waited_s = loop.time() - begun_s
            self._quiet_s, self._whole_s = self._quiet_s - waited_s, self._whole_s - waited_s

    def _late(self) -> SpeechError:
        assert self._exchange is not None
        times, chars = self._times, len(self._exchange.task.text)
        if self._whole_s < self._quiet_s:
            return EngineFault(f"the speech service was not done after {times.whole(chars):.0f} s: try again")
        if not self._exchange.started:
            return EngineFault(f"the speech service did not start within {times.start_s:g} s: try again")
        if not self._exchange.audio_bytes:
            return EngineFault(f"the speech service gave no audio within {times.first_audio_s:g} s: try again")
        return EngineFault(f"the speech service fell silent for {times.gap_s:g} s: try again")
