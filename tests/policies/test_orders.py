"""The orders that chance decides: proportions and stability, over many hashes."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.contract import EngineInfo
from policies.orders import ORDERS, Ranked, figure, lot, ordinal
from policies.policy import Use
from policies.types import Ask, EngineState, Snapshot

NOBODY = Snapshot(datetime(2026, 1, 1, tzinfo=UTC), {})
hashes = st.integers(0, 2**64 - 1)
names = st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True)


def ask(number: int) -> Ask:
    """An ask whose hashes are spread as those of real requests are."""
    drawn = lot("seed of the tests", number)
    return Ask(10, ("zh",), 2.0, text_hash=drawn, request_hash=drawn)


def engines(ranked: list[Ranked]) -> list[str]:
    return [one.engine for one in ranked]


def test_the_cheapest_is_so_for_such_a_text() -> None:
    """One whose account is charged twice for each Han character is cheaper only where there are few."""
    twice = EngineState("twice", cost_per_1k_chars=0.1, info=EngineInfo(han_counts=2))
    snapshot = Snapshot(NOBODY.now, {"once": EngineState("once", cost_per_1k_chars=0.15), "twice": twice})
    uses = [Use(engine="once"), Use(engine="twice")]
    assert engines(ORDERS["cheapest"](uses, Ask(10, ("zh", "en"), 2.0), snapshot)) == ["once", "twice"]
    assert engines(ORDERS["cheapest"](uses, Ask(10, ("en", "zh"), 2.0), snapshot)) == ["twice", "once"]


def test_weights_are_the_proportions_of_first_choices() -> None:
    uses = [Use(engine="a", weight=1), Use(engine="b", weight=3), Use(engine="c", weight=6)]
    firsts = Counter(ORDERS["weighted"](uses, ask(i), NOBODY)[0].engine for i in range(20000))
    # three standard deviations of a share of 0.6 among 20000 are 0.0104
    assert {name: count / 20000 for name, count in firsts.items()} == pytest.approx(
        {"a": 0.1, "b": 0.3, "c": 0.6}, abs=0.0104
    )


def test_what_is_left_is_drawn_in_proportion_too() -> None:
    uses = [Use(engine="a", weight=1), Use(engine="b", weight=3), Use(engine="c", weight=6)]
    drawn = [engines(ORDERS["weighted"](uses, ask(i), NOBODY)) for i in range(20000)]
    after_c = Counter(order[1] for order in drawn if order[0] == "c")
    assert after_c["b"] / after_c.total() == pytest.approx(0.75, abs=0.012)


def test_no_weight_counts_as_one() -> None:
    uses = [Use(engine="a"), Use(engine="b", weight=3)]
    firsts = Counter(ORDERS["weighted"](uses, ask(i), NOBODY)[0].engine for i in range(10000))
    assert firsts["b"] / 10000 == pytest.approx(0.75, abs=0.013)


def test_more_weight_never_moves_an_engine_back() -> None:
    for i in range(200):
        places = [
            engines(ORDERS["weighted"]([Use(engine="a"), Use(engine="b", weight=weight)], ask(i), NOBODY)).index("b")
            for weight in (0.1, 1, 10)
        ]
        assert places == sorted(places, reverse=True)


@settings(deadline=None)
@given(names, hashes)
def test_every_order_keeps_every_engine_once(engine_names: list[str], drawn: int) -> None:
    uses = [Use(engine=name) for name in engine_names]
    asked = Ask(10, ("zh",), 2.0, text_hash=drawn, request_hash=drawn)
    known = Snapshot(NOBODY.now, {name: EngineState(name) for name in engine_names[::2]})
    for order, snapshot in itertools.product(ORDERS.values(), (NOBODY, known)):
        assert sorted(engines(order(uses, asked, snapshot))) == sorted(engine_names)


@settings(deadline=None)
@given(names, hashes, st.data())
def test_taking_an_engine_away_moves_only_its_own_texts(
    engine_names: list[str], drawn: int, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(engine_names))
    asked = Ask(10, ("zh",), 2.0, text_hash=drawn)
    before = engines(ORDERS["spread"]([Use(engine=name) for name in engine_names], asked, NOBODY))
    after = engines(ORDERS["spread"]([Use(engine=name) for name in engine_names if name != gone], asked, NOBODY))
    assert after == [name for name in before if name != gone]


def test_texts_are_spread_evenly() -> None:
    uses = [Use(engine=name) for name in "abcd"]
    firsts = Counter(ORDERS["spread"](uses, ask(i), NOBODY)[0].engine for i in range(20000))
    assert {name: count / 20000 for name, count in firsts.items()} == pytest.approx(
        dict.fromkeys("abcd", 0.25), abs=0.01
    )


def test_spread_does_not_depend_on_the_order_of_the_list() -> None:
    for i in range(50):
        found = {
            tuple(engines(ORDERS["spread"]([Use(engine=name) for name in listed], ask(i), NOBODY)))
            for listed in itertools.permutations("abc")
        }
        assert len(found) == 1


def test_a_lot_is_the_same_in_every_release() -> None:
    # a change here moves every text to another engine, and every cached clip out of reach
    assert lot("indextts", 1) == 16620712241821723355
    assert lot("indextts", 2**64 + 1) == lot("indextts", 1)


@pytest.mark.parametrize(
    ("place", "word"),
    [(0, "first"), (9, "tenth"), (10, "11th"), (12, "13th"), (20, "21st"), (21, "22nd"), (110, "111th")],
)
def test_places_are_told_in_words(place: int, word: str) -> None:
    assert ordinal(place) == word


@pytest.mark.parametrize(("number", "shown"), [(0, "0"), (0.0124, "0.012"), (0.4, "0.4"), (2, "2"), (12.34, "12.3")])
def test_figures_are_short(number: float, shown: str) -> None:
    assert figure(number) == shown
