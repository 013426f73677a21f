"""Brings one file here, whole or not at all: goes on where it was cut, also after this process was killed.

Beside the file that is being made, `NAME.part`, stands `NAME.part.json`, which says what the part belongs to: a part of
anything else is started over. Knows nothing about which files are wanted, nor why.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from models.hub import Connection, HubError, RemoteFile, Unreachable

PART, RECORD = ".part", ".part.json"
#: failures are counted anew once this much more has come: a poor connection brings a large file all the same
HEADWAY_BYTES = 1 << 20
PIECE_BYTES = 1 << 20

#: hears how many bytes of a file are here; fewer than before when it was started over
Heard = Callable[[int], None]


def download(connection: Connection, repository: str, url: str, remote: RemoteFile, target: Path, heard: Heard) -> None:
    """Fetch a file, or the rest of it, to `target`, whose folder is made. Raises HubError and OSError.

    What ends it early leaves a part that the next call goes on from. Wrong bytes are deleted and fetched once more.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    problem = ""
    for _ in range(2):
        with Part.open(target, remote, url, connection.hub.name) as part:
            try:
                _fill(part, connection, repository, url, heard)
            except Unreachable as error:
                kept = f"{part.length} of its {remote.size_bytes} bytes are kept"
                raise Unreachable(f"{remote.path}: {error}; {kept}") from error
            problem = part.problem()
        if not problem:
            part.finish()
            return
        part.discard()
    raise HubError(
        f"{remote.path} of {repository} came twice with wrong bytes ({problem}), which were deleted: "
        f"{connection.hub.title} or what stands between is at fault; try later, or {connection.detour()}"
    )


def is_whole(file: Path, remote: RemoteFile) -> bool:
    """Is that file here, by its size and the digest that the hub tells; a file without a digest is never trusted."""
    if not file.is_file() or file.stat().st_size != remote.size_bytes or not (remote.sha256 or remote.git_sha1):
        return False
    digest = _digest(remote)
    with file.open("rb") as content:
        for piece in iter(lambda: content.read(PIECE_BYTES), b""):
            digest.update(piece)
    return digest.hexdigest() == (remote.sha256 or remote.git_sha1)


def here_bytes(target: Path, remote: RemoteFile) -> int:
    """How much of the file is here as a part, as far as its size tells."""
    part = Path(f"{target}{PART}")
    return min(part.stat().st_size, remote.size_bytes) if part.is_file() else 0


class Part:
    """What has come of a file so far, its digest, and the record of what it belongs to."""

    def __init__(self, target: Path, remote: RemoteFile, record: dict[str, Any]) -> None:
        self.path, self._record_path = Path(f"{target}{PART}"), Path(f"{target}{RECORD}")
        self._target, self._remote, self._record = target, remote, record
        self.size_bytes = remote.size_bytes  # when it is whole
        self._digest = _digest(remote)
        self._file = self.path.open("ab+", buffering=0)  # what was counted is what a killed process leaves
        self.length = 0

    @classmethod
    @contextmanager
    def open(cls, target: Path, remote: RemoteFile, url: str, hub: str) -> Iterator[Part]:
        """The part of this file that is there, read for its digest; else an empty one, on record before it grows."""
        # a digest says which file it is, from whichever hub; without one, only the same address and its ETag do
        what = remote.sha256 or remote.git_sha1 or f"{hub} {url}"
        part = cls(target, remote, {"of": what, "size_bytes": remote.size_bytes, "etag": ""})
        with part._file:
            part._resume()
            yield part

    def _resume(self) -> None:
        try:
            there = json.loads(self._record_path.read_text(encoding="utf-8"))
            fits = {**there, "etag": ""} == self._record and (self._proven or there["etag"])
        except (OSError, ValueError, TypeError, KeyError):
            fits = False
        if not fits or self._file.seek(0, os.SEEK_END) > self._remote.size_bytes:
            self.restart()
            return
        self._record |= there
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            self._count(piece)

    @property
    def _proven(self) -> bool:
        """Will a digest say in the end whether the bytes are right."""
        return bool(self._remote.sha256 or self._remote.git_sha1)

    def restart(self) -> None:
        """Forget what has come."""
        self._file.truncate(0)
        self._file.seek(0)
        self.length, self._digest = 0, _digest(self._remote)
        self._write_record("")

    def take(self, response: httpx.Response) -> None:
        """Make ready for the body of this answer, which is the rest of the file or the whole. Raises Unreachable."""
        etag = response.headers.get("etag", "")
        if response.status_code == 200:
            if self.length:  # the hub does not know ranges
                self.restart()
            self._write_record(etag)
            return
        begins = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
        same = self._proven or etag == self._record["etag"] != ""
        if response.status_code != 206 or not begins or int(begins[1]) != self.length or not same:
            self.restart()
            raise Unreachable("the file has changed on the hub, or another part of it came than was asked for")

    def write(self, piece: bytes) -> None:
        """Raises OSError that names the file."""
        left = memoryview(piece)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}; what has come is kept", str(self.path)) from error
        self._count(piece)

    def _count(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.length += len(piece)

    def problem(self) -> str:
        """What is wrong with what has come; empty when it is the file."""
        wanted, found = self._remote.sha256 or self._remote.git_sha1, self._digest.hexdigest()
        if self.length != self._remote.size_bytes:
            return f"another size than the {self._remote.size_bytes} bytes that are listed"
        return f"digest {found} instead of {wanted}" if self._proven and found != wanted else ""

    def finish(self) -> None:
        """Give the closed, right file its name."""
        os.replace(self.path, self._target)
        self._record_path.unlink(missing_ok=True)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._record_path.unlink(missing_ok=True)

    def _write_record(self, etag: str) -> None:
        self._record["etag"] = etag
        self._record_path.write_text(json.dumps(self._record), encoding="utf-8")


def _fill(part: Part, connection: Connection, repository: str, url: str, heard: Heard) -> None:
    """Bring the part to the file's size, over cuts; ends sooner when another file comes. Raises HubError, OSError."""
    failures, mark = 0, part.length
    while part.length < part.size_bytes:
        heard(part.length)
        try:
            with connection.open(
                url, repository, {"Range": f"bytes={part.length}-"} if part.length else {}
            ) as response:
                if _whole_bytes(response) not in (None, part.size_bytes):
                    part.restart()
                    return
                part.take(response)
                for piece in response.iter_raw():
                    part.write(piece)
                    heard(part.length)
            if part.length < part.size_bytes:
                raise Unreachable("the connection ended early")
        except Unreachable as error:
            if part.length >= mark + HEADWAY_BYTES:
                failures, mark = 0, part.length
            failures += 1
            connection.patience.wait(failures, error)


def _whole_bytes(response: httpx.Response) -> int | None:
    """How large the file is that this answer is, or is a part of, as far as the answer tells."""
    told = response.headers.get("content-length", "") if response.status_code == 200 else ""
    if response.status_code in (206, 416):
        told = response.headers.get("content-range", "").rpartition("/")[2]
    return int(told) if told.isdecimal() else None


def _digest(remote: RemoteFile) -> hashlib._Hash:
    """Where the file's bytes go to be recognised."""
    if remote.sha256 or not remote.git_sha1:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % remote.size_bytes, usedforsecurity=False)
