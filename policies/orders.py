"""The orders in which a rule's engines are tried: pure functions in a table, each with a reason for every engine.

What an order needs of chance comes from the hashes of the `Ask`, so that the same request is always ordered alike.
Health plays no part here: an engine that is down keeps the place that it would have, because the cache and the word
"degraded" are measured against what the rule prefers. Knows nothing about conditions, skips or plans.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from policies.policy import Order, Use
from policies.types import HASHES, Ask, EngineState, Snapshot

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


class Ranked(NamedTuple):
    """An engine at its place, and why it stands there."""

    engine: str
    reason: str


def listed(uses: Sequence[Use], ask: Ask, snapshot: Snapshot) -> list[Ranked]:
    """As the rule lists them."""
    return [Ranked(use.engine, f"listed {ordinal(place)}") for place, use in enumerate(uses)]


def weighted(uses: Sequence[Use], ask: Ask, snapshot: Snapshot) -> list[Ranked]:
    """Drawn by lot without putting back, in proportion to the weights (1 where none is given).

    An exponential race: each engine arrives after -ln(u)/weight, u uniform in (0, 1), and the first to arrive is an
    engine with the chance weight/total; so again among the others (Efraimidis and Spirakis 2006, algorithm A-ES).
    """
    total = sum(use.weight or 1.0 for use in uses)

    def arrival(use: Use) -> float:
        return -math.log((lot(use.engine, ask.request_hash) + 0.5) / HASHES) / (use.weight or 1.0)

    return [
        Ranked(use.engine, f"weighted: drawn {ordinal(place)}, weight {use.weight or 1.0:g} of {total:g}")
        for place, use in enumerate(sorted(uses, key=arrival))
    ]


def fastest(uses: Sequence[Use], ask: Ask, snapshot: Snapshot) -> list[Ranked]:
    """By the seconds that the first audio is expected to take, queue included; ties as listed.

    An engine that was never measured must get its chance, but must not hide a known one for long. So it goes first
    while it is up and idle, which lets one request at a time find out, and last while it is busy. One that is not up
    cannot find out anything: it counts like the best that is known, so that it stands where the list puts it.
    """
    known = {use.engine: _expected_s(snapshot.engines.get(use.engine), ask) for use in uses}
    measured = [seconds for seconds in known.values() if seconds is not None]
    best = min(measured, default=0.0)
    untried = -1.0 if measured else best  # where nothing is known of any, the list alone decides

    def place(use: Use) -> float:
        seconds = known[use.engine]
        if seconds is not None:
            return seconds
        state = snapshot.engines.get(use.engine)
        if state is None or state.state != "up":
            return best
        return math.inf if state.busy or state.queued else untried

    def reason(engine: str) -> str:
        seconds = known[engine]
        return "fastest: not measured yet" if seconds is None else f"fastest: {figure(seconds)} s to first audio"

    return [Ranked(use.engine, reason(use.engine)) for use in sorted(uses, key=place)]


def least_busy(uses: Sequence[Use], ask: Ask, snapshot: Snapshot) -> list[Ranked]:
    """By busy plus queued over slots; ties as listed."""

    def load(use: Use) -> float:
        state = snapshot.engines.get(use.engine)
        return math.inf if state is None else (state.busy + state.queued) / max(state.slots, 1)

    return [Ranked(use.engine, f"least busy: load {figure(load(use))}") for use in sorted(uses, key=load)]


def cheapest(uses: Sequence[Use], ask: Ask, snapshot: Snapshot) -> list[Ranked]:
    """By the cost of 1000 characters of such a text; ties as listed."""

    def cost(use: Use) -> float:
        state = snapshot.engines.get(use.engine)
        return math.inf if state is None else state.cost_per_1k_in(ask.languages)

    return [Ranked(use.engine, f"cheapest: {figure(cost(use))} per 1000 characters") for use in sorted(uses, key=cost)]


def spread(uses: Sequence[Use], ask: Ask, snapshot: Snapshot) -> list[Ranked]:
    """By rendezvous hashing of the text: equal texts stay on one engine, and taking an engine away moves its own alone.

    Thaler and Ravishankar 1998: each engine scores hash(engine, text), the highest wins.
    """
    ranked = sorted(uses, key=lambda use: lot(use.engine, ask.text_hash), reverse=True)
    return [Ranked(use.engine, f"spread: {ordinal(place)} for this text") for place, use in enumerate(ranked)]


def lot(engine: str, seed: int) -> int:
    """64 bits from an engine's name and a 64-bit hash, the same in every process and release."""
    key = (seed % HASHES).to_bytes(8, "little")
    return int.from_bytes(blake2b(engine.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest(), "little")


def ordinal(place: int) -> str:
    """`first` for 0, … in figures after the tenth."""
    if place < len(_ORDINALS):
        return _ORDINALS[place]
    number = place + 1
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def figure(number: float) -> str:
    """A number for people: 0.0124 as 0.012, 12.34 as 12.3."""
    return f"{number:.2g}" if abs(number) < 1 else f"{number:.1f}".removesuffix(".0")


def _expected_s(state: EngineState | None, ask: Ask) -> float | None:
    return None if state is None else state.expected_first_audio_s(ask.audio_s)


#: by the names that YAML uses
ORDERS: Mapping[Order, Callable[[Sequence[Use], Ask, Snapshot], list[Ranked]]] = {
    "listed": listed,
    "weighted": weighted,
    "fastest": fastest,
    "least_busy": least_busy,
    "cheapest": cheapest,
    "spread": spread,
}
