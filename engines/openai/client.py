"""Asks speech servers over HTTP/1.1: a pool of kept connections, every wait bounded, a cut never taken for an end.

On aiohttp: httpx takes several times its processor time for each request (`bench/remote.py` measures both). Redirects
are not followed, since the key would go with them; proxies are those of the environment (`HTTPS_PROXY`, `NO_PROXY`).
Knows no dialect: bytes out, bytes in.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from engines.errors import DeadlineExceeded, EngineFault, SpeechError, Unavailable
from engines.remote.exchange import Tap
from engines.remote.unreachable import why

#: seconds for which an idle connection is kept: uvicorn, on which most of these servers run, closes its after 5
KEPT_S = 4.0
#: bytes that are read ahead of a slow listener, and at most of an answer that is no audio
_AHEAD_BYTES, _LONGEST_ANSWER_BYTES = 1 << 16, 4 << 20

#: what the types of bodies begin with that are words
_TEXT = re.compile(r"application/([\w.-]+\+)?json|text/")
#: times that one request is sent, so that a server which dies of it does so twice at most
_SENT_AT_MOST = 2
#: seconds for what a server says beside a status that is no success: the status says the most
_COMPLAINT_S = 2.0

#: holds something once the request of this context has had a connection made for it
_made: ContextVar[list[int]] = ContextVar("connections made for this request")


@dataclass(frozen=True, slots=True)
class Times:
    """Bounds in seconds; none of them counts time in which nobody asks for more."""

    connect_s: float = 3.0
    first_byte_s: float = 30.0  # from the request to the first audio, or to the end of what is no audio
    gap_s: float = 30.0  # between two pieces of audio

    def within(self, seconds: float) -> Times:
        """For a short question: most of it for the connection, so that who is not there is told from who is silent."""
        return Times(min(self.connect_s, 0.75 * seconds), seconds, min(self.gap_s, seconds))


@dataclass(frozen=True, slots=True)
class Question:
    """One request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    within_s: float | None = None  # instead of `first_byte_s`; None: as `Times` says


class Answer:
    """The head of an answer, and its body as it comes."""

    def __init__(self, response: aiohttp.ClientResponse, until_s: float, times: Times, tap: Tap | None) -> None:
        self._response, self._until_s, self._times, self._tap = response, until_s, times, tap
        self._noted = False
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers  # by names in any case
        chunked = "chunked" in response.headers.get("transfer-encoding", "").lower()
        #: there is neither a length nor are there chunks, so that a cut looks like the end
        self.ends_by_closing = response.content_length is None and not chunked
        is_text = tap is not None and _TEXT.match(response.headers.get("content-type", ""))
        self._words: list[bytes] | None = [] if is_text else None  # of the body so far, for the tap

    async def read(self, begun: bool = False) -> bytes:
        """What has come of the body since the last call; waits for some. Empty: that was all of it.

        `begun`: what is wanted of it has, so that only a gap is too long. Until then all of it together has the time
        of a first byte: the head of a wav file is no audio. Raises EngineFault where it broke off or stays away,
        DeadlineExceeded where it does not begin.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(loop.time() + self._times.gap_s if begun else self._until_s):
                piece = await self._response.content.readany()
        except TimeoutError:
            raise _silent(self._times) if begun else _late(self._times) from None
        except (aiohttp.ClientError, OSError, RuntimeError) as error:  # the last: this client was closed meanwhile
            if self._tap is not None:
                self._note_end(self._tap, "reset", type(error).__name__)
            raise EngineFault("the engine's server broke off amid its answer") from error
        if self._tap is not None:
            self._note(self._tap, piece)
        return piece

    async def whole(self) -> bytes:
        """All of a body that is not audio, within the time of a first byte.

        Raises as `read`, and EngineFault where it is too long.
        """
        found = bytearray()
        while piece := await self.read():
            found += piece
            if len(found) > _LONGEST_ANSWER_BYTES:
                raise EngineFault("the engine's server answers at a length that cannot be right")
        return bytes(found)

    async def complaint(self) -> bytes:
        """What an answer says that is no success; empty where it cannot be read to its end soon."""
        self._until_s = min(self._until_s, asyncio.get_running_loop().time() + _COMPLAINT_S)
        try:
            return await self.whole()
        except SpeechError:
            return b""

    def leave(self) -> None:
        """Its listener goes."""
        if self._tap is not None and not self._noted:
            self._note_end(self._tap, "cancelled", "")

    def _note(self, tap: Tap, piece: bytes) -> None:
        """Of audio each piece, of words all of them together."""
        if not piece:
            self._note_end(tap, "end", "")
        elif self._words is None:
            tap.note("received", "binary", piece)
        else:
            self._words.append(piece)

    def _note_end(self, tap: Tap, how: str, why: str) -> None:
        if self._words:
            tap.note("received", "text", b"".join(self._words).decode(errors="replace"))
        tap.note("closed", how, why)
        self._noted = True


class Client:
    """Connections to the servers of one engine. Made inside the event loop that uses it."""

    def __init__(self, times: Times, tap: Tap | None = None) -> None:
        self._times, self._tap = times, tap
        self._proxies: dict[str, str | None] = {}
        self._open: set[aiohttp.ClientResponse] = set()
        # no limit: the engine's slots are one
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S, socket_factory=_socket)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_AHEAD_BYTES,
        )

    @asynccontextmanager
    async def ask(self, question: Question) -> AsyncGenerator[Answer, None]:
        """The answer, once its head is there. Leaving the block before its end closes the connection.

        Raises Unavailable, DeadlineExceeded and EngineFault; whatever the status is, it is an answer.
        """
        times = self._times if question.within_s is None else self._times.within(question.within_s)
        until_s = asyncio.get_running_loop().time() + times.first_byte_s
        if self._tap is not None:
            _note_question(self._tap, question)
        response = await self._send(question, until_s, times)
        if self._tap is not None:
            head = {"status": response.status, "headers": dict(response.headers)}
            self._tap.note("received", "head", json.dumps(head))
        answer = Answer(response, until_s, times, self._tap)
        self._open.add(response)
        try:
            yield answer
        finally:
            self._open.discard(response)
            answer.leave()
            response.close()  # where the body was read to its end, its connection is back in the pool already

    async def close(self) -> None:
        for response in self._open:  # aiohttp closes its connection, and does not wake who waits for its body
            response.content.set_exception(aiohttp.ClientConnectionError("closed"))
        await self._session.close()

    async def _send(self, question: Question, until_s: float, times: Times) -> aiohttp.ClientResponse:
        """Send it; once more where a kept connection turns out to have been closed at the same moment."""
        sent = 0
        while True:
            made: list[int] = []
            _made.set(made)
            sent += 1
            try:
                async with asyncio.timeout_at(until_s):
                    return await self._session.request(
                        question.method,
                        question.url,
                        data=question.body,
                        headers=question.headers,
                        allow_redirects=False,
                        proxy=self._proxy(question.url),
                        timeout=aiohttp.ClientTimeout(total=None, connect=times.connect_s),
                    )
            except aiohttp.ServerTimeoutError:
                within = f"within {times.connect_s:g} s"
                raise Unavailable(f"the engine's server cannot be reached {within}") from None
            except TimeoutError:
                raise _late(times) from None
            except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:  # RuntimeError: this is closed
                was_kept = not made and isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
                if not was_kept or sent == _SENT_AT_MOST:
                    raise _failure(error) from error

    def _proxy(self, url: str) -> str | None:
        """The environment's proxy for a server; looked up once, as that takes longer than a request."""
        parts = urlsplit(url)
        if parts.netloc not in self._proxies:
            bypassed = proxy_bypass(parts.hostname or "")
            self._proxies[parts.netloc] = None if bypassed else getproxies().get(parts.scheme)
        return self._proxies[parts.netloc]


def _note_question(tap: Tap, question: Question) -> None:
    head = {"method": question.method, "url": question.url, "headers": dict(question.headers)}
    tap.note("sent", "head", json.dumps(head))
    if question.body:
        tap.note("sent", "text", question.body.decode())


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """The socket of a new connection: it is noted that the request has one of its own."""
    if (made := _made.get(None)) is not None:
        made.append(1)
    return socket.socket(*address[:3])


def _late(times: Times) -> DeadlineExceeded:
    return DeadlineExceeded(f"the engine's server gave no audio within {times.first_byte_s:g} s")


def _silent(times: Times) -> EngineFault:
    return EngineFault(f"the engine's server fell silent for {times.gap_s:g} s amid its answer")


def _failure(error: Exception) -> SpeechError:
    """What went wrong before there was an answer, in words without the address."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unavailable("the engine's server cannot be reached: its name is not known")
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
        return Unavailable("the engine's server cannot be reached safely: TLS or its certificate fails")
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return Unavailable("the engine's server cannot be reached through the proxy of the environment")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unavailable(f"the engine's server cannot be reached: {why(error.os_error)}")
    if isinstance(error, ValueError):
        return Unavailable("the engine's server cannot be reached: its address, or the proxy's, is no URL")
    if isinstance(error, aiohttp.ServerDisconnectedError | OSError):
        return Unavailable("the engine's server closed the connection without an answer")
    if isinstance(error, RuntimeError | aiohttp.ClientConnectionError):
        return Unavailable("the engine was closed")
    return EngineFault("the engine's server gives an answer that is no HTTP")
