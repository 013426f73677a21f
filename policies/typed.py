"""What every model of a policy file shares: frozen, unknown fields refused with near names, all errors at once.

Knows nothing about YAML, lines or columns: errors carry pydantic's `loc`, which a reader of files maps to a place.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

Loc = tuple[str | int, ...]


class Typed(BaseModel):
    """Base of the models here. An unknown field's error names the field that was probably meant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _name_the_field_meant(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            known = [field.alias or name for name, field in cls.model_fields.items()]
            raise refused(cls.__name__, [_advised(one, known) for one in details(error)]) from None


def problem(loc: Loc, message: str, *, kind: str = "value_error", given: object = None) -> InitErrorDetails:
    """One error at one place: what is wrong, and what to do."""
    return InitErrorDetails(type=PydanticCustomError(kind, message), loc=loc, input=given)


def details(error: ValidationError) -> list[InitErrorDetails]:
    """The errors of a `ValidationError`, in the form in which another can be raised with them."""
    return [
        InitErrorDetails(
            type=PydanticCustomError(one["type"], one["msg"], one.get("ctx")),
            loc=one["loc"],
            input=one["input"],
        )
        for one in error.errors(include_url=False)
    ]


def refused(title: str, problems: list[InitErrorDetails]) -> ValidationError:
    """A `ValidationError` of these problems: raised inside a validator, it keeps each one's `loc`."""
    return ValidationError.from_exception_data(title, problems)


def near(name: str, known: Iterable[str]) -> str:
    """Advice that ends an "unknown …" message: names near `name`, or some that exist."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}" if names else "there is none"


def _advised(one: InitErrorDetails, known: list[str]) -> InitErrorDetails:
    loc = one.get("loc", ())
    kind = one["type"]
    if isinstance(kind, str) or kind.type != "extra_forbidden" or len(loc) != 1:
        return one
    field = str(loc[0])
    # another kind, so that a model around this one does not take the field for its own
    return problem(loc, f"unknown field {field!r}; {near(field, known)}", kind="unknown_field", given=one["input"])


# --- fields ------------------------------------------------------------------------------------------

Milliseconds = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]
Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


def _listed(given: object) -> object:
    """One name where a list belongs is the usual slip; pydantic's words for it speak of tuples."""
    if isinstance(given, str):
        raise PydanticCustomError("list_type", f"should be a list: write [{given}]")
    return given


def some(given: object) -> object:
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


BASE_CODE = AfterValidator(_base_code)
MIN_ONE = Field(json_schema_extra={"minItems": 1})
Some = Annotated[tuple[Name, ...], MIN_ONE, BeforeValidator(some)]
Languages = Annotated[tuple[Annotated[Name, BASE_CODE], ...], MIN_ONE, BeforeValidator(some)]
Formats = Annotated[tuple[Format, ...], MIN_ONE, BeforeValidator(some)]
Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Thresholds = Annotated[Mapping[Name, Threshold], Field(min_length=1)]  # engine -> number
Names = Annotated[tuple[Name, ...], BeforeValidator(_listed)]
