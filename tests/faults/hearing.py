"""A client on a socket of its own, which may leave at any time, and what it makes of the reply.

A reply is whole, refused, or seen to be broken; the gateway's own record must say the same. Nothing else is allowed.
"""

from __future__ import annotations

import base64
import io
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import av

from engines.testing import count_beeps

RATE_HZ = 24000
#: seconds for what always happens; generous, for machines with much else to do
DEADLINE_S = 20.0
#: the forms in which speech is asked for
FORMS: dict[str, dict[str, object]] = {
    "pcm, streamed": {"response_format": "pcm"},
    "mp3, streamed": {"response_format": "mp3"},
    "wav, whole": {"response_format": "wav", "stream": False},
    "wav in JSON": {"response_format": "wav", "as_json": True},
}


class Address(Protocol):
    """Of a gateway on this machine."""

    @property
    def port(self) -> int: ...


Verdict = Literal["whole", "broken", "refused"]


@dataclass(frozen=True)
class Heard:
    """What came. `whole`: the transfer ended as the protocol says; `status` 0: not even a head."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def words(self) -> int:
        """Beeps in it."""
        kind, audio = self.headers["content-type"], self.body
        if kind.startswith("application/json"):
            kind, audio = self.json["media_type"], base64.b64decode(self.json["audio"])
        return count_beeps(audio if kind == "audio/pcm" else _decoded(audio), RATE_HZ)


def _decoded(audio: bytes) -> bytes:
    resampler = av.AudioResampler("s16", "mono", RATE_HZ)
    with av.open(io.BytesIO(audio), "r") as file:
        frames = [frame for decoded in file.decode(audio=0) for frame in resampler.resample(decoded)]
    return b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames)


class Client:
    """One connection."""

    def __init__(self, gateway: Address, buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE_S)
        if buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.socket.connect(("127.0.0.1", gateway.port))
        self._response: HTTPResponse | None = None
        self.read_bytes = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.leave()

    def ask(self, text: str, *, as_json: bool = False, headers: str = "", **fields: object) -> Self:
        self.socket.sendall(request(text, as_json=as_json, headers=headers, **fields))
        return self

    def head(self) -> HTTPResponse:
        """Wait for the status and the headers."""
        if self._response is None:
            self._response = HTTPResponse(self.socket, method="POST")
            self._response.begin()
        return self._response

    def read(self, count: int) -> bytes:
        """So many bytes of the body more."""
        data = self.head().read(count)
        assert len(data) == count
        self.read_bytes += data
        return data

    def rest(self) -> Heard:
        """Listen to the end, whatever that is."""
        try:
            response = self.head()
        except (HTTPException, ConnectionError):
            return Heard(0, {}, b"", whole=False)
        try:
            body, whole = response.read(), True
        except IncompleteRead as cut:
            body, whole = cut.partial, False
        except ConnectionError:
            body, whole = b"", False
        headers = {name.lower(): value for name, value in response.getheaders()}
        heard, self._response, self.read_bytes = self.read_bytes + body, None, b""
        return Heard(response.status, headers, heard, whole)

    def leave(self, *, reset: bool = False) -> None:
        """Close the connection, by a reset when told to."""
        if reset and self.socket.fileno() >= 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        if self._response is not None:
            self._response.close()
        self.socket.close()


def request(text: str, *, as_json: bool = False, headers: str = "", **fields: object) -> bytes:
    """The bytes of one that passes the cache by, unless told otherwise."""
    asked = {"input": text, "response_format": "pcm", "sample_rate": RATE_HZ, "cache": "bypass"} | fields
    body = json.dumps(asked).encode()
    accept = "accept: application/json\r\n" if as_json else ""
    head = f"POST /v1/speech HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{accept}{headers}\r\n"
    return head.encode() + body


def ask(gateway: Address, text: str, **fields: Any) -> Heard:
    """One request on a connection of its own."""
    with Client(gateway) as client:
        return client.ask(text, **fields).rest()


def outcome(gateway: Address, request_id: str) -> dict[str, Any]:
    """What the gateway tells of a request, once it has ended; empty when it knows of none."""
    until = time.monotonic() + DEADLINE_S
    while True:
        with Client(gateway) as client:
            client.socket.sendall(f"GET /v1/speech/{request_id} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            heard = client.rest()
        if heard.status == 404:
            return {}
        assert (heard.status, heard.whole) == (200, True)
        found: dict[str, Any] = heard.json
        if found["state"] != "running":
            return found
        assert time.monotonic() < until, found
        time.sleep(0.005)


def judge(gateway: Address, heard: Heard, words: int) -> Verdict:
    """What the reply is. Fails when it is none of those, or when the record says otherwise than the client heard."""
    if not heard.status:
        return "broken"
    told = outcome(gateway, heard.headers["x-request-id"])
    if heard.status != 200:
        assert heard.whole
        assert heard.json["error"]["message"]
        # a whole reply may have been interrupted before any of it was sent
        assert not told or (told["complete"] is False and told["state"] in ("failed", "interrupted")), told
        return "refused"
    if heard.whole:
        assert heard.words == words, (heard.words, told)
        assert (told["state"], told["complete"]) == ("complete", True)
        return "whole"
    if heard.headers["content-type"] == "audio/pcm":
        assert heard.words <= words  # nothing twice
    assert (told["state"], told["complete"]) == ("interrupted", False)
    return "broken"


def poll(holds: Any, what: str = "it") -> None:
    """Wait for what no event tells; the bound is only there to fail instead of hanging."""
    until = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < until, f"{what} never came true"
        time.sleep(0.005)
