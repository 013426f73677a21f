"""Visits a server to see whether it is there, and what it lists: its voices and models.

A server that accepts a connection and does not answer in time is there: some answer nobody while they speak. Knows
nothing about speech.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from engines.errors import DeadlineExceeded, Throttled
from engines.openai.client import Client, Question
from engines.openai.dialects import Dialect, Listed
from engines.openai.discovery import read_models, read_voices
from engines.openai.faults import judge

#: seconds that each list may take: both together less than the gateway gives a check
WITHIN_S = 2.0
#: what servers answer at a path where they have no list, or none for this key
_NO_LIST = frozenset({400, 403, 404, 405, 422, 501})

Names = TypeVar("Names")


@dataclass(frozen=True, slots=True)
class Told:
    """What a server lists; None: nothing, or it did not answer."""

    voices: tuple[Listed, ...] | None = None
    models: tuple[str, ...] | None = None


async def visit(client: Client, url: str, dialect: Dialect, headers: Mapping[str, str], key: str, before: Told) -> Told:
    """See what is there. Raises Unavailable and EngineFault where nobody could be spoken to.

    What it listed `before` is kept where it has no time to tell it now.
    """

    async def look(path: str, read: Callable[[bytes], Names | None], known: Names | None) -> Names | None:
        """The list at a path, as `read` makes it of the answer; None where there is none."""
        if not path:
            return None
        try:
            async with client.ask(Question("GET", url + path, headers, within_s=WITHIN_S)) as answer:
                if answer.status == 200:
                    return read(await answer.whole())
                error = judge(answer.status, answer.headers, await answer.complaint(), key)
        except DeadlineExceeded:
            return known
        if isinstance(error, Throttled):
            return known
        if answer.status in _NO_LIST:
            return None
        raise error

    if not dialect.voices_path and not dialect.models_path:
        await look("/", lambda _: (), None)
    voices = await look(dialect.voices_path, partial(read_voices, about=dialect.about_voice), before.voices)
    return Told(voices, await look(dialect.models_path, read_models, before.models))
