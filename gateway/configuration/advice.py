"""What pydantic found, told in the words of the person who wrote the file, at the place where it stands.

Knows nothing about any particular model or file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.configuration.problems import near
from gateway.configuration.yaml import Document
from policies.strict import Loc

Model = TypeVar("Model", bound=BaseModel)

_PLAIN = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text: put quotes around it",
    "string_too_short": "must not be empty",
    "path_type": "must be a path, as text",
    "model_type": "must be a mapping: indented `name: value` lines, or {name: value}",
    "model_attributes_type": "must be a mapping: indented `name: value` lines, or {name: value}",
    "dict_type": "must be a mapping: indented `name: value` lines, or {name: value}",
    "mapping_type": "must be a mapping: indented `name: value` lines, or {name: value}",
    "list_type": "must be a list: [a, b], or lines that begin with `- `",
    "tuple_type": "must be a list: [a, b], or lines that begin with `- `",
    "set_type": "must be a list: [a, b], or lines that begin with `- `",
    "frozen_set_type": "must be a list: [a, b], or lines that begin with `- `",
}
_BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}


def validate(model: type[Model], document: Document, path: Loc = (), **more: Any) -> Model | None:
    """The typed form of the data at `path`; None, with every problem noted in the document, if it has none."""
    try:
        return model.model_validate(document.value(path), **more)
    except ValidationError as error:
        note_errors(error, model, document, path)
    return None


def note_errors(
    error: ValidationError, model: type[BaseModel], document: Document, path: Loc = (), also: Iterable[str] = ()
) -> None:
    """Note every error of a validation that began at `path`; `also`: further field names known there."""
    found: dict[Loc, list[str]] = {}
    keys: set[Loc] = set()
    inside_unions: dict[Loc, list[tuple[Loc, str]]] = {}
    for one in error.errors(include_url=False, include_input=False):
        where, union = _locate(one, path, document)
        if any(where[: len(bad)] == bad for bad in document.broken):
            continue
        message = _say(one, where, model, document, path, also)
        if (
            one["loc"][-1:] == ("[key]",)
            or one["type"] in ("extra_forbidden", "unknown_field")
            or where not in document.places
        ):
            keys.add(where)
        if union is None:
            found.setdefault(where, []).append(message)
        else:
            inside_unions.setdefault(union, []).append((where, message))
    # of the branches of a union, the ones that came furthest are what the writer meant
    for told in inside_unions.values():
        deepest = max(len(where) for where, _ in told)
        for where, message in told:
            if len(where) == deepest:
                found.setdefault(where, []).append(message)
    for where, messages in found.items():
        document.problem(where, " or ".join(dict.fromkeys(messages)), at_key=where in keys)


def _locate(one: ErrorDetails, path: Loc, document: Document) -> tuple[Loc, Loc | None]:
    """The path of an error in the document, and where a union began: its branches are in pydantic's path alone."""
    where, union = path, None
    parts = one["loc"]
    for index, part in enumerate(parts):
        if (*where, part) in document.places:
            where = (*where, part)
        elif one["type"] == "missing" and index == len(parts) - 1:
            return (*where, part), union
        elif union is None:
            union = where
    return where, union


def _say(
    one: ErrorDetails, where: Loc, model: type[BaseModel], document: Document, start: Loc, also: Iterable[str]
) -> str:
    kind, context = one["type"], one.get("ctx", {})
    if kind == "missing":
        return f"is missing: write `{where[-1]}: …` here"
    if kind == "extra_forbidden":
        known = {name for other in models_at(model, where[len(start) : -1]) for name in field_names(other)}
        if len(where) == len(start) + 1:
            known |= set(also)
        return f"unknown field; {near(str(where[-1]), known - _written(document, where[:-1]))}".rstrip("; ")
    value = where[-1] if one["loc"][-1:] == ("[key]",) else document.value(where)
    if value is None and where in document.places and kind != "value_error":
        return f"has no value: write one, or remove the line ({_PLAIN.get(kind, 'a value is needed')})"
    if kind in ("literal_error", "enum") and "expected" in context:
        allowed = str(context["expected"]).replace("''", "empty").replace("'", "")
        names = re.findall(r"'([^']+)'", str(context["expected"]))
        hint = near(str(value), names) if len(names) > 1 else ""
        return f"must be {allowed}{_shown(value, where, document)}{'; ' + hint if hint.startswith('did') else ''}"
    if kind in _BOUNDS and context:
        return f"must be {_BOUNDS[kind].format(**context)}{_shown(value, where, document)}"
    if kind == "too_short" and context:
        return "must not be empty" if context["min_length"] == 1 else f"needs at least {context['min_length']}"
    if kind == "string_pattern_mismatch" and (meant := _description(model, where[len(start) :])):
        shown = _shown(value, where, document).removeprefix(", not ")
        return f"cannot be {shown or 'this'}; what belongs here: {meant}"
    if kind in _PLAIN:
        return _PLAIN[kind] + (_shown(value, where, document) if kind != "string_type" else "")
    # a validator's own words
    message = re.sub(r"^(Value error|Assertion failed), ", "", one["msg"])
    return message[:1].lower() + message[1:]


def _shown(value: Any, where: Loc, document: Document) -> str:
    """The wrong value, unless it came from the environment, where secrets live."""
    raw = document.place(where).raw
    if raw is None or "${" in raw or len(raw) > 40 or isinstance(value, Mapping | list):
        return ""
    return f", not {value!r}"


def _written(document: Document, path: Loc) -> set[str]:
    """Names that stand at `path` already: no advice for a misspelled one."""
    value = document.value(path)
    return set(value) if isinstance(value, Mapping) else set()


def _description(model: type[BaseModel], path: Loc) -> str:
    """What the field at `path` is for, in its model's words; empty where it says nothing."""
    for owner in models_at(model, path[:-1]):
        for name, field in owner.model_fields.items():
            if path and path[-1] in (name, field.alias):
                return field.description or ""
    return ""


def models_at(annotation: Any, path: Loc) -> Iterator[type[BaseModel]]:
    """The models that data at `path` below `annotation` may be of."""
    arguments = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            yield annotation
        for name, field in annotation.model_fields.items():
            if path and path[0] in (name, field.alias):
                yield from models_at(field.annotation, path[1:])
    elif get_origin(annotation) is Annotated:
        yield from models_at(arguments[0], path)
    elif _is_union(annotation):
        for branch in arguments:
            yield from models_at(branch, path)
    elif arguments and path:
        is_mapping = isinstance(get_origin(annotation), type) and issubclass(get_origin(annotation), Mapping)
        yield from models_at(arguments[1] if is_mapping else arguments[0], path[1:])


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) is Union or type(annotation).__name__ == "UnionType"


def field_names(model: type[BaseModel]) -> list[str]:
    """The names under which a model's fields are written."""
    return [field.alias or name for name, field in model.model_fields.items()]
