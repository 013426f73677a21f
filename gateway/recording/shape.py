"""The shape of JSON, learned from examples: which fields there are, which are needed, and of what types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


class Shape:
    """What may stand at one place of a message. `...` in an example stands for any value, or any name of a field."""

    def __init__(self, examples: Iterable[Any] = ()) -> None:
        self._types: set[str] = set()
        self._fields: dict[Any, Shape] = {}
        self._needed: set[str] | None = None  # None: no object has been seen
        self._items: Shape | None = None
        self._anything = False
        for example in examples:
            self._learn(example)

    def _learn(self, example: Any) -> None:
        if example is ...:
            self._anything = True
            return
        self._types.add(_type(example))
        if isinstance(example, dict):
            named = {name for name in example if name is not ...}
            self._needed = named if self._needed is None else self._needed & named
            for name, value in example.items():
                self._fields.setdefault(name, Shape())._learn(value)
        elif isinstance(example, list):
            self._items = self._items or Shape()
            for item in example:
                self._items._learn(item)

    def differences(self, found: Any, path: str = "") -> Iterator[str]:
        """What `found` has that no example has, or lacks; a line for each."""
        if self._anything or not self._types:  # nothing is known of what stands in a list without an example
            return
        type_ = _type(found)
        if not {type_, "number" if type_ == "integer" else type_} & self._types:
            yield f"{path or 'it'} is {type_}, known as {' or '.join(sorted(self._types))}"
        elif isinstance(found, dict):
            under = f"{path}." if path else ""
            yield from (f"{under}{name} is missing" for name in sorted((self._needed or set()) - set(found)))
            for name, value in found.items():
                if shape := self._fields.get(name) or self._fields.get(...):
                    yield from shape.differences(value, under + name)
                else:
                    yield f"{under}{name} is unknown ({_type(value)})"
        elif isinstance(found, list) and self._items is not None:
            for item in found:
                yield from self._items.differences(item, f"{path}[]")


def _type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}
    return "null" if value is None else names[type(value)]
