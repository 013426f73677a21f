"""The nouns of a decision: what is asked, what is known, what the policy says, what is planned.

All frozen. Knows nothing about HTTP, YAML positions, clocks or how an engine is driven.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from engines.contract import EngineInfo, Gender, Markup
from policies.across import find_across
from policies.hours import HoursField
from policies.typed import Typed, details, refused

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
    longest_clause: int = 0  # code points of the longest piece that an engine is given at once; 0: not known
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
        return (self.busy + self.queued) / max(self.slots, 1) if self.state == "up" else math.inf

    def expected_wait_s(self, audio_s: float) -> float:
        """Seconds in the queue before a slot is free, if every request ahead were like this one."""
        ahead = self.busy + self.queued - self.slots + 1
        if ahead <= 0:
            return 0.0
        return ahead / max(self.slots, 1) * (self.real_time_factor or 0.0) * audio_s

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
Name = Annotated[str, Field(min_length=1)]
Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


def _listed(given: object) -> object:
    """One name where a list belongs is the usual slip; pydantic's words for it speak of tuples."""
    if isinstance(given, str):
        raise PydanticCustomError("list_type", f"should be a list: write [{given}]")
    return given


def _some(given: object) -> object:
    """Asked before the items are looked at: pydantic would call a list empty whose only item is wrong."""
    if given == [] or given == ():
        raise PydanticCustomError("too_short", "is empty: name at least one, or take it out")
    return _listed(given)


def _base_code(language: str) -> str:
    """Texts are found to be in base languages, so that a regional code could never hold."""
    base = language.lower().replace("_", "-").split("-")[0]
    if language != base:
        raise PydanticCustomError("language", f"{language!r} is not a base language code: write {base!r}")
    return language


def _named(given: object) -> object:
    """`use: [sambert]` is short for `use: [{engine: sambert}]`."""
    if isinstance(given, str):
        return {"engine": given}
    if isinstance(given, Mapping | Use):
        return given
    raise PydanticCustomError("use", "should be an engine's name, or {engine: NAME, weight: NUMBER}")


_MIN_ONE = Field(json_schema_extra={"minItems": 1})
Some = Annotated[tuple[Name, ...], _MIN_ONE, BeforeValidator(_some)]
Languages = Annotated[tuple[Annotated[Name, AfterValidator(_base_code)], ...], _MIN_ONE, BeforeValidator(_some)]
Formats = Annotated[tuple[Format, ...], _MIN_ONE, BeforeValidator(_some)]
Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Thresholds = Annotated[Mapping[Name, Threshold], Field(min_length=1)]  # engine -> number


class Overrides(Typed):
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


class Terms(Typed):
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

    def under(self, rule: Overrides) -> Terms:
        """These terms, with what the rule sets over them."""
        given = {name: getattr(rule, name) for name in Terms.model_fields}
        return self.model_copy(update={name: value for name, value in given.items() if value is not None})


class Use(Typed):
    """An engine that a rule may choose. `weight` None counts as 1 under `order: weighted`."""

    engine: Name
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class Share(Typed):
    """A part of the keys, texts or requests, the same one every time; a larger percentage includes a smaller one."""

    percent: Annotated[float, Field(ge=0, le=100)]
    by: Literal["key", "text", "request"] = "request"


class When(Typed):
    """Named conditions; all given ones must hold. Their meaning is in `policies/conditions.py`, one function each."""

    min_chars: Annotated[int, Field(ge=0)] | None = None
    max_chars: Annotated[int, Field(ge=0)] | None = None
    languages: Languages | None = None
    voices: Some | None = None
    models: Some | None = None
    formats: Formats | None = None
    keys: Some | None = None
    tags: Some | None = None
    stream: bool | None = None
    load_above: Thresholds | None = None
    load_below: Thresholds | None = None
    wait_above_ms: Thresholds | None = None
    first_audio_above_ms: Thresholds | None = None
    healthy: Some | None = None
    unhealthy: Some | None = None
    hours: HoursField | None = None
    share: Share | None = None
    not_: When | None = Field(default=None, alias="not")

    @field_validator("max_chars")
    @classmethod
    def _fits_min_chars(cls, most: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get("min_chars")
        if most is not None and least is not None and most < least:
            raise PydanticCustomError("max_chars", f"{most} is less than min_chars {least}: no text can be both")
        return most

    @field_validator("not_")
    @classmethod
    def _denies_something(cls, denied: When | None) -> When | None:
        if denied is not None and not denied.given:
            raise PydanticCustomError("not", "nothing stands under `not`: name a condition, or take it out")
        return denied

    @cached_property
    def given(self) -> tuple[tuple[str, Any], ...]:
        """The conditions that are there, by the names that YAML uses: what a decision walks through."""
        fields = ((field.alias or name, getattr(self, name)) for name, field in type(self).model_fields.items())
        return tuple((name, value) for name, value in fields if value is not None)


class Rule(Overrides):
    """Which engines speak, in which order and on which terms, when its conditions hold."""

    name: Name
    when: When = When()
    use: Annotated[
        tuple[Annotated[Use, BeforeValidator(_named, json_schema_input_type=str | Use)], ...],
        _MIN_ONE,
        BeforeValidator(_some),
    ]


class Policy(Typed):
    """policies.yaml. The first rule whose `when` holds decides."""

    version: Literal[1]
    defaults: Terms = Terms()
    models: Mapping[Name, Name] = Field(default_factory=dict)  # alias -> "auto" or an engine
    paused: Annotated[tuple[Name, ...], BeforeValidator(_listed)] = ()
    rules: Annotated[tuple[Rule, ...], _MIN_ONE, BeforeValidator(_some)]
    last_resort: Name | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _check_across_fields(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Looks at a file that is wrong elsewhere too, so that every error is told at once."""
        try:
            policy = handler(data)
        except ValidationError as error:
            raise refused(cls.__name__, [*details(error), *find_across(data)]) from None
        if problems := find_across(policy.model_dump(by_alias=True, exclude_none=True)):
            raise refused(cls.__name__, problems)
        return policy

    @cached_property
    def ruled(self) -> tuple[tuple[Rule, Terms], ...]:
        """Each rule with its terms over the defaults, merged once."""
        return tuple((rule, self.defaults.under(rule)) for rule in self.rules)


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
