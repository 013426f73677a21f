"""What both forms of the buckets do, in memory and in Redis."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clock import SystemClock
from gateway.configuration.settings import Redis as Settings
from gateway.limits.buckets import LEASE_S, Correction, Draw, Place, Taken
from gateway.limits.gcra import NEVER, Bucket
from gateway.limits.memory import MemoryBuckets
from gateway.redis.buckets import RedisBuckets
from gateway.redis.store import Store
from tests.redis_at_hand import RedisServer
from tests.virtual import VirtualClock

from .conftest import Turned

S = 1_000_000
REQUESTS = Bucket("requests", 6, 60 * S)
CHARACTERS = Bucket("characters", 30, 60 * S)
AUDIO = Bucket("audio", 40, 86_400 * S, debt=True)


async def draw(turned: Turned, *units: tuple[Bucket, int], place: Place | None = None, owner: str = "one") -> Taken:
    return await turned.buckets.take(owner, tuple(Draw(bucket, count) for bucket, count in units), place)


async def remaining(turned: Turned, bucket: Bucket) -> int:
    return (await draw(turned, (bucket, 0))).levels[0].remaining


async def test_all_is_taken_or_nothing(turned: Turned) -> None:
    await draw(turned, (CHARACTERS, 25))
    refused = await draw(turned, (REQUESTS, 1), (CHARACTERS, 6), (AUDIO, 5), place=Place("a", 1))
    assert not refused.granted
    assert [level.wait_us for level in refused.levels] == [0, 2 * S, 0]
    assert [await remaining(turned, bucket) for bucket in (REQUESTS, CHARACTERS, AUDIO)] == [6, 5, 40]
    granted = await draw(turned, (REQUESTS, 1), (CHARACTERS, 5), (AUDIO, 5), place=Place("a", 1))
    assert granted.granted
    assert [level.remaining for level in granted.levels] == [5, 0, 35]


async def test_there_is_room_again_when_it_was_said(turned: Turned) -> None:
    await draw(turned, (REQUESTS, 6))
    wait_us = (await draw(turned, (REQUESTS, 1))).levels[0].wait_us
    assert wait_us == 10 * S
    turned.clock.advance(9.999)
    assert not (await draw(turned, (REQUESTS, 1))).granted
    turned.clock.advance(0.001)
    assert (await draw(turned, (REQUESTS, 1))).granted


async def test_owners_share_nothing(turned: Turned) -> None:
    await draw(turned, (REQUESTS, 6), place=Place("a", 1))
    for owner in ("two", "", "one}", "{one"):
        assert (await draw(turned, (REQUESTS, 6), place=Place("a", 1), owner=owner)).granted


async def test_more_than_a_bucket_is_never_granted(turned: Turned) -> None:
    assert (await draw(turned, (CHARACTERS, 31))).levels[0].wait_us == NEVER


async def test_places_are_as_many_as_there_are_and_come_back(turned: Turned) -> None:
    first, second, third = (Place(lease, 2) for lease in "abc")
    assert (await draw(turned, place=first)).granted
    assert (await draw(turned, place=second)).granted
    refused = await draw(turned, (REQUESTS, 1), place=third)
    assert (refused.granted, refused.crowded) == (False, True)
    assert await remaining(turned, REQUESTS) == 6
    await turned.buckets.leave("one", first)
    await turned.buckets.leave("one", first)  # once more does no harm
    assert (await draw(turned, place=third)).granted
    assert (await draw(turned, place=first)).crowded


async def test_a_place_that_nobody_renews_is_free_again(turned: Turned) -> None:
    kept, lost = Place("kept", 2), Place("lost", 2)
    await draw(turned, place=kept)
    await draw(turned, place=lost)
    turned.clock.advance(LEASE_S - 1)
    await turned.buckets.renew("one", kept)
    assert (await draw(turned, place=Place("new", 2))).crowded
    turned.clock.advance(1)
    assert (await draw(turned, place=Place("new", 2))).granted
    assert (await draw(turned, place=Place("newer", 2))).crowded


async def test_a_place_is_held_again_by_who_renews_it_after_it_was_forgotten(turned: Turned) -> None:
    await turned.buckets.renew("one", Place("a", 1))
    assert (await draw(turned, place=Place("b", 1))).crowded


async def test_a_clock_that_jumps_back_empties_a_bucket_for_one_period_at_most(turned: Turned) -> None:
    await draw(turned, (REQUESTS, 1), place=Place("lost", 1))
    turned.clock.advance(-600)
    taken = await draw(turned, (REQUESTS, 1), place=Place("new", 1))
    assert (taken.crowded, taken.levels[0].wait_us) == (False, 10 * S)
    turned.clock.advance(60)
    assert (await draw(turned, (REQUESTS, 6), place=Place("new", 1))).granted


async def test_what_was_not_used_comes_back_and_what_was_used_beyond_becomes_debt(turned: Turned) -> None:
    at_us = (await draw(turned, (CHARACTERS, 20), (AUDIO, 40))).at_us
    await turned.buckets.correct("one", (Correction(CHARACTERS, 20, 0, at_us), Correction(AUDIO, 40, 50, at_us)))
    levels = (await draw(turned, (CHARACTERS, 0), (AUDIO, 0))).levels
    assert [level.remaining for level in levels] == [30, 0]
    assert levels[1].reset_us == 50 * AUDIO.interval_us


async def test_idle_owners_are_forgotten_in_memory() -> None:
    clock = VirtualClock()
    buckets = MemoryBuckets(clock)
    for number in range(20_000):
        place = Place("a", 1)
        await buckets.take(str(number), (Draw(REQUESTS, 1), Draw(AUDIO, 0)), place)
        await buckets.leave(str(number), place)
        clock.advance(0.01)
    assert len(buckets._tats_us) < 3000  # some 1000 are not full again
    assert not buckets._leases_us


# --- the two forms against each other ---

UNITS = st.integers(0, 9)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), UNITS, UNITS, UNITS, st.integers(0, 4)),
        st.tuples(st.just("correct"), st.integers(0, 50), UNITS, UNITS),
        st.tuples(st.just("renew"), st.integers(0, 4)),
        st.tuples(st.just("leave"), st.integers(0, 4)),
        # the clock goes on, mostly; the keys' time to live is Redis's own, and these limits outlast a test
        st.tuples(st.just("pass"), st.sampled_from([0, 0.000001, 0.5, 3, 10, 31, 70, 9000, -0.5, -20, -700])),
    ),
    max_size=30,
)


class Played:
    """One form, played step by step; it tells what it answered."""

    def __init__(self, turned: Turned, owner: str) -> None:
        self._turned, self._owner = turned, owner
        self._taken: list[tuple[Taken, tuple[int, int, int]]] = []

    async def play(self, step: tuple[Any, ...]) -> object:
        name, *numbers = step
        buckets = self._turned.buckets
        if name == "take":
            draws = tuple(map(Draw, (REQUESTS, CHARACTERS, AUDIO), numbers))
            # a place that is held is not taken twice: leases have names of their own
            place = Place(f"lease {len(self._taken)}", 3) if numbers[3] else None
            taken = await buckets.take(self._owner, draws, place)
            self._taken.append((taken, (numbers[0], numbers[1], numbers[2])))
            return taken
        if name == "correct":
            if self._taken:
                taken, units = self._taken[numbers[0] % len(self._taken)]
                await buckets.correct(
                    self._owner,
                    (
                        Correction(CHARACTERS, units[1], min(numbers[1], units[1]), taken.at_us),
                        Correction(AUDIO, units[2], numbers[2] * 4, taken.at_us),
                    ),
                )
        elif name == "pass":
            self._turned.clock.advance(numbers[0])
        else:
            await getattr(buckets, name)(self._owner, Place(f"lease {numbers[0]}", 3))
        return None


_owners = itertools.count()


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_both_forms_answer_the_same_to_the_same(shared_redis: RedisServer, steps: list[tuple[Any, ...]]) -> None:
    async def compare() -> None:
        ours, theirs = VirtualClock(), VirtualClock()
        store = Store(Settings(url=shared_redis.unix_url, budget_ms=5000), {}, SystemClock())
        owner = f"owner {next(_owners)}"
        try:
            memory = Played(Turned(MemoryBuckets(ours), ours), owner)
            redis = Played(Turned(RedisBuckets(store, lambda: int(theirs.monotonic() * S)), theirs), owner)
            look: tuple[Any, ...] = ("take", 0, 0, 0, 0)
            for step in steps:
                assert await memory.play(step) == await redis.play(step)
                assert await memory.play(look) == await redis.play(look)
        finally:
            await store.aclose()

    asyncio.run(compare())


@pytest.mark.parametrize("now_us", [1_795_000_000_123_457, 2**53 - 10**12])
async def test_microseconds_since_1970_are_exact_in_lua(shared_redis: RedisServer, now_us: int) -> None:
    store = Store(Settings(url=shared_redis.unix_url, budget_ms=5000), {}, SystemClock())
    try:
        buckets = RedisBuckets(store, lambda: now_us)
        odd = Bucket("characters", 7, 60 * S)
        for count in range(1, 8):
            taken = await buckets.take("one", (Draw(odd, 1),), None)
            assert (taken.granted, taken.at_us) == (True, now_us)
            assert taken.levels[0].reset_us == count * odd.interval_us
    finally:
        await store.aclose()
