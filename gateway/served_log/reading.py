"""Reads a log back, compressed or cut by a crash. What cannot be read is counted, never fatal."""

from __future__ import annotations

import gzip
import io
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self, cast

import msgspec

from gateway.served_log.line import VERSION, Line

STDIN = Path("-")
_GZIP = b"\x1f\x8b"
#: bytes; no line is longer, and a file that is no log has no lines at all
LONGEST_LINE_BYTES = 16_000_000


class LogReader:
    """One log, which can be read again and again. `unreadable`: lines that the latest reading could not read."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path, self.unreadable = path, 0
        self._file: BinaryIO = _spooled() if path == STDIN else path.open("rb")
        self._compressed = self._file.read(2) == _GZIP
        self.size_bytes = self._file.seek(0, io.SEEK_END)

    @property
    def read_bytes(self) -> int:
        """How far the latest reading is, of `size_bytes`."""
        return self._file.tell()

    def lines(self) -> Iterator[Line]:
        self.unreadable = 0
        decode = msgspec.json.Decoder(Line).decode
        for raw in self._raw_lines():
            try:
                line = decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.unreadable += not raw.isspace()
                continue
            if line.v == VERSION and line.received.tzinfo is not None and line.ask.languages:
                yield line
            else:
                self.unreadable += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _raw_lines(self) -> Iterator[bytes]:
        self._file.seek(0)
        file = cast(BinaryIO, gzip.GzipFile(fileobj=self._file)) if self._compressed else self._file
        try:
            while raw := file.readline(LONGEST_LINE_BYTES):
                yield raw
        except (EOFError, zlib.error, gzip.BadGzipFile):  # cut, or damaged: no more can be had of it
            self.unreadable += 1


def _spooled() -> BinaryIO:
    """All of stdin, in a file without a name. Raises OSError."""
    if sys.stdin is None:
        raise OSError(0, "stdin is closed: there is nothing to read", "-")
    file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 (closed with the reader)
    shutil.copyfileobj(sys.stdin.buffer, file)
    file.seek(0)
    return file
