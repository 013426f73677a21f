"""`x-ratelimit-*`: what is left of a key's limits, in the form that OpenAI gives it. Knows nothing about a request."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.limits.gcra import Bucket, Level

Headers = list[tuple[bytes, bytes]]

#: of the limits that are told
TOLD = ("requests", "characters")


def limit_headers(levels: Iterable[tuple[Bucket, Level]]) -> Headers:
    """Three headers for each bucket that is told: its limit, what remains, and when all of it will be back."""
    headers = []
    for bucket, level in levels:
        if bucket.name in TOLD:
            name = bucket.name.encode("ascii")
            headers += [
                (b"x-ratelimit-limit-" + name, b"%d" % bucket.limit),
                (b"x-ratelimit-remaining-" + name, b"%d" % level.remaining),
                (b"x-ratelimit-reset-" + name, duration(level.reset_us).encode("ascii")),
            ]
    return headers


def duration(us: int) -> str:
    """A duration as OpenAI and Go write it, `20ms`, `1.5s`, `6m0s`; rounded up to a millisecond."""
    ms = -(-us // 1000)
    if 0 < ms < 1000:
        return f"{ms}ms"
    minutes, ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, fraction = divmod(ms, 1000)
    seconds = f"{whole}.{fraction:03}".rstrip("0") if fraction else str(whole)
    return f"{hours}h{minutes}m{seconds}s" if hours else f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
