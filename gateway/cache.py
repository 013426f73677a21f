"""Finished clips by key: a small Protocol, the LRU in memory, and files on disk behind it.

A clip is one whole encoded file. Only complete clips of one engine are ever put. Knows nothing about engines or
policies; what is spoken is hashed by `gateway/prepared.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import struct
import tempfile
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Protocol

logger = logging.getLogger("voxgate.cache")


@dataclass(frozen=True, slots=True)
class Clip:
    """A whole encoded file and what its response must say about it. `audio_s` in seconds."""

    data: bytes
    engine: str
    voice: str
    audio_s: float

    def pack(self, key: str) -> bytes:
        """As bytes for a store outside this process: lengths, the clip's key, names, seconds, then the file."""
        names = key.encode(), self.engine.encode(), self.voice.encode()
        head = HEADER.pack(*map(len, names), self.audio_s, len(self.data))
        return b"".join((MAGIC, head, *names, self.data))

    @classmethod
    def unpack(cls, packed: bytes, key: str) -> Clip:
        """The inverse. Raises ValueError when the bytes are not a whole clip, or are that of another key."""
        try:
            if packed[: len(MAGIC)] != MAGIC:
                raise ValueError("not a clip")
            *lengths, audio_s, length = HEADER.unpack_from(packed, len(MAGIC))
            ends = list(accumulate(lengths, initial=len(MAGIC) + HEADER.size))
            bound, engine, voice = (packed[start:end].decode() for start, end in pairwise(ends))
            data = packed[ends[-1] :]
            if bound != key or len(data) != length:
                raise ValueError("cut short, or another clip")
            return cls(data, engine, voice, audio_s)
        except struct.error as error:
            raise ValueError("the clip is cut short") from error


MAGIC = b"VXC2"
HEADER = struct.Struct("<HHHdQ")

#: bytes of clips that may wait for a slow store, and seconds that it is given at the end
WAITING_BYTES, LAST_WRITES_S = 64_000_000, 5.0

#: of a folder of clips: the file that says how many bytes it holds and when they were last counted (seconds since 1970)
LEDGER, ENTRY = ".held", struct.Struct("<Qd")
#: seconds after which they are counted anew: files may be removed by other hands
RECOUNT_S = 600


class Cache(Protocol):
    """Finished clips, by key."""

    async def first(self, keys: Sequence[str]) -> tuple[int, Clip] | None:
        """The first of `keys`, in their order, that is there, as (index, clip)."""

    async def put(self, key: str, clip: Clip) -> None:
        """Keep a complete clip. Never raises for a store that is full or broken: speech goes on without it."""

    async def aclose(self) -> None: ...


def clip_key(spoken: bytes, engine: str) -> str:
    """The key of a clip: a digest of what is spoken and how, and whatever tells one engine's sound from another's."""
    return hashlib.blake2b(engine.encode("utf-8", "surrogatepass"), key=spoken, digest_size=20).hexdigest()


class MemoryCache:
    """Least recently used out first, by bytes. In front of `behind`, when there is one.

    What is put goes on to `behind` by the side: the end of a reply does not wait for a slow store. While more than
    `WAITING_BYTES` wait for it, further clips are kept in memory only.
    """

    def __init__(self, limit_bytes: int, behind: Cache | None = None) -> None:
        self.limit_bytes, self._behind = limit_bytes, behind
        self._clips: OrderedDict[str, Clip] = OrderedDict()
        self._writing: dict[asyncio.Task[None], int] = {}  # and the bytes of each
        self.held_bytes = 0

    async def first(self, keys: Sequence[str]) -> tuple[int, Clip] | None:
        found: tuple[int, Clip] | None = None
        for index, key in enumerate(keys):
            clip = self._clips.get(key)
            if clip is not None:
                self._clips.move_to_end(key)
                found = index, clip
                break
        preferred = keys if found is None else keys[: found[0]]
        if self._behind is not None and preferred:
            deeper = await self._behind.first(preferred)
            if deeper is not None:
                self._keep(preferred[deeper[0]], deeper[1])
                return deeper
        return found

    def holds(self, keys: Sequence[str]) -> bool:
        """Is one of them in memory."""
        return any(key in self._clips for key in keys)

    async def put(self, key: str, clip: Clip) -> None:
        self._keep(key, clip)
        if self._behind is not None and sum(self._writing.values()) <= WAITING_BYTES:
            task = asyncio.create_task(self._behind.put(key, clip))
            self._writing[task] = len(clip.data)
            task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        del self._writing[task]
        if not task.cancelled() and (error := task.exception()):
            logger.error("keeping a clip failed", exc_info=error)

    def _keep(self, key: str, clip: Clip) -> None:
        if len(clip.data) > self.limit_bytes:
            return
        old = self._clips.pop(key, None)
        self.held_bytes += len(clip.data) - (len(old.data) if old else 0)
        self._clips[key] = clip
        while self.held_bytes > self.limit_bytes:
            _, out = self._clips.popitem(last=False)
            self.held_bytes -= len(out.data)

    async def aclose(self) -> None:
        if self._behind is not None:
            if self._writing:
                await asyncio.wait(self._writing, timeout=LAST_WRITES_S)
            late = list(self._writing)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            await self._behind.aclose()


class DiskCache:
    """One file per clip under `folder`, the longest unused removed beyond `limit_bytes`.

    Several processes may share a folder: files appear whole, by rename, one that has vanished is a miss, and how much
    all hold together stands in a file of its own. A disk that is full or read-only costs a warning, not a reply.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder, self._limit_bytes = folder, limit_bytes
        self._putting = asyncio.Lock()
        self._failing = False

    async def first(self, keys: Sequence[str]) -> tuple[int, Clip] | None:
        return await asyncio.to_thread(self._read, keys)

    async def put(self, key: str, clip: Clip) -> None:
        async with self._putting:
            try:
                await asyncio.to_thread(self._write, key, clip.pack(key))
            except OSError as error:
                if not self._failing:  # told once: a full disk is where the log may be, too
                    logger.warning("cannot keep a clip under %s: %s; speaking goes on without", self._folder, error)
                self._failing = True
            else:
                if self._failing:
                    logger.warning("clips are kept under %s again", self._folder)
                self._failing = False

    async def aclose(self) -> None:
        pass

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def _read(self, keys: Sequence[str]) -> tuple[int, Clip] | None:
        for index, key in enumerate(keys):
            path = self._path(key)
            try:
                clip = Clip.unpack(path.read_bytes(), key)
            except FileNotFoundError:
                continue
            except ValueError:
                with contextlib.suppress(OSError):  # a folder that may only be read
                    path.unlink()
                continue
            except OSError as error:
                logger.warning("cannot read %s: %s", path, error)
                continue
            with contextlib.suppress(OSError):
                os.utime(path)
            return index, clip
        return None

    def _write(self, key: str, packed: bytes) -> None:
        if len(packed) > self._limit_bytes:
            return
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(packed)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._account(len(packed))

    def _account(self, added: int) -> None:
        """Add to what all processes hold together; trim when that is too much, by one of them at a time."""
        with os.fdopen(os.open(self._folder / LEDGER, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
            entry = file.read(ENTRY.size)
            held, counted_s = ENTRY.unpack(entry) if len(entry) == ENTRY.size else (0, 0.0)
            held, now_s = held + added, time.time()
            if held > self._limit_bytes or not 0 <= now_s - counted_s < RECOUNT_S:
                held, counted_s = self._trim(), now_s
            file.seek(0)
            file.write(ENTRY.pack(held, counted_s))

    def _files(self) -> list[tuple[float, int, Path]]:
        """Last use, size and path of every clip; a file that vanishes meanwhile is left out."""
        found = []
        for path in self._folder.glob("??/*"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            found.append((status.st_mtime, status.st_size, path))
        return found

    def _trim(self) -> int:
        """Count, and remove the longest unused down to nine tenths of the limit, so that not every put has to look."""
        files = sorted(self._files())
        held = sum(size for _, size, _ in files)
        if held <= self._limit_bytes:
            return held
        for _, size, path in files:
            if held <= self._limit_bytes * 0.9:
                break
            path.unlink(missing_ok=True)
            held -= size
        return held
