"""What a policy says: policies.yaml, typed. The first rule whose `when` holds decides, on its terms over the defaults.

All frozen. What the conditions mean is in `policies.conditions`, what the orders mean in `policies.orders`. Knows
nothing about YAML positions: errors carry pydantic's `loc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from policies.across import find_across
from policies.fields import MIN_ONE, Formats, Languages, Milliseconds, Name, Names, Some, Thresholds, some
from policies.hours import HoursField
from policies.strict import Typed, details, refused

if TYPE_CHECKING:
    from policies.index import Index

Order = Literal["listed", "weighted", "fastest", "least_busy", "cheapest", "spread"]


def _named(given: object) -> object:
    """`use: [sambert]` is short for `use: [{engine: sambert}]`."""
    if isinstance(given, str):
        return {"engine": given}
    if isinstance(given, Mapping | Use):
        return given
    raise PydanticCustomError("use", "should be an engine's name, or {engine: NAME, weight: NUMBER}")


class Overrides(Typed):
    """What a rule may set over the defaults, described in `Terms`. None: as the defaults say."""

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

    first_audio_ms: Annotated[int, Field(gt=0)] = Field(
        8000,
        description="milliseconds for one engine's first audio, its queue included; then the next is tried",
    )
    gap_ms: Annotated[int, Field(gt=0)] = Field(
        10000, description="longest silence between two pieces of audio, in milliseconds"
    )
    total_ms: Milliseconds = Field(
        0, description="milliseconds for the whole request, without time in which the client does not read; 0: no limit"
    )
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        1, description="how often the same engine is tried again before any audio was heard"
    )
    hedge_after_ms: Annotated[int, Field(gt=0)] | None = Field(
        None,
        description="milliseconds until the next engine starts beside a silent one",
    )
    order: Order = Field(
        "listed",
        description="which engine is tried first; `spread`: equal texts stay on one engine",
    )
    on_interruption: Literal["continue", "abort"] = Field(
        "continue",
        description="after a failure amid speech: `continue` with the next engine at a clause border, or `abort`",
    )
    allow_refused_fallback: bool = Field(
        False, description="whether a text that one engine's inspection refused may go to the next"
    )
    cache: Literal["use", "bypass", "only"] = Field(
        "use", description="`use`, `bypass`, or `only`: finished clips and no synthesis"
    )

    def under(self, rule: Overrides) -> Terms:
        """These terms, with what the rule sets over them."""
        given = {name: getattr(rule, name) for name in Terms.model_fields}
        return self.model_copy(update={name: value for name, value in given.items() if value is not None})


class Use(Typed):
    """An engine that a rule may choose. `weight` None counts as 1 under `order: weighted`."""

    engine: Name = Field(description="an engine of engines.yaml")
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="its part under `order: weighted`; unset: 1"
    )


class Share(Typed):
    """A part of the keys, texts or requests, the same one every time; a larger percentage includes a smaller one."""

    percent: Annotated[float, Field(ge=0, le=100)] = Field(description="0 to 100")
    by: Literal["key", "text", "request"] = Field(
        "request", description="what is counted: all requests of one `key`, of one `text`, or each `request`"
    )


class When(Typed):
    """Named conditions; all given ones must hold. Their meaning is in `policies/conditions.py`, one function each."""

    min_chars: Annotated[int, Field(ge=0)] | None = Field(
        None, description="characters of the text, at least: code points without markup, white space folded"
    )
    max_chars: Annotated[int, Field(ge=0)] | None = Field(None, description="characters of the text, at most")
    languages: Languages | None = Field(None, description="all languages found in the text are among these")
    voices: Some | None = Field(None, description="the voice asked for is one of these")
    models: Some | None = Field(None, description="the model asked for is one of these")
    formats: Formats | None = Field(None, description="the audio format asked for is one of these")
    keys: Some | None = Field(None, description="the name of the API key is one of these")
    tags: Some | None = Field(None, description="one of the request's tags is among these")
    stream: bool | None = Field(None, description="whether the client takes audio as it is made")
    load_above: Thresholds | None = Field(
        None, description="engine -> number: busy plus queued over slots is more, for every engine named"
    )
    load_below: Thresholds | None = Field(None, description="engine -> number: busy plus queued over slots is less")
    wait_above_ms: Thresholds | None = Field(
        None, description="engine -> milliseconds: the wait for a slot is expected to be longer"
    )
    first_audio_above_ms: Thresholds | None = Field(
        None, description="engine -> milliseconds: the first audio is expected later"
    )
    healthy: Some | None = Field(None, description="all of these engines are up")
    unhealthy: Some | None = Field(None, description="none of these engines is up")
    hours: HoursField | None = Field(None, description="a time of day, such as `22:00-06:00 Asia/Shanghai`")
    share: Share | None = Field(None, description="a part of all keys, texts or requests, the same one every time")
    not_: When | None = Field(default=None, alias="not", description="holds when none of the conditions under it does")

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

    @property
    def draws_lots(self) -> bool:
        """Is a share taken by request, so that equal requests may be decided differently."""
        by_request = self.share is not None and self.share.by == "request"
        return by_request or (self.not_ is not None and self.not_.draws_lots)


class Rule(Overrides):
    """Which engines speak, in which order and on which terms, when its conditions hold."""

    name: Name = Field(description="shown in `x-voxgate-rule` and by explain")
    when: When = Field(When(), description="conditions, all of which must hold; unset: always")
    use: Annotated[
        tuple[Annotated[Use, BeforeValidator(_named, json_schema_input_type=str | Use)], ...],
        MIN_ONE,
        BeforeValidator(some),
    ] = Field(description="engines, by name or as `{engine: NAME, weight: NUMBER}`")


class Policy(Typed):
    """policies.yaml. The first rule whose `when` holds decides."""

    version: Literal[1] = Field(description="of this file's form")
    defaults: Terms = Field(Terms(), description="what holds in every rule that does not say otherwise")
    models: Mapping[Name, Name] = Field(default_factory=dict, description="alias -> `auto`, or an engine")
    paused: Names = Field((), description="engines out of rotation now")
    rules: Annotated[tuple[Rule, ...], MIN_ONE, BeforeValidator(some)] = Field(
        description="the first whose `when` holds decides"
    )
    last_resort: Name | None = Field(
        None, description="the engine that is tried when no other can speak, whatever voice was asked for"
    )

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

    @cached_property
    def index(self) -> Index:
        """Finds the rule that decides; made once."""
        from policies.index import Index  # at use: it knows the conditions, and those know what a policy is

        return Index(self.rules)

    @cached_property
    def draws_lots(self) -> bool:
        """Does any rule decide by chance, so that equal requests may have different plans."""
        return any(terms.order == "weighted" or rule.when.draws_lots for rule, terms in self.ruled)
