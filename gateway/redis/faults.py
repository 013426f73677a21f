"""What an error of Redis means: that it is gone, that it takes no writes, or that this one command went wrong.

The reasons are for people, and are shown to clients of `/readyz`: they say what to do, and hold no address, user or
password, which messages of the library and of the server may.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from redis import exceptions

#: `gone`: nothing works; `refused`: it is read, but not written; `once`: another command may go well
Extent = Literal["gone", "refused", "once"]


@dataclass(frozen=True, slots=True)
class Fault:
    """How far an error reaches, and why."""

    extent: Extent
    reason: str


_FULL = Fault("refused", "full: raise its maxmemory, or set its maxmemory-policy to volatile-lru")
_REPLICA = Fault("refused", "read-only: it is a replica; name the primary in redis.url")
_FORBIDDEN = Fault("refused", "not permitted: let its user run every command on keys that begin with redis.prefix")
_UNKNOWN = Fault(
    "gone", "it wants a password, or refuses this one: check redis.url and the variable that redis.password_env names"
)
_CLUSTER = Fault("gone", "it is a cluster: name a single Redis in redis.url")
NONSENSE = Fault("gone", "what answers is no Redis")
#: of a greeting that went wrong in another way
UNGREETED = "it refuses the greeting: is it older than 6.2, or without the database that redis.url names?"

#: by the class that redis-py gives an error; the first that fits
_BY_CLASS: tuple[tuple[type[Exception], Fault], ...] = (
    (exceptions.OutOfMemoryError, _FULL),
    (exceptions.ReadOnlyError, _REPLICA),
    (exceptions.NoPermissionError, _FORBIDDEN),
    (exceptions.BusyLoadingError, Fault("gone", "it is loading its data")),
    (exceptions.MasterDownError, Fault("gone", "it is a replica that has lost its primary")),
    (exceptions.ClusterDownError, _CLUSTER),
    (exceptions.AskError, _CLUSTER),
    (exceptions.InvalidResponse, NONSENSE),
)
#: by the first word of an error for which redis-py has no class
_BY_CODE = {
    "MISCONF": Fault("refused", "read-only: it cannot write its data to disk; make room there"),
    "NOREPLICAS": Fault("refused", "read-only: too few of its replicas are connected"),
    "OOM": _FULL,
    "READONLY": _REPLICA,
    "NOPERM": _FORBIDDEN,
    "BUSY": Fault("gone", "it is busy with a script"),
}


def judge(error: BaseException) -> Fault:
    """What `error` means, whichever layer raised it."""
    # on a Unix socket, redis-py hides in one of these what the server said to the greeting
    if type(error) is exceptions.ConnectionError and isinstance(error.__cause__, exceptions.RedisError):
        return judge(error.__cause__)
    for kind, fault in _BY_CLASS:
        if isinstance(error, kind):
            return fault
    if isinstance(error, exceptions.AuthenticationError):
        return _UNKNOWN
    if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError | OSError | EOFError):
        return Fault("gone", _why_not_reached(error))
    if isinstance(error, exceptions.ResponseError):
        return _BY_CODE.get(code := str(error).partition(" ")[0], Fault("once", f"it refused a command: {code}"))
    return Fault("once", f"an answer makes no sense: {type(error).__name__}")


def _why_not_reached(error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its certificate is not trusted: set redis.ca_file, and name the host as the certificate does"
        if isinstance(cause, ssl.SSLError):
            return "no TLS with it: is redis.url to begin with redis:// instead of rediss://?"
        if isinstance(cause, exceptions.TimeoutError | TimeoutError):
            return "it does not answer in time"
        if isinstance(cause, OSError) and cause.errno:
            return f"it cannot be reached: {os.strerror(cause.errno)}" if cause.errno > 0 else "its host is not known"
        if type(cause) is OSError:  # asyncio's, for a host with several addresses
            return "it cannot be reached"
    return "it closed the connection"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
