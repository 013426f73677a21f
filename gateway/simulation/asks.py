"""A recorded request as it would be asked now: what it named is looked up in another configuration. Pure."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

from engines.contract import Gender
from gateway.configuration.load import Config
from gateway.prepared import hash64
from gateway.request import ClientRequest
from gateway.served_log.line import Line
from gateway.served_log.seal import Seal, hidden
from gateway.target import find_target
from policies.policy import Policy, When
from policies.types import Ask


class Meant(NamedTuple):
    """What model and voice mean under the configuration."""

    voice: str
    gender: Gender
    only: str
    engine_voices: Mapping[str, str]


class Asks:
    """Makes asks under one configuration. `seals`: by name, of the installations whose logs are read."""

    def __init__(self, config: Config, seals: Mapping[str, Seal]) -> None:
        self._config, self._seals = config, seals
        self._meant = functools.lru_cache(4096)(self._find)
        self._text_hash = functools.lru_cache(4096)(self._open)

    def __call__(self, line: Line) -> Ask:
        """Raises SpeechError where the configuration has no such model or voice any more."""
        ask = line.ask
        meant = self._meant(ask.model, ask.voice if ask.voice_asked else "", ask.languages[0])
        return Ask(
            chars=ask.chars,
            languages=ask.languages,
            audio_s=ask.audio_s,
            longest_clause=ask.longest_clause,
            voice=meant.voice,
            voice_asked=ask.voice_asked,
            gender=meant.gender,
            engine_voices=meant.engine_voices,
            only=meant.only,
            model=ask.model,
            format=ask.format,
            stream=ask.stream,
            markup=ask.markup,
            key=ask.key,
            allowed_engines=None if ask.allowed_engines is None else frozenset(ask.allowed_engines),
            tags=frozenset(ask.tags),
            deadline_ms=ask.deadline_ms,
            text_hash=self._text_hash(ask.text_hash),
            request_hash=hash64(line.id),
            key_hash=hash64(ask.key),
        )

    def _find(self, model: str, voice: str, language: str) -> Meant:
        target = find_target(ClientRequest(input="", model=model, voice=voice), self._config)
        mapped = {engine: target.mapped(engine, language) for engine in self._config.engines}
        known = {engine: own for engine, own in mapped.items() if own is not None}
        return Meant(target.voice, target.gender, target.only, known)

    def _open(self, sealed: str) -> int:
        """The hash itself; where it cannot be opened, what stands for it: as even, and equal for equal texts."""
        seal = self._seals.get(sealed.partition("-")[0])
        opened = seal.open(sealed) if seal else None
        return hidden(sealed) if opened is None else opened


def looks_at_texts(policy: Policy) -> bool:
    """Does any rule choose by the hash of a text."""
    return any(terms.order == "spread" or _by_text(rule.when) for rule, terms in policy.ruled)


def _by_text(when: When) -> bool:
    shared = when.share is not None and when.share.by == "text"
    return shared or (when.not_ is not None and _by_text(when.not_))
