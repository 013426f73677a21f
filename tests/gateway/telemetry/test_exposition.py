"""One answer of one process, or of several."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.telemetry import catalog
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.processes import Siblings
from gateway.telemetry.standing import Reading, Total
from tests.scrapes import Value, values_in


class Standing:
    """Two gauges that add up differently, one that goes away, and a total."""

    engines = ("a",)
    total = 5.0

    def gauges(self) -> Iterator[Reading]:
        yield catalog.IN_FLIGHT, (), 3
        yield catalog.CAN_SPEAK, (), 1
        for engine in self.engines:
            yield catalog.ENGINE_UP, (engine,), 1

    def totals(self) -> Iterator[Total]:
        yield catalog.RELOADS, ("succeeded",), self.total


def exposition(folder: Path | None = None) -> tuple[Exposition, Metrics, Standing]:
    metrics, standing = Metrics(), Standing()
    siblings = Siblings(folder) if folder else None
    return Exposition(metrics, standing, siblings), metrics, standing  # type: ignore[arg-type]


async def scrape(of: Exposition, accept: str = "") -> Value:
    return values_in((await of.text(accept))[0].decode())


def neighbour(folder: Path, *samples: tuple[str, dict[str, str], float], process: int = os.getppid()) -> Path:
    """The file of another process, by default one that lives."""
    file = folder / f"{process}.json"
    file.write_text(json.dumps(samples))
    return file


async def test_gauges_are_read_when_asked_for_and_labels_that_are_gone_go() -> None:
    answer, _, standing = exposition()
    assert (await scrape(answer))("voxgate_engine_up", engine="a") == 1
    standing.engines = ()
    assert b'engine="a"' not in (await answer.text(""))[0]


async def test_totals_that_others_keep_are_added_once() -> None:
    answer, _, standing = exposition()
    for total in (5.0, 5.0, 8.0):
        standing.total = total
        assert (await scrape(answer))("voxgate_reloads_total", result="succeeded") == total


async def test_every_metric_is_described_also_before_it_has_a_value() -> None:
    text = (await exposition()[0].text(""))[0].decode()
    for metric in catalog.METRICS:
        assert f"# HELP {metric.name} " in text
        assert f"# TYPE {metric.name} " in text
    assert "_created" not in text


async def test_open_metrics_is_given_to_who_asks_for_it() -> None:
    answer, metrics, _ = exposition()
    for engine in ("a", "b"):
        metrics.waited(engine, 1.0)
    text, media_type = await answer.text("application/openmetrics-text; version=1.0.0")
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")
    assert b"# TYPE voxgate_reloads counter" in text
    # the lines of one set of labels stand together
    engines = [line.split(b'engine="')[1][:1] for line in text.splitlines() if line.startswith(b"voxgate_queue_wait")]
    assert engines == sorted(engines)


async def test_processes_add_up_what_grows_and_combine_what_stands(tmp_path: Path) -> None:
    answer, metrics, _ = exposition(tmp_path)
    metrics.waited("a", 0.3)
    bucket = {"engine": "a", "le": "0.5"}
    neighbour(
        tmp_path,
        ("voxgate_queue_wait_seconds_bucket", bucket, 2),
        ("voxgate_reloads_total", {"result": "succeeded"}, 1),
        ("voxgate_requests_in_flight", {}, 4),
        ("voxgate_can_speak", {}, 0),
        ("voxgate_engine_up", {"engine": "a"}, 0),
    )
    value = await scrape(answer)
    assert value("voxgate_queue_wait_seconds_bucket", **bucket) == 3
    assert value("voxgate_reloads_total", result="succeeded") == 6
    assert value("voxgate_requests_in_flight") == 7
    assert value("voxgate_can_speak") == 1
    assert value("voxgate_engine_up", engine="a") == 0


async def test_of_a_process_that_ended_only_what_grows_is_left(tmp_path: Path) -> None:
    answer, _, _ = exposition(tmp_path)
    counts = ("voxgate_reloads_total", {"result": "succeeded"}, 1)
    neighbour(tmp_path, counts, ("voxgate_requests_in_flight", {}, 4), process=0)
    value = await scrape(answer)
    assert value("voxgate_reloads_total", result="succeeded") == 6
    assert value("voxgate_requests_in_flight") == 3


async def test_a_process_that_stands_still_is_seen_by_the_others(tmp_path: Path) -> None:
    answer, _, _ = exposition(tmp_path)
    file = neighbour(tmp_path, ("voxgate_event_loop_lag_seconds", {}, 0.01))
    since = time.time() - 30
    os.utime(file, (since, since))
    assert 28 < (await scrape(answer))("voxgate_event_loop_lag_seconds") < 60


async def test_what_a_process_tells_it_has_also_left_for_the_others(tmp_path: Path) -> None:
    answer, metrics, _ = exposition(tmp_path)
    metrics.waited("a", 0.3)
    await answer.text("")
    (ours,) = tmp_path.glob("*.json")
    told = {(name, *labels.values()): value for name, labels, value in json.loads(ours.read_bytes())}
    assert told["voxgate_queue_wait_seconds_count", "a"] == 1
    assert told["voxgate_requests_in_flight",] == 3


async def test_a_folder_that_cannot_be_written_costs_the_other_processes_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answer, _, _ = exposition(tmp_path / "gone")
    for _ in range(2):
        assert (await scrape(answer))("voxgate_requests_in_flight") == 3
    (warning,) = caplog.records
    assert "metrics of the other processes are missing" in warning.message


async def test_the_lag_is_how_late_the_event_loop_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.telemetry.pulse.BEAT_S", 0.01)
    answer, _, _ = exposition()
    async with answer:
        await asyncio.sleep(0)  # the pulse waits for its first beat
        time.sleep(0.2)  # noqa: ASYNC251  what a bad plugin does
        await asyncio.sleep(0.02)
        assert (await scrape(answer))("voxgate_event_loop_lag_seconds") >= 0.15
