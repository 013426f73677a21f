"""HTTP/1.1 byte by byte (RFC 9112), so that a stand-in server can also speak it wrongly. Knows nothing about speech."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

#: an odd number, so that samples of two bytes are torn apart
PIECE_BYTES = 4801


@dataclass(frozen=True)
class Heard:
    """A request, and what became of it: `answered` whole, or its client `left` before."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # by lower-case names
    body: bytes
    connection: int  # which one since the server began, from 1
    answered: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON; empty when it is not an object."""
        try:
            body = json.loads(self.body)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form, as browsers encode it in either way (files are left out)."""
        kind = self.headers.get("content-type", "")
        if not kind.startswith("multipart/form-data"):
            return dict(parse_qsl(self.body.decode()))
        head = f"content-type: {kind}\r\n\r\n".encode()
        parts = BytesParser(policy=HTTP).parsebytes(head + self.body).iter_parts()  # type: ignore[attr-defined]
        return {
            str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True).decode()
            for part in parts
            if part.get_filename() is None
        }


@dataclass(frozen=True)
class Reply:
    """An answer, and how it ends.

    A body is sent chunked, or with its length if `sized`. `held_at`: after so many bytes the server waits until it is
    told to go on. `stops_at`: the connection ends there instead. -1, for both: before the status line.
    """

    body: bytes = b""
    content_type: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    sized: bool = False
    held_at: int | None = None
    stops_at: int | None = None
    stops_by: Literal["close", "reset"] = "close"
    raw: bytes = b""  # sent as it is, instead of everything else

    def head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        if self.content_type:
            lines.append(f"content-type: {self.content_type}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines.append(f"content-length: {len(self.body)}" if self.sized else "transfer-encoding: chunked")
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """The body in order, each piece with the number of bytes before it."""
        stop = len(self.body) if self.stops_at is None else min(self.stops_at, len(self.body))
        at = 0
        while at < stop:
            border = self.held_at if self.held_at is not None and self.held_at > at else stop
            piece = self.body[at : min(at + PIECE_BYTES, border, stop)]
            yield at, piece
            at += len(piece)


def json_reply(status: int, body: object, **headers: str) -> Reply:
    """As frameworks send JSON: with its length. Of header names, `_` is written `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps(body, ensure_ascii=False).encode(), "application/json", status, named, sized=True)


def with_headers(reply: Reply, **headers: str) -> Reply:
    return replace(reply, headers={**reply.headers, **{k.replace("_", "-"): v for k, v in headers.items()}})


async def read_request(reader: asyncio.StreamReader, connection: int) -> Heard | None:
    """The next request of a connection; None when its client has closed it."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    method, target, _ = head[0].split(" ")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    return Heard(method, url.path, dict(parse_qsl(url.query)), headers, body, connection)


async def send_reply(reply: Reply, writer: asyncio.StreamWriter, go_on: asyncio.Event) -> bool:
    """Send as much of it as is meant; True when it was whole, and the connection can be used again."""
    if reply.raw:
        writer.write(reply.raw)
        return False
    if reply.held_at == -1:
        await go_on.wait()
    if reply.stops_at == -1:
        return _stop(reply, writer)
    writer.write(reply.head())
    for at, piece in reply.pieces():
        if at == reply.held_at:
            await go_on.wait()
        writer.write(piece if reply.sized else b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
    if reply.held_at == (len(reply.body) if reply.stops_at is None else reply.stops_at):
        await go_on.wait()
    if reply.stops_at is not None:
        return _stop(reply, writer)
    if not reply.sized:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def _stop(reply: Reply, writer: asyncio.StreamWriter) -> bool:
    if reply.stops_by == "reset":  # a linger of 0 seconds: what is not sent yet is thrown away, and the other side told
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False
