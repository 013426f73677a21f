"""The installation's secret beside its log: made once, and the same for all its processes. Knows nothing of its use."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

from gateway.served_log.seal import SECRET_BYTES


def read_secret(path: Path) -> bytes:
    """Raises FileNotFoundError where there is none, OSError with advice when it cannot be used."""
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise OSError(errno.EINVAL, "is no secret of the gateway's: delete it, and another will be made", str(path))
    return secret


def make_secret(path: Path) -> bytes:
    """The one that is there, else a new one, for its owner alone. Two processes that come at once make one."""
    with suppress(FileNotFoundError):
        return read_secret(path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
        with suppress(FileExistsError):
            path.hardlink_to(new)
    finally:
        new.unlink(missing_ok=True)
    return read_secret(path)
