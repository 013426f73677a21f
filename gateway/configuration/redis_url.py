"""The url of a Redis, read into its parts. Connects nowhere, and knows no library of Redis."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

_FORMS = "redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH?db=DB"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is, and as whom to speak to it. Of `host` and `path` one is empty."""

    host: str = ""
    port: int = 6379
    path: str = ""  # of a unix socket
    db: int = 0
    tls: bool = False
    username: str = ""
    password: str = ""


def read_redis_url(url: str) -> RedisAddress:
    """The parts of `url`. Raises ValueError with advice that repeats nothing of the url, which may hold a password."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port or 6379
    except ValueError:
        raise ValueError(f"is no url of a Redis: write {_FORMS}") from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must begin with redis://, rediss:// or unix://, or be empty")
    local = parts.scheme == "unix"
    if local and not parts.path.strip("/"):
        raise ValueError("names no socket: write unix:///PATH, with three slashes before a path from the root")
    if not local and not host:
        raise ValueError(f"names no host: write {_FORMS}")
    fields = parse_qs(parts.query, keep_blank_values=True)
    db = fields.pop("db", [""])[-1] if local else parts.path.strip("/")
    if fields or parts.fragment:
        raise ValueError(
            f"may end with a database and nothing else: write {_FORMS}; a password belongs into the environment "
            "variable that redis.password_env names"
        )
    if db and not (db.isascii() and db.isdigit()):
        raise ValueError(f"must end with the number of a database: write {_FORMS}")
    return RedisAddress(
        host="" if local else unquote(host),
        port=port,
        path=unquote(parts.path) if local else "",
        db=int(db or 0),
        tls=parts.scheme == "rediss",
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
