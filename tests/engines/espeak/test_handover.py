from __future__ import annotations

import asyncio
import threading

import pytest

from engines.contract import AudioChunk
from engines.errors import EngineFault, Unavailable
from engines.espeak.handover import Handover

CHUNK = AudioChunk(b"\1\0", 22050)


async def test_a_slow_listener_holds_the_thread() -> None:
    handover, put = Handover(3), threading.Semaphore(0)

    def fill() -> None:
        while handover.put(CHUNK):
            put.release()

    thread = threading.Thread(target=fill)
    thread.start()
    for _ in range(3):
        assert await asyncio.to_thread(put.acquire, timeout=10)
    assert not put.acquire(timeout=0.05)  # the fourth waits for room
    assert await handover.get() == CHUNK
    assert await asyncio.to_thread(put.acquire, timeout=10)
    handover.close()
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()


async def test_the_end_comes_after_what_was_handed_over() -> None:
    handover = Handover(3)
    assert handover.put(CHUNK)
    handover.end()
    assert [await handover.get(), await handover.get()] == [CHUNK, None]


async def test_an_error_at_the_end_reaches_the_listener() -> None:
    handover = Handover(3)
    handover.end(EngineFault("broken"))
    with pytest.raises(EngineFault, match="broken"):
        await handover.get()


async def test_closing_with_an_error_wakes_who_listens() -> None:
    handover = Handover(3)
    listening = asyncio.ensure_future(handover.get())
    await asyncio.sleep(0)
    handover.close(Unavailable("closed"))
    with pytest.raises(Unavailable):
        await listening
    assert not handover.put(CHUNK)


def test_a_loop_that_is_gone_does_not_hold_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.espeak.handover._LOOK_UP_S", 0.001)

    async def make() -> Handover:
        return Handover(0)

    assert asyncio.run(make()).put(CHUNK) is False
