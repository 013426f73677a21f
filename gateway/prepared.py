"""What a request means under one configuration, before anything is known of the engines' state.

Pure, so it is remembered: prompts come again and again, and on a hit of the cache this would be most of the work.
Knows nothing about health, load or caches.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, replace
from typing import NamedTuple

from gateway.configuration.load import Config
from gateway.request import ClientRequest
from gateway.target import Target, find_target
from gateway.text.prepare import PREPARER_VERSION, prepare_text
from gateway.text.script import Script
from policies.types import Ask, Plan, Snapshot

#: requests with up to this many characters, instructions included, are remembered, and how many of them
REMEMBERED_CHARS, REMEMBERED = 2000, 1024
#: one with more weights of emotions is not: each has a name
REMEMBERED_WEIGHTS = 16


class Decision(NamedTuple):
    """A plan, the snapshot that it was made from, and the keys of the clips that may answer, in the rule's order."""

    snapshot: Snapshot
    plan: Plan
    keys: list[str]


@dataclass(slots=True, eq=False, weakref_slot=True)
class Prepared:
    """One request, understood; the same object for equal requests, as long as it is remembered.

    `spoken` is a digest of all that makes audio sound as it does, but for the engine.
    `latest` is the decision made last: while nothing changes on the board, an equal request has an equal plan.
    """

    request: ClientRequest
    target: Target
    script: Script
    ask: Ask
    spoken: bytes
    latest: Decision | None = None


class Preparing:
    """Prepares requests under one configuration; replaced together with it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._remembered = functools.lru_cache(REMEMBERED)(self._prepare)

    def prepare(self, request: ClientRequest) -> Prepared:
        """Raises InvalidRequest or ModelNotFound."""
        short = len(request.input) + len(request.instructions) <= REMEMBERED_CHARS
        plain = request.emotion is None or len(request.emotion.weights) <= REMEMBERED_WEIGHTS
        return self._remembered(request) if short and plain else self._prepare(request)

    def prepare_script(self, request: ClientRequest, script: Script) -> Prepared:
        """The same for a script that is already there; the request's own text is not looked at."""
        target = find_target(request, self.config)
        return Prepared(request, target, script, self._ask(request, target, script), self._digest(request, script))

    def _prepare(self, request: ClientRequest) -> Prepared:
        script = prepare_text(request.input, input_type=request.input_type, language=request.language)
        return self.prepare_script(request, script)

    def _ask(self, request: ClientRequest, target: Target, script: Script) -> Ask:
        """The facts about a request that a policy may look at."""
        main = script.languages[0]
        mapped = ((engine, target.mapped(engine, main)) for engine in self.config.engines)
        return Ask(
            chars=script.chars,
            languages=script.languages,
            longest_clause=max(len(clause.text) for clause in script.clauses),
            audio_s=script.audio_s / request.speed,
            voice=target.voice,
            voice_asked=target.asked,
            gender=target.gender,
            engine_voices={engine: voice for engine, voice in mapped if voice is not None},
            only=target.only,
            model=request.model,
            format=request.format,
            stream=request.stream,
            markup=script.markup,
            key=request.key,
            allowed_engines=request.allowed_engines,
            tags=request.tags,
            deadline_ms=request.deadline_ms,
            text_hash=hash64(" ".join(clause.text for clause in script.clauses)),
            key_hash=hash64(request.key),
        )

    def _digest(self, request: ClientRequest, script: Script) -> bytes:
        tenant = request.tenant if self.config.settings.cache.scope == "key" else ""
        spoken = (
            tenant,
            PREPARER_VERSION,
            script,
            request.format,
            request.sample_rate,
            request.speed,
            request.instructions,
            request.emotion,
            request.seed,
        )
        return hashlib.blake2b(repr(spoken).encode("utf-8", "surrogatepass"), digest_size=20).digest()


def with_draw(ask: Ask, draw: str) -> Ask:
    """The same facts for one single request: `draw` is what chance is made of, where a rule asks for some."""
    return replace(ask, request_hash=hash64(draw))


def hash64(text: str) -> int:
    """64 bits of BLAKE2b: the same in every process, so that shares of traffic are."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
