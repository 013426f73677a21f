"""The fields that models of a policy file have in common: names, lists of them, languages, formats, numbers.

Knows nothing about which model has which field, nor how a model is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

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
