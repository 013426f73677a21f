"""What a finished request adds to which metric."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.record import Attempt, Served
from gateway.telemetry.catalog import METRICS, Counted, Gauged
from gateway.telemetry.metrics import Metrics
from policies.policy import Terms
from policies.types import Plan, Skip

PLAN = Plan("all", (), (Skip("far", "down", "down since noon"),), ("far", "near"), Terms())


def served(**more: Any) -> Served:
    about = {
        "format": "mp3",
        "chars": 20,
        "plan": PLAN,
        "attempts": [Attempt("near", "v", 0, 0.1, ended_s=0.5)],
        "engine": "near",
        "audio_s": 2.0,
        "first_audio_s": 0.3,
        "total_s": 0.6,
        "outcome": "complete",
    }
    return Served("id", datetime.now(UTC), **(about | more))


def told(*records: Served) -> dict[tuple[str, ...], float]:
    """Name and values of labels, in the order of their names, of every sample that is not 0."""
    metrics = Metrics()
    for record in records:
        metrics.served(record)
    found = {}
    for name, labels, value in metrics.samples():
        if value and not name.endswith("_bucket"):
            found[(name.removeprefix("voxgate_"), *(labels[label] for label in sorted(labels)))] = value
    return found


def test_a_spoken_request_counts_with_its_engine_and_times() -> None:
    assert told(served(), served()) == {
        ("requests_total", "miss", "mp3", "complete", "all"): 2,
        ("request_seconds_count", "miss"): 2,
        ("request_seconds_sum", "miss"): pytest.approx(1.2),
        ("first_audio_seconds_count", "near"): 2,
        ("first_audio_seconds_sum", "near"): pytest.approx(0.6),
        ("audio_seconds_total", "miss", "near"): 4,
        ("characters_total", "near"): 40,
        ("attempts_total", "ok", "near"): 2,
    }


def test_a_clip_from_the_cache_is_no_work_of_an_engine() -> None:
    hit = served(cache="hit", attempts=[], first_audio_s=None, total_s=0.0002)
    assert told(hit) == {
        ("requests_total", "hit", "mp3", "complete", "all"): 1,
        ("request_seconds_count", "hit"): 1,
        ("request_seconds_sum", "hit"): pytest.approx(0.0002),
        ("audio_seconds_total", "hit", "near"): 2,
    }


def test_who_follows_another_s_making_has_no_attempts_characters_or_first_audio() -> None:
    found = told(served(cache="follow", attempts=[]))
    assert {name for name, *_ in found} == {
        "requests_total",
        "request_seconds_count",
        "request_seconds_sum",
        "audio_seconds_total",
    }


def test_attempts_count_by_what_became_of_them() -> None:
    attempts = [
        Attempt("far", "v", 0, 0.0, ended_s=0.1, error="unavailable"),
        Attempt("near", "v", 0, 0.1, ended_s=0.2),
        Attempt("near", "v", 1, 0.2),
    ]
    found = told(served(attempts=attempts))
    assert {place: value for place, value in found.items() if place[0] == "attempts_total"} == {
        ("attempts_total", "unavailable", "far"): 1,
        ("attempts_total", "ok", "near"): 1,
        ("attempts_total", "left", "near"): 1,
    }


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (served(degraded="far: down since noon"), "down"),
        (served(degraded="far: no", attempts=[Attempt("far", "v", 0, 0.0, error="engine_fault")]), "engine_fault"),
        (served(degraded="far: down", cache="hit", attempts=[]), "down"),
    ],
)
def test_a_degradation_tells_the_engine_the_code_and_who_spoke_instead(record: Served, reason: str) -> None:
    assert told(record)[("degraded_total", "far", "near", reason)] == 1


def test_a_speech_that_broke_off_is_truncated_and_one_that_never_began_is_not() -> None:
    assert told(served(outcome="interrupted"))[("truncated_total", "near")] == 1
    failed = served(outcome="failed", engine="", audio_s=0, first_audio_s=None)
    assert {name for name, *_ in told(failed)} == {
        "requests_total",
        "request_seconds_count",
        "request_seconds_sum",
        "attempts_total",
    }


def test_a_stream_that_ran_dry_counts_how_often_and_how_long() -> None:
    found = told(served(underruns=3, underrun_s=1.5))
    assert (found["underruns_total", "near"], found["underrun_seconds_total", "near"]) == (3, 1.5)


def test_what_speech_costs_adds_up_by_engine() -> None:
    first = [Attempt("near", "", 0, 0.0, cost=0.25), Attempt("far", "", 1, 0.5, cost=2.0)]
    second = [Attempt("near", "", 0, 0.0, cost=0.5), Attempt("free", "", 1, 0.5)]
    found = told(served(attempts=first), served(attempts=second))
    assert {engine: value for (name, engine, *_), value in found.items() if name == "cost_total"} == {
        "near": 0.75,
        "far": 2.0,
    }


def test_what_the_board_hears_is_spread_by_engine() -> None:
    metrics = Metrics()
    metrics.waited("near", 0.3)
    metrics.worked("near", 0.5, 2.0)
    metrics.worked("near", 0.5, 0.0)
    samples = {(name, *labels.values()): value for name, labels, value in metrics.samples()}
    assert samples["voxgate_queue_wait_seconds_bucket", "near", "0.25"] == 0
    assert samples["voxgate_queue_wait_seconds_bucket", "near", "0.5"] == 1
    assert samples["voxgate_real_time_factor_sum", "near"] == 0.25
    assert samples["voxgate_real_time_factor_count", "near"] == 1


def test_metrics_are_named_by_the_rules_of_prometheus() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert metric.name.startswith(("voxgate_", "process_"))
        assert metric.name.endswith("_total") == isinstance(metric, Counted)
        assert not metric.name.endswith(("_ms", "_mb", "_kb", "_s", "_milliseconds"))
        assert not {"text", "key", "voice", "request_id"} & set(metric.labels)
    assert any(isinstance(metric, Gauged) for metric in METRICS)


def test_two_gateways_in_one_process_do_not_count_together() -> None:
    one, other = Metrics(), Metrics()
    one.served(served())
    assert not any(value for name, _, value in other.samples() if name == "voxgate_requests_total")
