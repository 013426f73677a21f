"""Where a worker is met: a private directory, a socket in it, and a lock that says who may start one.

Who holds the lock is the worker, or about to become it. The worker inherits the lock and keeps it while it serves,
so the kernel frees it whatever becomes of the process, and no supervisor is needed. Knows nothing about what goes over
the socket.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engines.errors import Unavailable
from engines.worker.spec import WorkerSpec

#: sockaddr_un.sun_path has 108 bytes on Linux, the last one is the end mark (unix(7))
MAX_PATH_BYTES = 107


#: in the lock file once the engine has started
STARTED = b"started"


@dataclass(frozen=True, slots=True)
class Place:
    """Paths of one worker, in one directory."""

    socket: Path
    lock: Path

    def has_started(self) -> bool:
        """Did the worker here say that its engine has started: then it answers, or it hangs."""
        try:
            return self.lock.read_bytes() == STARTED
        except OSError:
            return False


def prepare_place(spec: WorkerSpec) -> Place:
    """Paths for `spec`, in directories that exist and that only this user can enter. Raises `Unavailable`."""
    name = f"{re.sub(r'[^A-Za-z0-9._-]', '_', spec.instance)[:32]}-{spec.fingerprint[:8]}"
    run_dir = spec.run_dir.expanduser().absolute()
    try:
        if _fits(run_dir, name):
            run_dir.parent.mkdir(parents=True, exist_ok=True)
            return _place(_private(run_dir, follow=True), name)
        # too long for a socket's name: a short place of this user's, one folder for each run_dir
        for base in _short_bases():
            home = base / f"voxgate-{os.geteuid()}"
            folder = home / hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:8]
            if _fits(folder, name):
                _private(home)
                return _place(_private(folder), name)
    except OSError as error:
        raise Unavailable(
            f"no place for the socket of {spec.instance}: {error}: make {run_dir} writable or set another data_dir"
        ) from error
    raise Unavailable(f"no place for the socket of {spec.instance}: {run_dir} is too long: set a shorter data_dir")


class Lock:
    """An exclusive lock on a file, held as long as any process has a copy of `fd` open."""

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self._path = path
        self._open = True

    @classmethod
    def take(cls, path: Path) -> Lock | None:
        """Take the lock, or return None when somebody holds it. Raises OSError."""
        while True:
            lock = cls(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), path)
            try:
                fcntl.flock(lock.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return None
            if lock.is_current():
                return lock
            lock.close()  # its last holder removed the file between our open and our lock: try the new one

    def is_current(self) -> bool:
        """Is our file still the one that others find under its path."""
        try:
            return self._open and os.path.samestat(os.fstat(self.fd), os.stat(self._path))
        except FileNotFoundError:
            return False

    def mark(self, state: bytes) -> None:
        """Write what others may read in the file: a worker that hangs cannot tell them otherwise."""
        if self._open:
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, state, 0)

    def close(self) -> None:
        """Let go of this copy. Idempotent."""
        if self._open:
            self._open = False
            os.close(self.fd)


def _place(folder: Path, name: str) -> Place:
    return Place(folder / f"{name}.sock", folder / f"{name}.lock")


def _fits(folder: Path, name: str) -> bool:
    return len(os.fsencode(folder / f"{name}.sock")) <= MAX_PATH_BYTES


def _short_bases() -> Iterator[Path]:
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime)
    yield Path(tempfile.gettempdir())
    yield Path("/tmp")


def _private(folder: Path, *, follow: bool = False) -> Path:
    """Make `folder` with mode 0700, or see that it is ours and close it to others. Raises OSError.

    Whoever can write here could put a socket of his own in the worker's place. A link is followed only where the
    operator named the folder; elsewhere (a shared /tmp) it may be a trap.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = os.stat(folder, follow_symlinks=follow)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} is not a directory of user {os.geteuid()}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder
