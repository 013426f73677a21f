"""What can go wrong while an engine speaks: a closed set.

    SpeechError
    ├── InvalidRequest      400  the request is wrong for every engine
    ├── Unsupported         400  this engine lacks the voice, language or length
    ├── Busy                503  slots and queue of this engine are full
    ├── Throttled           503  a cloud's quota; the engine cools down
    ├── Unavailable         503  the engine cannot be reached or has not started
    ├── DeadlineExceeded    504  no audio within the time allowed
    ├── EngineFault         502  anything else an engine raised, wrapped
    ├── Refused             400  content inspection said no
    └── Interrupted         502  failed after the first audio was heard

Failover, breaker and HTTP mapping read the class attributes below; none of them holds a ladder of
`isinstance`, and no error is ever classified by its text. This module knows nothing about HTTP beyond
the number of a status.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

Health = Literal["unhurt", "cools", "hurt"]


class SpeechError(Exception):
    """Base of every error that an engine raises on purpose.

    `message` is shown to clients: it says what is wrong and what to do, and never holds a key, an
    internal URL or a stack trace. `retry_after_s` (seconds), where known, says when another try makes sense. With an
    error that hurts, such as Unavailable for a wrong key, an engine says that it will not be back earlier: it is not
    tried once more, and one such error opens its breaker for that long, ten minutes at most.
    """

    # Facts of the class. Those that a client is told may be an instance's own, where it passes on what others raised.
    code: str
    status: int
    #: may the next engine of the plan try the same text
    try_next: ClassVar[bool] = False
    #: may the same engine try once more, before any audio was heard
    retry_same: ClassVar[bool] = False
    #: what the error does to the engine's health: nothing, a cool-down, or a count towards opening the breaker
    health: ClassVar[Health] = "unhurt"
    #: is it worth a client's while to send the same request again soon
    client_may_retry: bool = False

    def __init__(self, message: str, *, retry_after_s: float | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.param = param


class InvalidRequest(SpeechError):
    """The request itself is wrong: no engine could do better."""

    code = "invalid_request"
    status = 400


class Unsupported(SpeechError):
    """This engine lacks the voice, the language, or takes no text this long; another may do it."""

    code = "unsupported"
    status = 400
    try_next = True


class Busy(SpeechError):
    """Slots and queue are full."""

    code = "busy"
    status = 503
    try_next = True
    client_may_retry = True


class Throttled(SpeechError):
    """A cloud's quota or rate: the engine is well, but must be left alone for `retry_after_s`."""

    code = "throttled"
    status = 503
    try_next = True
    health = "cools"
    client_may_retry = True


class Unavailable(SpeechError):
    """The engine is not there: not started, connection refused, its process gone."""

    code = "unavailable"
    status = 503
    try_next = True
    retry_same = True
    health = "hurt"


class DeadlineExceeded(SpeechError):
    """No audio within the time that the rule or the client allows."""

    code = "deadline_exceeded"
    status = 504
    try_next: ClassVar[bool] = True
    health: ClassVar[Health] = "hurt"


class EngineFault(SpeechError):
    """Any exception that is not a `SpeechError`, wrapped; and what an engine says when it breaks."""

    code = "engine_fault"
    status = 502
    try_next = True
    retry_same = True
    health = "hurt"


class Refused(SpeechError):
    """Content inspection refused the text. Whether another engine may try is a policy's choice."""

    code = "refused"
    status = 400


class Interrupted(SpeechError):
    """The speech stopped after its first audio. Another engine may go on at a clause border, by policy."""

    code = "interrupted"
    status = 502
    try_next = True
    health = "hurt"


#: every class by its code: how an error crosses a process border
BY_CODE: dict[str, type[SpeechError]] = {
    cls.code: cls
    for cls in (
        InvalidRequest,
        Unsupported,
        Busy,
        Throttled,
        Unavailable,
        DeadlineExceeded,
        EngineFault,
        Refused,
        Interrupted,
    )
}


#: of more names than this, only the neighbours of a wrong one are compared with it
COMPARED = 500


def near_names(name: str, known: Iterable[str], common: Sequence[str] = ()) -> str:
    """What ends a client's error about an unknown name: the names near it.

    Where none is near, that is said, with those of `common` for an example, else with the first five of all.
    """
    names = list(known)
    if near := alike(name, _neighbours(name, names), 0.5):
        return f"near names: {', '.join(near)}"
    some = list(common) or names[:5]
    more = ", …" if len(names) > len(some) else ""
    return f"no near names; known: {', '.join(some)}{more}" if some else "there is none"


def alike(name: str, names: Sequence[str], cutoff: float) -> list[str]:
    """Up to three of `names` that `name` is near to; else those of which a part is, in any case of its letters:
    `Zhiqi` is near to `sambert-zhiqi-v1`. What is a part of more than three names tells nothing.
    """
    if near := difflib.get_close_matches(name, names, n=3, cutoff=cutoff):
        return near
    by_part: dict[str, list[str]] = {}
    for one in names:
        for part in {one.lower(), *re.split(r"[-_.:]", one.lower())}:
            by_part.setdefault(part, []).append(one)
    parts = [part for part, holders in by_part.items() if len(part) > 2 and len(holders) <= 3]
    close = difflib.get_close_matches(name.lower(), parts, n=3, cutoff=max(cutoff, 0.6))
    return list(dict.fromkeys(one for part in close for one in by_part[part]))[:3]


def _neighbours(name: str, names: list[str]) -> list[str]:
    """Those to compare with: of very many only the ones that begin alike, as each comparison takes microseconds."""
    if len(names) <= COMPARED:
        return names
    ordered = sorted(names)
    place = bisect(ordered, name)
    return ordered[max(0, place - COMPARED // 2) : place + COMPARED // 2]


_ADDRESS = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")


def without_addresses(text: str) -> str:
    """`text` with every URL left out: what a library says of itself may name hosts, and keys behind a `?`.

    For the text of exceptions that nobody wrote for clients, where it becomes part of a message or a state.
    """
    return _ADDRESS.sub("(an address)", text)
