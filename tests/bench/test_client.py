from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bench.client import BadAnswer, Hitter, Listener, post

Answering = Callable[[bytes], list[bytes]]


@asynccontextmanager
async def server(answering: Answering) -> AsyncIterator[int]:
    """A server that answers each request with the given pieces, one write each, and closes after an empty one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                for piece in answering(await reader.readexactly(length)):
                    if not piece:
                        return
                    writer.write(piece)
                    await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as running:
        yield running.sockets[0].getsockname()[1]


def sized(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def test_a_body_with_a_length_and_a_chunked_one_are_read_over_one_connection() -> None:
    chunked = [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"3\r\nabc\r\n",
        b"A\r\n0123456789\r\n0\r\n\r\n",
    ]
    answers = [[sized(b"x" * 300_000)], chunked, [sized(b"end")]]
    async with server(lambda _: answers.pop(0)) as port:
        listener = Listener(port)
        bodies = [(await listener.ask(post("/", {}))).body for _ in range(3)]
        await listener.close()
    assert bodies == [b"x" * 300_000, b"abc0123456789", b"end"]


async def test_the_first_byte_is_timed_before_the_last() -> None:
    pieces = [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", b"3\r\ndef\r\n0\r\n\r\n"]
    async with server(lambda _: pieces) as port:
        listener = Listener(port)
        answer = await listener.ask(post("/", {}))
        await listener.close()
    assert 0 < answer.first_byte_s <= answer.last_byte_s


async def test_an_error_is_never_counted_as_an_answer() -> None:
    async with server(lambda _: [b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"]) as port:
        listener = Listener(port)
        with pytest.raises(BadAnswer, match="503: busy"):
            await listener.ask(post("/", {}))
        await listener.close()


async def test_a_hitter_asks_again_after_each_whole_answer_however_it_arrives() -> None:
    asked: list[bytes] = []
    whole = sized(b"y" * 1000)

    def answering(body: bytes) -> list[bytes]:
        asked.append(body)
        cut = len(asked) * 7 % len(whole)
        if len(asked) == 50:
            hitter.stop()
        return [whole[:cut], whole[cut:]] if cut else [whole]

    async with server(answering) as port:
        _, hitter = await asyncio.get_running_loop().create_connection(
            lambda: Hitter(post("/", {"input": "你好"})), "127.0.0.1", port
        )
        await hitter.done
    assert len(hitter.latencies_s) == 50
    assert json.loads(asked[0]) == {"input": "你好"}


@pytest.mark.parametrize(
    "answer",
    [
        [sized(b"z" * 100)[:60], b""],  # broken off in the middle
        [b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"],  # not a hit
    ],
)
async def test_a_hitter_fails_on_anything_but_a_whole_hit(answer: list[bytes]) -> None:
    async with server(lambda _: answer) as port:
        _, hitter = await asyncio.get_running_loop().create_connection(lambda: Hitter(post("/", {})), "127.0.0.1", port)
        with pytest.raises(BadAnswer):
            await hitter.done
