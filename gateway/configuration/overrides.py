"""`VOXGATE_A__B=value` in place of `a.b` of gateway.yaml. Knows nothing about the other files.

A name without `__` overrides a field at the top (VOXGATE_AUTH) or is not ours (VOXGATE_CONFIG, or what a cluster sets
for a service called voxgate): one that would be a field with another `_` is warned of. A name with `__` that is no
field is an error: it was meant to be one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gateway.configuration.advice import models_at
from gateway.configuration.problems import Problem, near, show_path
from gateway.configuration.settings import Settings
from gateway.configuration.yaml import Document, Place, parse_value
from policies.strict import Loc

_PREFIX = "VOXGATE_"


def override(document: Document, environ: Mapping[str, str]) -> None:
    """Put the values of the environment over the document's. What is wrong is noted under the variable's name."""
    found = sorted(name for name in environ if name.startswith(_PREFIX))
    paths = {name: tuple(name.removeprefix(_PREFIX).lower().split("__")) for name in found}
    # sections before their fields, so that VOXGATE_CACHE={…} does not undo VOXGATE_CACHE__SCOPE
    for name in sorted(found, key=lambda one: (len(paths[one]), one)):
        path = paths[name]
        if path == ("version",) or (len(path) == 1 and path[0] not in Settings.model_fields):
            _note_near_miss(document, name)
            continue
        field = _field_at(path)
        if field is None:
            _refuse(
                document, name, path, f"no such field in gateway.yaml; {near(show_path(path), _all_fields(Settings))}"
            )
            continue
        try:
            value = environ[name] if _is_text(field) else parse_value(environ[name])
        except ValueError as error:
            _refuse(document, name, path, str(error))
            continue
        _put(document, name, path, "" if value is None and not environ[name].strip() else value)


def _refuse(document: Document, name: str, path: Loc, message: str) -> None:
    document.problems.append(Problem(name, 1, 1, show_path(path), message))


def _note_near_miss(document: Document, name: str) -> None:
    """Of a variable that is not read: does it lack but one `_`."""
    for field in _all_fields(Settings):
        meant = _PREFIX + field.replace(".", "__").upper()
        if "." in field and name == meant.replace("__", "_"):
            message = f"is not read: write {meant}, with two `_` after the section"
            document.problems.append(Problem(name, 1, 1, field, message, "warning"))


def _field_at(path: Loc) -> Any:
    """The annotation of the field at `path` of gateway.yaml; None if there is none."""
    for model in models_at(Settings, path[:-1]):
        field = model.model_fields.get(str(path[-1]))
        if field is not None:
            return field.annotation
    return None


def _is_text(annotation: Any) -> bool:
    """Is a value to be taken as it is: a password of digits is not a number."""
    return annotation in (str, Path)


def _all_fields(model: type[BaseModel], before: str = "") -> list[str]:
    names = []
    for name, field in model.model_fields.items():
        names.append(before + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += _all_fields(field.annotation, f"{before}{name}.")
    return names


def _put(document: Document, name: str, path: Loc, value: Any) -> None:
    """Set the value at `path`; a mapping is merged into what the file says."""
    parent = document.data
    for depth, part in enumerate(path[:-1]):
        if not isinstance(parent.get(part), dict):
            parent[part] = {}
            _place(document, name, path[: depth + 1], {})
        parent = parent[part]
    if isinstance(value, dict) and isinstance(parent.get(path[-1]), dict):
        for key, one in value.items():
            _put(document, name, (*path, key), one)
        return
    for known in [one for one in document.places if one[: len(path)] == path]:
        del document.places[known]
    _forget_unset(document, path)
    parent[path[-1]] = value
    _place(document, name, path, value)


def _forget_unset(document: Document, path: Loc) -> None:
    """A variable that is not set is no problem where its value is not wanted any more."""
    mended = {one for one in document.broken if one[: len(path)] == path}
    shown = {show_path(one) for one in mended}
    document.broken -= mended
    document.problems = [
        one for one in document.problems if one.path not in shown or not one.message.startswith("environment variable")
    ]


def _place(document: Document, name: str, path: Loc, value: Any) -> None:
    """Everything under `path` now stands in the environment variable `name`."""
    # a reference as the raw text: what came from the environment is not shown
    document.places[path] = Place(name, 1, 1, 1, 1, "${" + name + "}")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        _place(document, name, (*path, key), one)
