"""The speech server behind what is measured: `python -m bench.upstream PORT`. It costs next to nothing itself.

It answers every POST with PCM, chunked, as a streaming server does: 100 kB in one go, or where `input` begins with
`Slowly` 3 s of speech as fast as it is heard, after 200 ms. It lists one model, and no voices.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop

RATE_HZ = 24000
#: of the answer that is given in one go: two seconds, and what the peers' upstream was measured with
AT_ONCE_BYTES = 100_000
FIRST_S, PIECE_S, PIECES = 0.2, 0.1, 30
SLOWLY = "Slowly"

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ntransfer-encoding: chunked\r\n\r\n"
_LAST = b"0\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


#: no silence, which some would take for a fault
_SAMPLES = bytes(range(1, 251)) * (AT_ONCE_BYTES // 250)
_AT_ONCE = _HEAD + _chunk(_SAMPLES) + _LAST
_PIECE = _chunk(_SAMPLES[: round(2 * RATE_HZ * PIECE_S)])
_MODELS = json.dumps({"object": "list", "data": [{"id": "tts-1", "object": "model"}]}).encode()
_LIST = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_MODELS), _MODELS)
_READY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_NOTHING = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
_PAGES = {b"/v1/models": _LIST, b"/readyz": _READY}


class Upstream(asyncio.Protocol):
    """One connection, kept alive; it does not look at more of a request than it must."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._request = b""

    def data_received(self, data: bytes) -> None:
        self._request += data
        head, end, body = self._request.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._request = b""
        if not head.startswith(b"POST"):
            self._transport.write(_PAGES.get(head.split(b" ", 2)[1], _NOTHING))
        elif SLOWLY.encode() in body:
            asyncio.get_running_loop().call_later(FIRST_S, self._begin)
        else:
            self._transport.write(_AT_ONCE)

    def _begin(self) -> None:
        self._transport.write(_HEAD)
        self._go_on(asyncio.get_running_loop().time(), 0)

    def _go_on(self, began_s: float, given: int) -> None:
        """The next piece at its time, counted from the first, so that lateness does not add up."""
        if given == PIECES:
            self._transport.write(_LAST)
            return
        self._transport.write(_PIECE)
        at_s = began_s + (given + 1) * PIECE_S
        asyncio.get_running_loop().call_at(at_s, self._go_on, began_s, given + 1)


def _length(head: bytes) -> int:
    _, named, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if named else 0


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
