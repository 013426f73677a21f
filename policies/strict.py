"""What every model of a policy file shares: frozen, unknown fields refused with near names, all errors at once.

Knows nothing about what the fields hold, nor about YAML, lines or columns: errors carry pydantic's `loc`, which a
reader of files maps to a place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from engines.errors import alike

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
    close = alike(name, names, 0.6)
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
