"""The cache: by bytes, least recently used out first, whole clips only, and a broken store costs no speech."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache import ENTRY, LEDGER, Clip, DiskCache, MemoryCache, clip_key


def clip(size: int = 100, fill: bytes = b"x") -> Clip:
    return Clip(fill * size, "espeak", "cmn-latn-pinyin+f3", 1.5)


async def test_the_first_key_in_order_wins() -> None:
    cache = MemoryCache(1000)
    await cache.put("b", clip(fill=b"b"))
    await cache.put("c", clip(fill=b"c"))
    assert await cache.first(["a", "c", "b"]) == (1, clip(fill=b"c"))
    assert await cache.first(["a"]) is None
    assert await cache.first([]) is None


async def test_the_longest_unused_goes_first_and_bytes_are_counted() -> None:
    cache = MemoryCache(300)
    for name in "abc":
        await cache.put(name, clip())
    await cache.first(["a"])
    await cache.put("d", clip())
    assert await cache.first(["b"]) is None
    assert await cache.first(["a"]) is not None
    await cache.put("a", clip(10))
    assert cache.held_bytes == 210


async def test_a_clip_larger_than_the_cache_is_not_kept_and_pushes_nothing_out() -> None:
    cache = MemoryCache(150)
    await cache.put("a", clip())
    await cache.put("b", clip(200))
    assert await cache.first(["a"]) is not None
    assert await cache.first(["b"]) is None


async def test_clips_outlive_the_process_on_disk(tmp_path: Path) -> None:
    first = MemoryCache(1000, DiskCache(tmp_path, 10_000))
    await first.put("abc", clip())
    await first.aclose()
    assert await MemoryCache(1000, DiskCache(tmp_path, 10_000)).first(["abc"]) == (0, clip())


async def test_a_slow_store_keeps_nobody_waiting_and_holds_a_bounded_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, stored = asyncio.Event(), []

    class Slow(MemoryCache):
        async def put(self, key: str, clip: Clip) -> None:
            await gate.wait()
            stored.append(key)

    monkeypatch.setattr("gateway.cache.WAITING_BYTES", 250)
    cache = MemoryCache(10_000, Slow(0))
    for name in "abcde":
        await cache.put(name, clip())
    assert [await cache.first([name]) is not None for name in "abcde"] == [True] * 5
    gate.set()
    await cache.aclose()
    assert stored == ["a", "b", "c"]


async def test_a_better_clip_on_disk_beats_a_later_one_in_memory(tmp_path: Path) -> None:
    await DiskCache(tmp_path, 10_000).put("preferred", clip(fill=b"p"))
    cache = MemoryCache(1000, DiskCache(tmp_path, 10_000))
    await cache.put("fallback", clip(fill=b"f"))
    assert await cache.first(["preferred", "fallback"]) == (0, clip(fill=b"p"))


async def test_the_disk_is_trimmed_to_its_limit_oldest_first(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1000)
    for n in range(8):
        await cache.put(f"{n:04}", clip())
        os.utime(tmp_path / "00" / f"{n:04}", (n, n))
    held = sum(path.stat().st_size for path in tmp_path.glob("??/*"))
    assert held <= 1000
    assert await cache.first(["0007"]) is not None
    assert await cache.first(["0000"]) is None


async def test_processes_that_share_a_folder_keep_to_its_limit_together(tmp_path: Path) -> None:
    caches = [DiskCache(tmp_path, 2000) for _ in range(5)]
    for n in range(60):
        await caches[n % 5].put(f"{n:04}", clip())
        assert sum(path.stat().st_size for path in tmp_path.glob("??/*")) <= 2000


async def test_files_that_other_hands_removed_are_not_counted_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DiskCache(tmp_path, 1500)
    for n in range(9):
        await cache.put(f"{n:04}", clip())
    for path in tmp_path.glob("??/*"):
        path.unlink()
    monkeypatch.setattr("gateway.cache.RECOUNT_S", 0)
    await cache.put("last", clip())
    assert ENTRY.unpack((tmp_path / LEDGER).read_bytes())[0] == len(clip().pack("last"))


@pytest.mark.parametrize(
    "damage", [b"", b"nonsense", clip().pack("abc")[:-1], clip().pack("abc") + b"x", clip().pack("ab"), b"VXC2"]
)
async def test_a_damaged_file_is_a_miss_and_is_removed(tmp_path: Path, damage: bytes) -> None:
    cache = DiskCache(tmp_path, 10_000)
    await cache.put("abc", clip())
    (tmp_path / "ab" / "abc").write_bytes(damage)
    assert await cache.first(["abc"]) is None
    assert not (tmp_path / "ab" / "abc").exists()


async def test_a_disk_that_can_only_be_read_gives_its_clips_and_costs_no_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DiskCache(tmp_path, 10_000)
    await cache.put("good", clip())
    await cache.put("bad", clip())
    (tmp_path / "ba" / "bad").write_bytes(b"nonsense")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    assert await cache.first(["bad", "good"]) == (1, clip())


async def test_a_disk_that_cannot_be_written_costs_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = DiskCache(tmp_path / "file" / "below", 10_000)
    for _ in range(3):
        await cache.put("abc", clip())
    assert caplog.text.count("speaking goes on without") == 1
    assert await cache.first(["abc"]) is None
    (tmp_path / "file").unlink()
    await cache.put("abc", clip())
    assert caplog.text.count("are kept under") == 1
    assert await cache.first(["abc"]) is not None


@given(data=st.binary(max_size=50), engine=st.text(max_size=9), voice=st.text(max_size=9), audio_s=st.floats(0, 1e6))
def test_a_clip_survives_packing(data: bytes, engine: str, voice: str, audio_s: float) -> None:
    engine, voice = (name.encode("utf-8", "ignore").decode() for name in (engine, voice))
    one = Clip(data, engine, voice, audio_s)
    assert Clip.unpack(one.pack("key"), "key") == one


@given(st.binary(max_size=60))
def test_nonsense_never_unpacks_to_a_clip_silently(nonsense: bytes) -> None:
    try:
        one = Clip.unpack(nonsense, "")
    except ValueError:
        return
    assert one.pack("") == nonsense


def test_keys_differ_by_engine_and_by_what_is_spoken() -> None:
    assert len({clip_key(spoken, engine) for spoken in (b"one", b"two") for engine in ("a", "b")}) == 4
    assert clip_key(b"one", "a") == clip_key(b"one", "a")
