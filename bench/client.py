"""A light HTTP/1.1 client on raw sockets: what it costs itself must not hide what the server costs.

`Hitter` repeats one request on a kept-alive connection as fast as the answers come, and reads bodies with a
content-length into one buffer. `Listener` sends one request at a time, and tells when the first byte of the body came,
chunked or not.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast


def post(path: str, body: Mapping[str, Any]) -> bytes:
    """A POST with a JSON body, as it goes over the wire."""
    content = json.dumps(body, ensure_ascii=False).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
    )
    return head.encode() + b"\r\n" + content


#: what is said of an answer that was broken off
CUT = "the server closed the connection before its answer was whole"


class BadAnswer(Exception):
    """The server answered something else than what is to be measured."""


class Hitter(asyncio.BufferedProtocol):
    """One connection that asks again as soon as it is answered, until `stop`."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._buffer = memoryview(bytearray(1 << 18))
        self._head = b""
        self._left = 0  # bytes of the body still to come; 0 with an empty head: between answers
        self._sent_s = 0.0
        self._stopping = False
        self.latencies_s: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but is not declared so
        self._ask()

    def stop(self) -> None:
        """Ask no more; `done` is set after the last answer."""
        self._stopping = True

    def _ask(self) -> None:
        if self._stopping:
            self._transport.close()
            return
        self._sent_s = time.perf_counter()
        self._transport.write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._left:
            self._left -= nbytes
        else:
            self._head += self._buffer[:nbytes]
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            self._left = _content_length(self._head[:end]) - (len(self._head) - end - 4)
            self._head = b""
        if self._left == 0:
            self.latencies_s.append(time.perf_counter() - self._sent_s)
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.done.done():
            return
        if self._left or self._head or not self._stopping:
            self.done.set_exception(exc or BadAnswer(CUT))
        else:
            self.done.set_result(None)


def _content_length(head: bytes) -> int:
    if not head.startswith(b"HTTP/1.1 200"):
        raise BadAnswer(head.split(b"\r\n")[0].decode("latin-1"))
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise BadAnswer("an answer without a content-length: not a hit")


@dataclass(frozen=True)
class Answer:
    """One answer, and its times since the request was sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    first_byte_s: float  # of the body
    last_byte_s: float


class Listener:
    """Sends requests one after the other over one connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open the connection, where it is not open yet."""
        if self._pair is None:
            self._pair = await asyncio.open_connection("127.0.0.1", self._port)
        return self._pair

    async def ask(self, request: bytes, *, any_status: bool = False, bytes_s: float | None = None) -> Answer:
        """Raises BadAnswer unless the status is 200, or may be any. `bytes_s`: the body is read no faster than that."""
        reader, writer = await self.connect()
        sent_s = time.perf_counter()
        writer.write(request)
        status, headers = _parsed(await reader.readuntil(b"\r\n\r\n"))
        pieces: list[bytes] = []
        first_s = 0.0
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await self._line(reader), 16):
                piece = await reader.readexactly(size + 2)
                first_s = first_s or time.perf_counter() - sent_s
                pieces.append(piece[:-2])
                if bytes_s:
                    await asyncio.sleep(size / bytes_s)
            await reader.readline()
        else:
            left = int(headers.get("content-length", "0"))
            while left:
                piece = await reader.read(left)
                if not piece:
                    raise BadAnswer(CUT)
                first_s = first_s or time.perf_counter() - sent_s
                pieces.append(piece)
                left -= len(piece)
        last_s = time.perf_counter() - sent_s
        body = b"".join(pieces)
        if status != 200 and not any_status:
            raise BadAnswer(f"{status}: {body[:500].decode(errors='replace')}")
        return Answer(status, headers, body, first_s, last_s)

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        line = await reader.readline()
        if not line:
            raise BadAnswer(CUT)
        return line

    async def close(self) -> None:
        if self._pair is not None:
            self._pair[1].close()
            await self._pair[1].wait_closed()
            self._pair = None


def _parsed(head: bytes) -> tuple[int, dict[str, str]]:
    status, *lines = head.decode("latin-1").strip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(status.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}
