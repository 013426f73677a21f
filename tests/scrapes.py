"""Answers to scrapes, read as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Value = Callable[..., float]


def values_in(text: str) -> Value:
    """A function that gives the value of the sample with that name and those labels; 0 when it is not there."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            place = sample.name, frozenset(sample.labels.items())
            assert place not in found, f"twice: {place}"
            found[place] = sample.value

    def value(name: str, **labels: Any) -> float:
        return found.get((name, frozenset(labels.items())), 0.0)

    return value
