"""The answer to a scrape: counters, histograms and gauges of all processes of this gateway, as text.

Knows nothing about where gauges come from, nor of HTTP more than the `Accept` of whoever asks.
"""

from __future__ import annotations

import asyncio
import logging
import operator
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from gateway.telemetry.catalog import LAG, METRICS, Across, Counted, Gauged, Metric, Spread
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.processes import Part, Sample, Siblings
from gateway.telemetry.pulse import BEAT_S, Pulse
from gateway.telemetry.standing import Standing

logger = logging.getLogger("voxgate.metrics")

_KINDS = {Counted: "counter", Spread: "histogram", Gauged: "gauge"}
_COMBINED: dict[Across, Callable[[float, float], float]] = {"sum": operator.add, "min": min, "max": max}


class Exposition:
    """`async with` it while the gateway runs. `siblings`: the other processes; None where there is only one."""

    def __init__(self, metrics: Metrics, standing: Standing, siblings: Siblings | None) -> None:
        self._metrics, self._standing, self._siblings = metrics, standing, siblings
        self._told: dict[tuple[str, tuple[str, ...]], float] = {}  # totals, as they were added last
        self._pulse = Pulse(self._beat)
        self._unshared = ""  # why the files of the processes could not be used

    async def __aenter__(self) -> Self:
        if self._siblings:
            await asyncio.to_thread(self._exchange, Part([]), bury=True)
        await self._pulse.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pulse.__aexit__(kind, error, trace)
        await self._beat()

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The answer and its media type: Prometheus' own text, or OpenMetrics where that is asked for."""
        gauges = self._gauges()
        # in a thread: files are read, and with many engines it is milliseconds of work while somebody may be speaking
        return await asyncio.to_thread(self._text, gauges, accept)

    def _text(self, gauges: list[Sample], accept: str) -> tuple[bytes, str]:
        encode, media_type = choose_encoder(accept)
        ours = self._ours(gauges)
        return encode(_Families([ours, *self._exchange(ours)])), media_type

    async def _beat(self) -> None:
        if self._siblings:
            gauges = self._gauges()
            await asyncio.to_thread(lambda: self._exchange(self._ours(gauges)))

    def _gauges(self) -> list[Sample]:
        """How this process stands, with what others counted for us; for the event loop's thread."""
        for counted, labels, total in self._standing.totals():
            place = (counted.name, labels)
            if (new := total - self._told.get(place, 0.0)) > 0:
                self._metrics.add(counted, *labels, by=new)
                self._told[place] = total
        gauges = [
            Sample(gauge.name, dict(zip(gauge.labels, labels, strict=True)), float(value))
            for gauge, labels, value in self._standing.gauges()
        ]
        return [*gauges, Sample(LAG.name, {}, self._pulse.late_s)]

    def _ours(self, gauges: list[Sample]) -> Part:
        return Part([*self._metrics.samples(), *gauges])

    def _exchange(self, ours: Part, *, bury: bool = False) -> list[Part]:
        """Tell the other processes how we are, and hear how they are. A full disk costs their part of the answer."""
        if not self._siblings:
            return []
        try:
            self._siblings.write(ours.samples)
            if bury:
                self._siblings.bury(_GROWING)
            others, reason = self._siblings.read(), ""
        except OSError as error:
            others, reason = [], str(error)
        if reason and reason != self._unshared:
            logger.warning("metrics of the other processes are missing: %s", reason)
        self._unshared = reason
        return others


def sample_names(metric: Metric) -> tuple[str, ...]:
    """What the lines of a metric are called."""
    if isinstance(metric, Spread):
        return f"{metric.name}_bucket", f"{metric.name}_count", f"{metric.name}_sum"
    return (metric.name,)


_OF = {name: metric for metric in METRICS for name in sample_names(metric)}
_GROWING = [name for name, metric in _OF.items() if not isinstance(metric, Gauged)]

Labels = tuple[tuple[str, str], ...]
#: name and labels of a sample
Place = tuple[str, Labels]


class _Families(Collector):
    """Parts made one: of each metric, all samples; those of one set of labels stand together, as OpenMetrics wants."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._found: dict[str, dict[Labels, dict[Place, float]]] = {one.name: {} for one in METRICS}
        for part in parts:
            for sample in part.samples:
                self._add(sample, part)

    def _add(self, sample: Sample, part: Part) -> None:
        metric, value = _OF[sample.name], sample.value
        if isinstance(metric, Gauged) and not part.lives:
            return
        if metric is LAG:  # a process that stands still writes nothing
            value = max(value, part.age_s - BEAT_S)
        labels = tuple(sample.labels.items())
        group = tuple(one for one in labels if one[0] != "le")
        places = self._found[metric.name].setdefault(group, {})
        place = (sample.name, labels)
        if place in places:
            value = _COMBINED[metric.across if isinstance(metric, Gauged) else "sum"](places[place], value)
        places[place] = value

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            family = Family(metric.name.removesuffix("_total"), metric.about, _KINDS[type(metric)])
            for places in self._found[metric.name].values():
                for (name, labels), value in places.items():
                    family.add_sample(name, dict(labels), value)
            yield family
