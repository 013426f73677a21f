"""What is decided of a prepared request now: the plan, which clips may answer it, and with whom it may share a making.

Knows nothing about where clips are kept, nor how they are made.
"""

from __future__ import annotations

import hashlib

from engines.contract import EngineInfo
from gateway.audio.rates import encoder_rate
from gateway.cache import clip_key
from gateway.era import Era
from gateway.flight.flight import KEPT_BYTES
from gateway.prepared import Decision, Prepared, with_draw
from gateway.request import ClientRequest
from policies.decide import cacheable, decide
from policies.types import Plan, Snapshot

#: bytes of a second of speech in a format that compresses: what an encoder gives at its highest rate
COMPRESSED_BYTES = 12_000


def decide_now(prepared: Prepared, era: Era, request_id: str) -> Decision:
    """The plan for a request now, and the keys of the clips that may answer it."""
    snapshot, policy = era.snapshot(), era.config.policy
    if prepared.latest and prepared.latest.snapshot is snapshot and not policy.draws_lots:
        return prepared.latest
    ask = with_draw(prepared.ask, request_id) if policy.draws_lots else prepared.ask
    plan = decide(ask, snapshot, policy)
    keys = [key_of(engine, prepared, snapshot, era) for engine in cacheable(plan)]
    prepared.latest = Decision(snapshot, plan, keys)
    return prepared.latest


def key_of(engine: str, prepared: Prepared, snapshot: Snapshot, era: Era) -> str:
    """The cache key of one engine's clip: what is spoken, the engine's fingerprint, and its voice per language.

    The languages are those of the clauses, as the engine is told them: a document in SSML may say it is in one and hold
    another. An engine that is given no voice chooses one by the gender.
    """
    info = snapshot.engines[engine].info
    target, version = prepared.target, info.version if info else ""
    languages = dict.fromkeys(clause.language for clause in prepared.script.clauses)
    voices = [_with_version(target.voice_on(engine, language, info), info) for language in languages]
    borrowed = [one.voice for language in languages if (one := target.emotion_on(engine, language)) and one.voice]
    voices += [_with_version(voice, info) for voice in borrowed]
    fingerprint = era.members[engine].fingerprint
    return clip_key(prepared.spoken, f"{fingerprint}\0{version}\0{voices}\0{target.gender}")


def _with_version(voice: str, info: EngineInfo | None) -> str:
    """A voice's name, and what changes when its user makes it anew, if that may be."""
    if info is None or not info.cloning:
        return voice
    return next((f"{voice}\0{one.version}" for one in info.voices if one.id == voice), voice)


def flight_key(request: ClientRequest, prepared: Prepared, snapshot: Snapshot, plan: Plan, era: Era) -> str:
    """What requests must have in common to hear one making: all that makes it sound, and all that the plan and its end
    depend on. Empty: nobody shares it, as it may be too long to be kept for who comes later.

    The clips are those of all engines that the rule names, in no order: one that draws lots, or goes by load, may
    prefer another engine for the next request, and the first one's choice is as good.
    """
    ask, plain = prepared.ask, request.format in ("wav", "pcm", "flac")
    expected_bytes = ask.audio_s * (
        encoder_rate(request.format, request.sample_rate) * 2 if plain else COMPRESSED_BYTES
    )
    if expected_bytes > KEPT_BYTES:
        return ""
    allowed = None if ask.allowed_engines is None else sorted(ask.allowed_engines)
    engines = (engine for engine in plan.preference if engine in snapshot.engines and engine in era.members)
    clips = sorted(key_of(engine, prepared, snapshot, era) for engine in engines)
    facts = (plan.rule, plan.terms, ask.only, ask.voice_asked, allowed, ask.deadline_ms, clips)
    return hashlib.blake2b(repr(facts).encode(), key=prepared.spoken, digest_size=20).hexdigest()
