"""A recording against what the protocol code knows: whatever a server did that nobody wrote down."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from engines.remote.exchange import Known
from gateway.recording.shape import Shape
from gateway.recording.tape import Case, Recording

#: of HTTP itself, its caches and proxies, browsers' safety, and WebSocket's handshake (RFC 9110, 9111, 6455, 8288)
_USUAL = re.compile(
    r"(accept|access-control|content|cross-origin|sec-websocket|x-accel)-.*|x-(content-type-options|frame-options|request-id)|"
    r"age|allow|alt-svc|cache-control|connection|date|etag|expires|keep-alive|last-modified|link|location|pragma|"
    r"referrer-policy|retry-after|server|server-timing|set-cookie|strict-transport-security|trailer|transfer-encoding|upgrade|vary|"
    r"via|www-authenticate"
)


def compare(recording: Recording, known: Known) -> list[str]:
    """Every difference once, with the exchanges that had it, in the order in which they came: a line for each."""
    shapes = {name: Shape(examples) for name, examples in known.messages.items()}
    found: dict[str, Counter[str]] = {}
    for case in recording.cases:
        for line in _of(case, known, shapes):
            found.setdefault(line, Counter())[case.name] += 1
    return [_line(line, cases) for line, cases in found.items()]


def _line(difference: str, cases: Counter[str]) -> str:
    times = f" ({cases.total()} times)" if cases.total() > len(cases) else ""
    return f"{', '.join(cases)}: {difference}{times}"


def _of(case: Case, known: Known, shapes: dict[str, Shape]) -> Iterator[str]:
    for note in case.notes:
        if note["direction"] == "closed":
            if note["what"] not in known.closes:
                yield f"closed with {note['what']}, known are {', '.join(sorted(known.closes))}"
        elif note["direction"] == "received" and note["what"] == "head":
            for name in map(str.lower, _answer(note).get("headers", ())):
                if name not in known.headers and not _USUAL.fullmatch(name):
                    yield f"header {name} is unknown"
        elif note["direction"] == "received" and note["what"] == "text":
            yield from _of_message(note, known, shapes)
    if case.ended is not None and case.ends and case.ended not in case.ends:
        expected = " or ".join(_told(code) for code in case.ends)
        yield f"ended {_told(case.ended)}, expected {expected}" + (f": {case.message}" if case.message else "")


def _of_message(note: dict[str, Any], known: Known, shapes: dict[str, Shape]) -> Iterator[str]:
    if "json" not in note:
        yield f"a text that is no JSON: {note['text'][:80]!r}"
        return
    name = name_of(note["json"], known)
    if name in shapes:
        yield from (f"{name}: {line}" for line in shapes[name].differences(note["json"]))
    else:
        yield f"message {name or '(without a name)'} is unknown"


def _answer(note: dict[str, Any]) -> dict[str, Any]:
    """The head of an answer; empty where the driver noted something else."""
    head = note.get("json")
    return head if isinstance(head, dict) else {}


def name_of(message: Any, known: Known) -> str:
    """What the protocol code calls a message; empty where it cannot say."""
    try:
        return str(known.name(message))
    except (KeyError, IndexError, TypeError, AttributeError):  # a message of quite another shape
        return ""


def _told(code: str) -> str:
    return f"as {code}" if code else "well"


def summary(case: Case, known: Known) -> str:
    """One exchange in a line, for people: how it ended, answers, messages, frames, and how connections were closed."""
    got = [note for note in case.notes if note["direction"] == "received"]
    parts = [
        "stopped" if case.ended is None else f"ended {_told(case.ended)}",
        *_counted(_answer(note).get("status", "?") for note in got if note["what"] == "head"),
        *_counted(name_of(note.get("json"), known) or "?" for note in got if note["what"] == "text"),
        *_frames([note["bytes"] for note in got if note["what"] == "binary"]),
        *_counted(f"closed with {note['what']}" for note in case.notes if note["direction"] == "closed"),
    ]
    return "; ".join(parts)


def _counted(things: Iterable[object]) -> Iterator[str]:
    for thing, times in Counter(things).items():
        yield f"{times} × {thing}" if times > 1 else str(thing)


def _frames(lengths: Sequence[int]) -> Iterator[str]:
    if not lengths:
        return
    least, most, odd = min(lengths), max(lengths), sum(length % 2 for length in lengths)
    size = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    yield f"{len(lengths)} × audio of {size} bytes" + (f", {odd} of odd length" if odd else "")
