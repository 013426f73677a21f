"""A file of lines that several processes append to: whole lines only, and a new file when one has become too large.

    served.jsonl      written now
    served.jsonl.1    the one before, … served.jsonl.KEEP the oldest

Every append holds a lock on the very file that it writes, so that no process writes into one that another has just
renamed, and what a full disk took only in part can be taken back. Where something else renames the file or cuts it, as
logrotate does, the next append finds that out. Knows nothing about what the lines say.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

#: the owner alone may read it
MODE = 0o600


class LogFile:
    """One such file. Blocks: for a thread of its own."""

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self.path, self._max_bytes, self._keep = path, max_bytes, keep
        self._descriptor: int | None = None

    def append(self, lines: bytes) -> None:
        """Write whole lines, all or none. Raises OSError."""
        try:
            self._lock()
            while self._size and self._size + len(lines) > self._max_bytes:
                self._rotate()
                self._lock()
            self._write(lines)
        finally:
            self._unlock()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    # --- the file that is there now, held alone ---

    def _lock(self) -> None:
        """Lock the file that has the name now; opened again when that is another one than before."""
        while True:
            if self._descriptor is None:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._descriptor), os.stat(self.path)):
                    return
            self.close()

    def _unlock(self) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    @property
    def _size(self) -> int:
        assert self._descriptor is not None
        return os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        """Rename the locked file and its elders, the oldest out of existence."""
        if not self._keep:
            self.path.unlink()
        for number in range(self._keep, 0, -1):
            younger = self._aged(number - 1) if number > 1 else self.path
            with suppress(FileNotFoundError):
                younger.rename(self._aged(number))

    def _aged(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _write(self, lines: bytes) -> None:
        assert self._descriptor is not None
        before = self._size
        if before and os.pread(self._descriptor, 1, before - 1) != b"\n":
            lines = b"\n" + lines  # a process was killed amid its line: that one is lost, and ours are not
        written = os.write(self._descriptor, lines)
        if written < len(lines):
            os.ftruncate(self._descriptor, before)
            raise OSError(errno.ENOSPC, "no room for all of it", str(self.path))
