"""What only shows across the fields of policies.yaml: names given twice, weights that no order reads.

Works on plain data, of which any part may be malformed: what other checks complain about is passed over here,
so that all errors of a file can be told at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import InitErrorDetails

from policies.strict import Loc, problem


def find_across(data: object) -> list[InitErrorDetails]:
    """The errors of a whole policies.yaml that no single field shows."""
    whole = fields(data)
    default_order = fields(whole.get("defaults")).get("order", "listed")
    found: list[InitErrorDetails] = []
    first_named: dict[str, int] = {}
    for index, rule in enumerate(items(whole.get("rules"))):
        loc: Loc = ("rules", index)
        name = fields(rule).get("name")
        if isinstance(name, str) and name in first_named:
            before = first_named[name] + 1
            found.append(problem((*loc, "name"), f"rule {before} is named {name!r} too: give each its own name"))
        elif isinstance(name, str):
            first_named[name] = index
        found += _uses(fields(rule), loc, default_order)
    return found


def _uses(rule: Mapping[Any, Any], loc: Loc, default_order: object) -> Iterator[InitErrorDetails]:
    weighted = rule.get("order", default_order) == "weighted"
    seen: set[str] = set()
    for index, item in enumerate(items(rule.get("use"))):
        engine = engine_of(item)
        if engine and engine in seen:
            yield problem((*loc, "use", index), f"{engine!r} is listed twice: take one out")
        seen.add(engine)
        if fields(item).get("weight") is not None and not weighted:
            yield problem(
                (*loc, "use", index, "weight"),
                "a weight without `order: weighted`: set that order in the rule or in `defaults`, or take it out",
            )


def engine_of(item: object) -> str:
    """The engine that one item of `use` names; empty when it names none."""
    named = fields(item).get("engine", item)
    return named if isinstance(named, str) else ""


def fields(value: object) -> Mapping[Any, Any]:
    """`value` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[Any]:
    """`value` if it is a list, else an empty one."""
    return list(value) if isinstance(value, list | tuple) else []
