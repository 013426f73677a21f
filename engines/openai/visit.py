"""Visits a server to see whether it is there, and what it lists: its voices and models.

A server that accepts a connection and does not answer in time is there: some answer nobody while they speak. Knows
nothing about speech.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engines.errors import DeadlineExceeded, Throttled
from engines.openai.client import Client, Question
from engines.openai.dialects import Dialect, Listed
from engines.openai.discovery import read_models, read_voices
from engines.openai.faults import judge

#: seconds that each list may take: both together less than the gateway gives a check
WITHIN_S = 2.0
#: what servers answer at a path where they have no list, or none for this key
_NO_LIST = frozenset({400, 403, 404, 405, 422, 501})


@dataclass(frozen=True, slots=True)
class Told:
    """What a server lists; None: nothing, or it did not answer."""

    voices: tuple[Listed, ...] | None = None
    models: tuple[str, ...] | None = None


async def visit(client: Client, url: str, dialect: Dialect, headers: Mapping[str, str], key: str) -> Told:
    """See what is there. Raises Unavailable and EngineFault where nobody could be spoken to."""

    async def look(path: str) -> bytes | None:
        """The list at a path; None where there is none, or no answer."""
        try:
            async with client.ask(Question("GET", url + path, headers, within_s=WITHIN_S)) as answer:
                body = await answer.whole()
        except DeadlineExceeded:
            return None
        if answer.status == 200:
            return body
        error = judge(answer.status, answer.headers, body, key)
        if answer.status in _NO_LIST or isinstance(error, Throttled):
            return None
        raise error

    if not dialect.voices_path and not dialect.models_path:
        await look("/")
    voices = await look(dialect.voices_path) if dialect.voices_path else None
    models = await look(dialect.models_path) if dialect.models_path else None
    return Told(read_voices(voices, dialect.about_voice) if voices else None, read_models(models) if models else None)
