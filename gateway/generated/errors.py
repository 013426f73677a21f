"""The table of errors in docs/http.md, from the attributes of the error classes.

Knows nothing about how an error becomes a response, only that it does by these attributes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gateway.http.app  # noqa: F401  the classes of the HTTP ring exist once it is imported
from engines.errors import BY_CODE, SpeechError
from gateway.generated import put_between

PATH = "docs/http.md"

_HEAD = (
    "| code | status | may the next engine try | the engine's health | should the client retry | meaning |\n"
    "|---|---|---|---|---|---|\n"
)
_HEALTH = {"unhurt": "unhurt", "cools": "cools down", "hurt": "hurt"}


def classes() -> list[type[SpeechError]]:
    """The engines' closed set in its own order, then the gateway's own errors by status and code.

    An error whose code is its cause's, such as NoEngine, has none of its own and is left out.
    """
    own = {one for one in _below(SpeechError) if one.__module__.startswith("gateway.") and hasattr(one, "code")}
    return [*BY_CODE.values(), *sorted(own, key=lambda one: (one.status, one.code, one.__name__))]


def _below(base: type[SpeechError]) -> Iterator[type[SpeechError]]:
    for one in base.__subclasses__():
        yield one
        yield from _below(one)


def table() -> str:
    """The table."""
    return _HEAD + "".join(_row(one) for one in classes())


def _row(error: type[SpeechError]) -> str:
    may_next = "yes" if error.try_next else "no"
    if error.code == "refused":
        may_next = "if `allow_refused_fallback`"
    retry = "yes, after `retry-after`" if error.client_may_retry else "no"
    meaning = " ".join((error.__doc__ or "").split("\n\n")[0].split())
    cells = (f"`{error.code}`", str(error.status), may_next, _HEALTH[error.health], retry, meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def files(root: Path) -> dict[str, str]:
    """Path in the repository -> content, with the table in its place. Raises ValueError when it has no place."""
    return {PATH: put_between((root / PATH).read_text(encoding="utf-8"), "errors", table())}
