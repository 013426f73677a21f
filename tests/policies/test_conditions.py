"""The vocabulary of `when` as a whole; each condition's meaning is in cases/."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.conditions import CONDITIONS, why_not
from policies.policy import When
from policies.types import Ask, Snapshot

NOBODY = Snapshot(datetime(2026, 1, 1, tzinfo=UTC), {})
hashes = st.integers(0, 2**64 - 1)
percents = st.floats(0, 100)


def when(**conditions: object) -> When:
    return When.model_validate(conditions)


def holds(conditions: When, ask: Ask, snapshot: Snapshot) -> bool:
    return not why_not(conditions, ask, snapshot)


def test_every_field_of_when_has_a_meaning_and_every_meaning_a_field() -> None:
    assert [field.alias or name for name, field in When.model_fields.items()] == list(CONDITIONS)


def test_no_condition_always_holds() -> None:
    assert why_not(When(), Ask(1, ("zh",), 1.0), NOBODY) == ""


@pytest.mark.parametrize("by", ["key", "text", "request"])
@settings(deadline=None)
@given(hashes, percents, percents)
def test_a_larger_share_includes_a_smaller_one(by: str, drawn: int, one: float, other: float) -> None:
    ask = Ask(1, ("zh",), 1.0, text_hash=drawn, key_hash=drawn, request_hash=drawn)
    small, large = (holds(when(share={"percent": p, "by": by}), ask, NOBODY) for p in sorted((one, other)))
    assert large or not small


@settings(deadline=None)
@given(hashes)
def test_a_share_of_all_always_holds_and_of_nothing_never(drawn: int) -> None:
    ask = Ask(1, ("zh",), 1.0, request_hash=drawn)
    assert holds(when(share={"percent": 100}), ask, NOBODY)
    assert not holds(when(share={"percent": 0}), ask, NOBODY)


def test_an_engine_that_is_not_there_counts_as_not_ready() -> None:
    ask = Ask(1, ("zh",), 1.0)
    for name in ("load_above", "wait_above_ms", "first_audio_above_ms"):
        assert holds(when(**{name: {"ghost": 1e9}}), ask, NOBODY)
    assert not holds(when(load_below={"ghost": 1e9}), ask, NOBODY)
    assert not holds(when(healthy=["ghost"]), ask, NOBODY)
    assert holds(when(unhealthy=["ghost"]), ask, NOBODY)
    assert why_not(when(healthy=["ghost"]), ask, NOBODY) == "healthy [ghost]: ghost is not there"


def test_why_not_names_the_first_condition_that_fails() -> None:
    ask = Ask(50, ("fr",), 1.0)
    assert why_not(when(max_chars=40, languages=["zh"]), ask, NOBODY) == "max_chars 40: the text has 50 characters"
    assert why_not(when(max_chars=60, languages=["zh"]), ask, NOBODY) == "languages [zh]: the text is in fr"


def test_why_not_of_a_denial_names_what_holds() -> None:
    ask = Ask(50, ("zh",), 1.0)
    denied = when(**{"not": {"min_chars": 10, "max_chars": 90, "languages": ["fr"]}})
    assert why_not(denied, ask, NOBODY).endswith(": min_chars 10 and max_chars 90 hold")
