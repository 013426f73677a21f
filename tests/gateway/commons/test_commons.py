"""Objects of one process, called from others over a real socket."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from gateway.absent import Absent
from gateway.commons.host import Host
from gateway.commons.link import Link, remote


@dataclass(frozen=True, slots=True)
class Parcel:
    data: bytes
    weight: float


class Shelf(Protocol):
    async def put(self, name: str, parcel: Parcel) -> None: ...

    async def first(self, names: Sequence[str]) -> tuple[int, Parcel] | None: ...

    async def fail(self) -> int: ...


class MemoryShelf:
    def __init__(self) -> None:
        self._parcels: dict[str, Parcel] = {}

    async def put(self, name: str, parcel: Parcel) -> None:
        self._parcels[name] = parcel

    async def first(self, names: Sequence[str]) -> tuple[int, Parcel] | None:
        return next(((index, self._parcels[name]) for index, name in enumerate(names) if name in self._parcels), None)

    async def fail(self) -> int:
        raise ValueError("no such thing")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "commons"


async def test_what_one_link_puts_another_finds_with_its_type(path: Path) -> None:
    with Host(path, {"shelf": (MemoryShelf(), Shelf)}):
        links = [Link(path), Link(path)]
        one, other = (remote(link, "shelf", Shelf) for link in links)
        parcel = Parcel(os.urandom(3_000_000), 1.5)
        await one.put("b", parcel)
        assert await other.first(["a", "b"]) == (1, parcel)
        assert await other.first(["c"]) is None
        for link in links:
            await link.aclose()


async def test_many_calls_at_once_get_each_its_own_answer(path: Path) -> None:
    with Host(path, {"shelf": (MemoryShelf(), Shelf)}):
        link = Link(path)
        shelf = remote(link, "shelf", Shelf)
        parcels = {str(number): Parcel(str(number).encode() * 1000, number) for number in range(200)}
        await asyncio.gather(*(shelf.put(name, parcel) for name, parcel in parcels.items()))
        found = await asyncio.gather(*(shelf.first([name]) for name in parcels))
        assert [one and one[1] for one in found] == list(parcels.values())
        await link.aclose()


async def test_a_caller_who_leaves_does_not_disturb_the_next(path: Path) -> None:
    with Host(path, {"shelf": (MemoryShelf(), Shelf)}):
        link = Link(path)
        shelf = remote(link, "shelf", Shelf)
        await shelf.put("a", Parcel(b"a" * 1_000_000, 1))
        for _ in range(20):
            leaving = asyncio.create_task(shelf.first(["a"]))
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            assert await shelf.first(["b"]) is None
        assert link._conversation is not None
        assert link._conversation._waiting == {}
        await link.aclose()


async def test_who_waits_when_the_host_goes_is_told_at_once(path: Path) -> None:
    async def go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    link = Link(path)
    async with await asyncio.start_unix_server(go, path):
        with pytest.raises(Absent, match="the host is gone"):
            await link.call("shelf", "first", (["a"],), within_s=20)
    await link.aclose()


async def test_a_failure_of_the_object_is_an_absence_and_the_link_lives_on(path: Path) -> None:
    with Host(path, {"shelf": (MemoryShelf(), Shelf)}):
        link = Link(path)
        shelf = remote(link, "shelf", Shelf)
        with pytest.raises(Absent, match="ValueError"):
            await shelf.fail()
        assert await shelf.first(["a"]) is None
        await link.aclose()


async def test_a_host_that_is_gone_is_an_absence_and_one_that_is_back_is_taken_up(path: Path) -> None:
    link = Link(path)
    shelf = remote(link, "shelf", Shelf)
    with pytest.raises(Absent):
        await shelf.first(["a"])
    for _ in range(2):
        with Host(path, {"shelf": (MemoryShelf(), Shelf)}):
            assert await shelf.first(["a"]) is None
        with pytest.raises(Absent):
            await shelf.first(["a"])
    await link.aclose()


async def test_a_host_that_does_not_answer_is_left_alone_for_a_while(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came, gone = asyncio.Event(), asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        await reader.read()
        writer.close()
        gone.set()

    link = Link(path)
    async with await asyncio.start_unix_server(say_nothing, path):
        with pytest.raises(Absent, match="no answer in time"):
            await link.call("shelf", "first", (["a"],), within_s=0.05)
        async with asyncio.timeout(10):
            await came.wait()
            await gone.wait()  # the connection, and with it what waited to be sent
        came.clear()
        with pytest.raises(Absent, match="a moment ago"):
            await link.call("shelf", "first", (["a"],))
        assert not came.is_set()
    await link.aclose()
    monkeypatch.setattr("gateway.commons.link.SILENT_S", 0.0)
    link = Link(path)
    with Host(path, {"shelf": (MemoryShelf(), Shelf)}):
        with pytest.raises(Absent, match="no answer in time"):
            await link.call("shelf", "first", (["a"],), within_s=0.0)
        assert await remote(link, "shelf", Shelf).first(["a"]) is None
        await link.aclose()


async def test_bytes_that_are_no_frame_end_only_their_own_connection(path: Path) -> None:
    with Host(path, {"shelf": (MemoryShelf(), Shelf)}):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"\xff" * 64)
        assert await reader.read() == b""
        writer.close()
        link = Link(path)
        assert await remote(link, "shelf", Shelf).first(["a"]) is None
        await link.aclose()


def test_only_the_own_user_may_call(path: Path) -> None:
    with Host(path, {}):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_another_process_calls_too(path: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from gateway.commons.link import Link, remote\n"
        "async def main():\n"
        "    link = Link(Path(sys.argv[1]))\n"
        "    print(await link.call('shelf', 'first', (['a'],)))\n"
        "    await link.aclose()\n"
        "asyncio.run(main())\n"
    )
    with Host(path, {"shelf": (MemoryShelf(), Shelf)}):
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, timeout=30, check=True)
    assert done.stdout.strip() == rb"b'\xc0'"
