"""Counters and histograms, fed with finished requests and with what the board hears.

A clip from the cache takes some 200 µs altogether, so what is done for one is three additions: what a set of labels
stands for is looked up once and remembered. Knows nothing about HTTP, nor about gauges, which are read when asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram

from gateway.record import Served
from gateway.telemetry import catalog
from gateway.telemetry.access import degradation
from gateway.telemetry.catalog import METRICS, Counted, Spread
from gateway.telemetry.processes import Sample

Add = Callable[[float], None]


class Told(NamedTuple):
    """What every request adds to, for one set of labels."""

    request: Add
    seconds: Add
    audio_s: Add


class Metrics:
    """One process's own, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._counters = {
            one.name: Counter(one.name, one.about, one.labels, registry=self._registry)
            for one in METRICS
            if isinstance(one, Counted)
        }
        self._histograms = {
            one.name: Histogram(one.name, one.about, one.labels, registry=self._registry, buckets=one.bounds)
            for one in METRICS
            if isinstance(one, Spread)
        }
        self._adders: dict[tuple[str, ...], Add] = {}
        self._told: dict[tuple[str, ...], Told] = {}

    def add(self, metric: Counted, *labels: str, by: float = 1.0) -> None:
        self._adder(metric, labels)(by)

    def observe(self, metric: Spread, value: float, *labels: str) -> None:
        self._adder(metric, labels)(value)

    def _adder(self, metric: Counted | Spread, labels: tuple[str, ...]) -> Add:
        """The method that takes a value for these labels; found once."""
        place = (metric.name, *labels)
        adder = self._adders.get(place)
        if adder is None:
            if isinstance(metric, Counted):
                counter = self._counters[metric.name]
                adder = (counter.labels(*labels) if labels else counter).inc
            else:
                histogram = self._histograms[metric.name]
                adder = (histogram.labels(*labels) if labels else histogram).observe
            self._adders[place] = adder
        return adder

    def samples(self) -> Iterator[Sample]:
        """Everything counted so far; from any thread."""
        for family in self._registry.collect():
            for name, labels, value, *_ in family.samples:
                if not name.endswith("_created"):
                    yield Sample(name, labels, value)

    # --- what the board hears ---

    def waited(self, engine: str, wait_s: float) -> None:
        self.observe(catalog.QUEUE_WAIT, wait_s, engine)

    def worked(self, engine: str, work_s: float, audio_s: float) -> None:
        if audio_s > 0:
            self.observe(catalog.REAL_TIME_FACTOR, work_s / audio_s, engine)

    # --- requests ---

    def error(self, status: str, code: str) -> None:
        """One answer that is an error."""
        self.add(catalog.ERRORS, status, code)

    def served(self, served: Served) -> None:
        """One finished request."""
        rule = served.plan.rule if served.plan else ""
        facts = (rule, served.outcome, served.cache, served.format, served.engine)
        told = self._told.get(facts) or self._tell(facts)
        told.request(1.0)
        told.seconds(served.total_s or 0.0)
        told.audio_s(served.audio_s)
        if served.degraded:
            self.add(catalog.DEGRADED, *degradation(served), served.engine)
        if served.cache != "hit":
            self._spoken(served)

    def _tell(self, facts: tuple[str, str, str, str, str]) -> Told:
        *about, engine = facts
        cache = facts[2]
        told = self._told[facts] = Told(
            self._adder(catalog.REQUESTS, tuple(about)),
            self._adder(catalog.REQUEST, (cache,)),
            self._adder(catalog.AUDIO, (engine, cache)) if engine else _nowhere,
        )
        return told

    def _spoken(self, served: Served) -> None:
        """What only a request has that engines worked for."""
        engine = served.engine
        for attempt in served.attempts:
            code = attempt.error or ("left" if attempt.ended_s is None else "ok")
            self.add(catalog.ATTEMPTS, attempt.engine, code)
            if attempt.cost:
                self.add(catalog.COST, attempt.engine, by=attempt.cost)
        if not engine:
            return
        if served.underruns:
            self.add(catalog.UNDERRUNS, engine, by=served.underruns)
            self.add(catalog.UNDERRUN, engine, by=served.underrun_s)
        if served.outcome == "interrupted":
            self.add(catalog.TRUNCATED, engine)
        if served.cache != "follow":
            self.add(catalog.CHARACTERS, engine, by=served.chars)
            if served.first_audio_s is not None:
                self.observe(catalog.FIRST_AUDIO, served.first_audio_s, engine)


def _nowhere(_: float) -> None:
    """For requests that nobody spoke."""
