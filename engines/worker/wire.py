"""What gateway and worker say to each other, and a socket that says it without needless copies.

Calls (gateway to worker): type u8, length u32, JSON.
Replies (worker to gateway): type u8, sample rate u32, length of marks u32, length of payload u32, marks as JSON,
payload. All numbers big endian. The first call tells what a connection is for:

    ATTACH, then PING and RETIRE    -> INFO when started and on change, PONG, RETIRING; ERROR when the start failed
    SPEAK                           -> AUDIO…, then END or ERROR; an end of file without either is a crash.
                                       Before that WAITS when all slots speak to others, and TURN when one is free
    CHECK                           -> WELL or ERROR

A connection is a plain non-blocking socket: reads are pulled by who wants the audio, writes wait for the socket, and
nothing is buffered in between. Knows nothing about engines or about who listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

import msgspec

from engines.contract import EngineInfo, Mark, SpeechRequest
from engines.errors import BY_CODE, EngineFault, SpeechError

CALL = struct.Struct(">BI")
REPLY = struct.Struct(">BIII")
#: longest call: a request's text and instructions, with much to spare
MAX_CALL_BYTES = 8 << 20
#: longest audio in one frame; longer chunks are sent as several
MAX_AUDIO_BYTES = 1 << 20
#: longest JSON in a reply: an engine's list of voices
MAX_JSON_BYTES = 16 << 20
_UCRED = struct.Struct("3i")


class Call(IntEnum):
    """Types below 32: text that strays into the socket is not taken for a call."""

    ATTACH = 1
    SPEAK = 2
    CHECK = 3
    PING = 4
    RETIRE = 5


class Reply(IntEnum):
    AUDIO = 1
    END = 2
    ERROR = 3
    INFO = 4
    PONG = 5
    RETIRING = 6
    WELL = 7
    WAITS = 8
    TURN = 9


class WireError(Exception):
    """What came is no frame of ours."""


class Hangup(Exception):
    """The other side closed the connection, or died."""


class Attach(msgspec.Struct):
    fingerprint: str


class Hello(msgspec.Struct):
    """What an attached gateway is told: the engine, and the resident bytes of its process right after the start."""

    info: EngineInfo
    started_bytes: int


class Failure(msgspec.Struct):
    """A `SpeechError` on its way through the socket."""

    code: str
    message: str
    retry_after_s: float | None = None
    param: str | None = None

    @classmethod
    def of(cls, error: SpeechError) -> Failure:
        return cls(error.code, error.message, error.retry_after_s, error.param)

    def error(self) -> SpeechError:
        return BY_CODE.get(self.code, EngineFault)(self.message, retry_after_s=self.retry_after_s, param=self.param)


encode = msgspec.json.Encoder().encode
decode_attach = msgspec.json.Decoder(Attach).decode
decode_request = msgspec.json.Decoder(SpeechRequest).decode
decode_hello = msgspec.json.Decoder(Hello).decode
decode_failure = msgspec.json.Decoder(Failure).decode
decode_marks = msgspec.json.Decoder(tuple[Mark, ...]).decode


class Frame(msgspec.Struct, frozen=True):
    """One reply as it came."""

    type: Reply
    sample_rate: int
    marks: bytes
    payload: bytes


class Connection:
    """One end of a connection. One task reads at a time; any may write."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._writing = asyncio.Lock()
        self._watched = False

    @classmethod
    def open(cls, path: Path) -> Connection:
        """Connect. Raises `FileNotFoundError` or `ConnectionError` when nobody listens, `BlockingIOError` when
        too many connect at once, `PermissionError` when somebody else's process does.

        Connecting to a unix socket never waits: it needs no coroutine.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(os.fspath(path))
            connection = cls(sock)
            if connection.peer()[1] != os.geteuid():
                raise PermissionError(f"the process that listens on {path} is another user's")
        except BaseException:
            sock.close()
            raise
        return connection

    def peer(self) -> tuple[int, int]:
        """Process and user that listen on the other side; process 0 when it is not visible from here."""
        pid, uid, _ = _UCRED.unpack(self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return pid, uid

    # calls

    async def call(self, type: Call, payload: bytes = b"") -> None:
        await self._send(CALL.pack(type, len(payload)) + payload)

    async def next_call(self) -> tuple[Call, bytes]:
        """The next call. Raises `WireError` and `Hangup`."""
        type, length = CALL.unpack(await self._receive(CALL.size))
        if length > MAX_CALL_BYTES:
            raise WireError(f"a call of {length} bytes; at most {MAX_CALL_BYTES} are taken")
        try:
            known = Call(type)
        except ValueError:
            raise WireError(f"a call of unknown type {type}") from None
        return known, await self._receive(length)

    # replies

    async def reply(
        self, type: Reply, payload: bytes | memoryview = b"", *, sample_rate: int = 0, marks: bytes = b""
    ) -> None:
        await self._send(REPLY.pack(type, sample_rate, len(marks), len(payload)), marks, payload)

    async def next_reply(self) -> Frame:
        """The next reply, its payload as it was read from the socket. Raises `WireError` and `Hangup`."""
        type, sample_rate, marks, payload = REPLY.unpack(await self._receive(REPLY.size))
        try:
            known = Reply(type)
        except ValueError:
            raise WireError(f"a reply of unknown type {type}") from None
        most = MAX_AUDIO_BYTES if known is Reply.AUDIO else MAX_JSON_BYTES
        if payload > most or marks > MAX_JSON_BYTES:
            raise WireError(f"a reply of {marks} and {payload} bytes; at most {most} are taken")
        return Frame(known, sample_rate, await self._receive(marks), await self._receive(payload))

    # the socket

    def watch(self, gone: Callable[[], object]) -> None:
        """Call `gone` once when the other side closes, or says anything more where it should be silent."""

        def readable() -> None:
            self.unwatch()
            gone()

        self._watched = True
        self._loop.add_reader(self._sock, readable)

    def unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._sock)

    def shutdown(self) -> None:
        """End the connection for both sides without freeing it: who reads it now gets `Hangup`."""
        with contextlib.suppress(OSError):  # the other side was quicker
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Free it. Nobody may be reading or writing. Idempotent."""
        self.unwatch()
        self._sock.close()

    async def _receive(self, size: int) -> bytes:
        """Exactly `size` bytes: one read and no copy when they are all there, as they mostly are."""
        if not size:
            return b""
        data = await self._some(size)
        if len(data) == size:
            return data
        parts, missing = [data], size - len(data)
        while missing:
            parts.append(await self._some(missing))
            missing -= len(parts[-1])
        return b"".join(parts)

    async def _some(self, size: int) -> bytes:
        try:
            try:
                data = self._sock.recv(size)
            except BlockingIOError:
                data = await self._loop.sock_recv(self._sock, size)
        except OSError as error:
            raise Hangup(str(error)) from error
        if not data:
            raise Hangup("end of file")
        return data

    async def _send(self, *parts: bytes | memoryview) -> None:
        """All parts, in one system call when there is room, without joining them."""
        async with self._writing:
            try:
                try:
                    sent = self._sock.sendmsg(parts)
                except BlockingIOError:
                    sent = 0
                for part in parts:
                    if sent < len(part):
                        await self._loop.sock_sendall(self._sock, memoryview(part)[sent:])
                    sent = max(0, sent - len(part))
            except OSError as error:
                raise Hangup(str(error)) from error
