"""The stand-in for Model Studio in a thread of its own: for tests whose event loop is not theirs to run a server in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.engines.sambert.service import Service


@contextmanager
def service_beside(service: Service | None = None) -> Iterator[Service]:
    """A service that listens until the block ends. What it has seen may be read; its scripts are changed before a
    request is made."""
    service = service or Service()
    loop = asyncio.new_event_loop()
    listens, ends = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with service:
            listens.set()
            await ends.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="model studio")
    thread.start()
    try:
        assert listens.wait(10)
        yield service
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join()
        loop.close()
