"""The nouns of a decision: what is asked, what is known, what the policy says, what is planned.

All frozen. Knows nothing about HTTP, YAML positions, clocks or how an engine is driven.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engines.contract import EngineInfo, Gender, Markup

State = Literal["up", "down", "cooling", "starting", "paused", "not_installed", "not_configured"]
SkipCode = Literal[
    "unsupported", "down", "cooling", "paused", "not_installed", "not_configured", "busy", "too_slow", "excluded"
]
Order = Literal["listed", "weighted", "fastest", "least_busy", "cheapest", "spread"]


# --- what is asked -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """What `decide` sees of a request: facts about it, never its text."""

    chars: int  # code points once markup is taken out and white space is folded
    languages: tuple[str, ...]  # found in the text, the most frequent first
    audio_s: float  # estimated seconds of speech
    voice: str = ""  # canonical name; the default voice when none was asked for
    voice_asked: bool = False
    gender: Gender = ""  # of that voice, for engines that choose their own
    engine_voices: Mapping[str, str] = field(default_factory=dict)  # engine -> its voice for the main language
    only: str = ""  # `voice: ENGINE:VOICE` or `model: ENGINE`: that engine alone, without fallback
    model: str = "auto"
    format: str = "mp3"
    stream: bool = True
    markup: Markup = "plain"
    key: str = ""  # the key's name, never the key
    allowed_engines: frozenset[str] | None = None  # what the key may use; None: every engine
    tags: frozenset[str] = frozenset()
    deadline_ms: int | None = None
    text_hash: int = 0  # 64-bit hashes: the randomness of `share`, `weighted` and `spread`
    request_hash: int = 0
    key_hash: int = 0


# --- what is known -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EngineState:
    """One engine at one moment. `None` for a measurement means that nothing recent is known."""

    name: str
    state: State = "up"
    busy: int = 0
    queued: int = 0
    slots: int = 1
    queue: int = 8  # the longest queue it takes
    first_audio_s: float | None = None  # recent average, without waiting in the queue
    real_time_factor: float | None = None  # seconds of work per second of audio
    cost_per_1k_chars: float = 0.0
    reason: str = ""  # why it is not up, for people
    since: datetime | None = None
    info: EngineInfo | None = None  # None: what it can do is not known yet

    @property
    def load(self) -> float:
        """Busy plus queued over slots; an engine that is not ready counts as infinitely loaded."""
        return (self.busy + self.queued) / self.slots if self.state == "up" else math.inf

    def expected_wait_s(self, audio_s: float) -> float:
        """Seconds in the queue before a slot is free, if every request ahead were like this one."""
        ahead = self.busy + self.queued - self.slots + 1
        if ahead <= 0:
            return 0.0
        return ahead / self.slots * (self.real_time_factor or 0.0) * audio_s

    def expected_first_audio_s(self, audio_s: float) -> float | None:
        """Seconds to the first audio of a new request; None when never measured."""
        if self.first_audio_s is None:
            return None
        return self.expected_wait_s(audio_s) + self.first_audio_s


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All engines at one moment. `now` carries a time zone."""

    now: datetime
    engines: Mapping[str, EngineState]


# --- what the policy says ----------------------------------------------------------------------------

Milliseconds = Annotated[int, Field(ge=0)]


class _Typed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Overrides(_Typed):
    """What a rule may set over the defaults. None: as the defaults say."""

    first_audio_ms: Annotated[int, Field(gt=0)] | None = None
    gap_ms: Annotated[int, Field(gt=0)] | None = None
    total_ms: Milliseconds | None = None
    retries: Annotated[int, Field(ge=0, le=10)] | None = None
    hedge_after_ms: Annotated[int, Field(gt=0)] | None = None
    order: Order | None = None
    on_interruption: Literal["continue", "abort"] | None = None
    allow_refused_fallback: bool | None = None
    cache: Literal["use", "bypass", "only"] | None = None


class Terms(_Typed):
    """How a plan is carried out: the policy's defaults, and what they become under a rule."""

    first_audio_ms: Annotated[int, Field(gt=0)] = 8000
    gap_ms: Annotated[int, Field(gt=0)] = 10000
    total_ms: Milliseconds = 0
    retries: Annotated[int, Field(ge=0, le=10)] = 1
    hedge_after_ms: Annotated[int, Field(gt=0)] | None = None
    order: Order = "listed"
    on_interruption: Literal["continue", "abort"] = "continue"
    allow_refused_fallback: bool = False
    cache: Literal["use", "bypass", "only"] = "use"


class Use(_Typed):
    """An engine that a rule may choose."""

    engine: str
    weight: Annotated[float, Field(gt=0)] | None = None


class Share(_Typed):
    percent: Annotated[float, Field(ge=0, le=100)]
    by: Literal["key", "text", "request"] = "request"


class When(_Typed):
    """Named conditions; all given ones must hold. Their meaning is in `policies/conditions.py`, one function each."""

    min_chars: Annotated[int, Field(ge=0)] | None = None
    max_chars: Annotated[int, Field(ge=0)] | None = None
    languages: tuple[str, ...] | None = None
    voices: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    formats: tuple[str, ...] | None = None
    keys: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    stream: bool | None = None
    load_above: Mapping[str, float] | None = None
    load_below: Mapping[str, float] | None = None
    wait_above_ms: Mapping[str, float] | None = None
    first_audio_above_ms: Mapping[str, float] | None = None
    healthy: tuple[str, ...] | None = None
    unhealthy: tuple[str, ...] | None = None
    hours: str | None = None
    share: Share | None = None
    not_: When | None = Field(default=None, alias="not")


class Rule(Overrides):
    name: Annotated[str, Field(min_length=1)]
    when: When = When()
    use: Annotated[tuple[Use, ...], Field(min_length=1)]


class Policy(_Typed):
    """policies.yaml. The first rule whose `when` holds decides."""

    version: Literal[1]
    defaults: Terms = Terms()
    models: Mapping[str, str] = Field(default_factory=dict)  # alias -> "auto" or an engine
    paused: tuple[str, ...] = ()
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    last_resort: str | None = None


# --- what is planned ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """An engine that will be tried, and why."""

    engine: str
    voice: str  # the engine's own voice for the main language; empty: its default, not known before it starts
    expected_first_audio_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """An engine that will not be tried, and why."""

    engine: str
    code: SkipCode
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What we intend, in order: the last resort at the end of `steps`.

    `preference` is the rule's full order, skipped engines included: the cache is looked up in it, and
    "degraded" is measured against it. `terms` are the rule's over the defaults.
    """

    rule: str
    steps: tuple[Step, ...]
    skipped: tuple[Skip, ...]
    preference: tuple[str, ...]
    terms: Terms
