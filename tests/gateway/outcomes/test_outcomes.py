"""Outcomes: found by id while they run and after, forgotten by number and by age."""

from __future__ import annotations

import gc
from datetime import UTC, datetime

import pytest

from gateway.outcomes.outcomes import MemoryOutcomes
from gateway.record import Attempt, Outcome, Served
from tests.virtual import VirtualClock


def served(name: str) -> Served:
    return Served(name, datetime.now(UTC))


async def test_a_running_request_is_found_and_seen_to_end() -> None:
    outcomes = MemoryOutcomes(10, 60, VirtualClock())
    one = served("a")
    await outcomes.put(one)
    one.outcome = "complete"
    found = await outcomes.get("a")
    assert found is not None
    assert found.outcome == "complete"
    assert await outcomes.get("b") is None


async def test_ended_requests_are_nothing_that_garbage_collection_goes_through() -> None:
    outcomes = MemoryOutcomes(10, 60, VirtualClock())
    one = served("a")
    one.outcome = "complete"
    await outcomes.put(one)
    assert await outcomes.get("a") == one
    assert not any(gc.is_tracked(record) for _, record, _ in outcomes._kept.values())


async def test_the_oldest_is_forgotten_beyond_the_number_kept() -> None:
    outcomes = MemoryOutcomes(2, 60, VirtualClock())
    for name in "abc":
        await outcomes.put(served(name))
    assert [await outcomes.get(name) is not None for name in "abc"] == [False, True, True]


async def test_an_outcome_is_forgotten_after_its_time() -> None:
    clock = VirtualClock()
    outcomes = MemoryOutcomes(10, 60, clock)
    await outcomes.put(served("a"))
    clock.advance(61)
    assert await outcomes.get("a") is None
    await outcomes.put(served("b"))
    assert list(outcomes._kept) == ["b"]


@pytest.mark.parametrize(("outcome", "most_bytes"), [("running", 100_000), ("complete", 30_000)])
async def test_large_records_push_out_older_ones(
    monkeypatch: pytest.MonkeyPatch, outcome: Outcome, most_bytes: int
) -> None:
    monkeypatch.setattr("gateway.outcomes.outcomes.MOST_BYTES", most_bytes)
    outcomes = MemoryOutcomes(10_000, 60, VirtualClock())
    for n in range(10):
        one = served(str(n))
        one.outcome = outcome
        one.attempts = [Attempt("espeak", "v", clause, 0.0, error="busy") for clause in range(100)]
        await outcomes.put(one)
    found = [await outcomes.get(str(n)) is not None for n in range(10)]
    assert found == [False] * 8 + [True] * 2
