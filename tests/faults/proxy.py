"""A way to a Redis that tells commands apart, so that something can be done to it at the n-th of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.redis_at_hand import RedisServer


class Proxy:
    """Passes everything on, command by command."""

    def __init__(self, server: RedisServer) -> None:
        self.server, self.port = server, 0
        self.struck = threading.Event()
        self.seen: list[str] = []  # names of commands since it was armed
        self._left: int | None = None
        self._strike: Callable[[], None] | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def files(self) -> int:
        """Sockets that it has open."""
        return len(self._open)

    def arm(self, number: int, strike: Callable[[], None] | None) -> None:
        """Do that just before the command of that number, counted from now; None: let it do, but lose its answer, and
        all connections."""
        self.struck.clear()
        self.seen.clear()
        self._strike, self._left = strike, number

    def disarm(self) -> None:
        self._left = None

    # --- in the thread of the proxy ---

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            answers, there = await asyncio.open_connection("127.0.0.1", self.server.port)
            self._open.add(there)
            ways = (asyncio.create_task(self._forth(reader, there)), asyncio.create_task(_back(answers, writer)))
            _, pending = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in pending:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # nobody is there, or the test is over
        finally:
            for one in (writer, there):
                if one is not None:
                    one.transport.abort()
                    self._open.discard(one)

    async def _forth(self, reader: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        while True:
            name, command = await _read_command(reader)
            self.seen.append(name)
            if self._left is not None:
                self._left -= 1
            if self._left != 0:
                there.write(command)
                continue
            self._left = None
            if self._strike is not None:
                self._strike()
                there.write(command)
            else:
                # what was done is done; nobody hears of it
                lost = await asyncio.open_connection("127.0.0.1", self.server.port)
                lost[1].write(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n" + command)
                await lost[0].read(1)
                lost[1].close()
                for writer in list(self._open):
                    writer.transport.abort()
            self.struck.set()


async def _back(answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await answers.read(65536):
        writer.write(data)


async def _read_command(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """An array of strings, as clients send them (RESP, "Sending commands to a Redis server")."""
    head = await reader.readuntil(b"\r\n")
    parts, words = [head], list[bytes]()
    for _ in range(int(head[1:])):
        length = await reader.readuntil(b"\r\n")
        words.append(await reader.readexactly(int(length[1:]) + 2))
        parts += [length, words[-1]]
    return words[0].strip().decode(), b"".join(parts)


@contextmanager
def proxied(server: RedisServer) -> Iterator[Proxy]:
    """A proxy in a thread of its own."""
    proxy, up, over = Proxy(server), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        listening = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        proxy.port = listening.sockets[0].getsockname()[1]
        up.set()
        await over.wait()
        listening.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), name="proxy")
    thread.start()
    try:
        assert up.wait(20)
        yield proxy
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
        loop.close()
