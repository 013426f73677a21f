"""The wall clock jumps, as it does when a machine wakes up or is set right: durations and limits do not notice."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.clock import SystemClock
from gateway.keys.keyring import digest_of
from gateway.redis.buckets import RedisBuckets
from tests.faults.conftest import Stage
from tests.faults.hearing import Client, ask, judge, outcome
from tests.faults.holdings import nothing_left, settle
from tests.faults.scene import Gate, fault, rule
from tests.redis_at_hand import RedisServer

TEXT = "One two three. Four."
WORDS = 4
HOURS = (5, -11, 240, -9000, 0)


class JumpingClock(SystemClock):
    """A wall clock that is some hours off; time goes on steadily all the same."""

    off_h = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(hours=JumpingClock.off_h)


@pytest.fixture(autouse=True)
def _jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.runtime.SystemClock", JumpingClock)
    monkeypatch.setattr(JumpingClock, "off_h", 0.0)


def test_it_jumps_amid_speech_and_while_engines_fail(stage: Stage, gate: Gate) -> None:
    gateway = stage(
        {"gated": {"kind": "gated"}, "cut": fault("cut", after_s=0.2), "mute": fault("hang")},
        [
            rule("gated", ["gated"], on_interruption="abort"),
            rule("cut", ["cut", "spare"]),
            rule("mute", ["mute", "spare"], first_audio_ms=100, gap_ms=100),
        ],
        limits={"requests_per_minute": 600, "in_flight": 9},
    )
    asked = []
    with nothing_left(gateway):
        for hours in HOURS:
            gate.close()
            with Client(gateway) as client:
                client.ask(TEXT, tags=["gated"])
                gate.open(1)
                client.read(1000)
                JumpingClock.off_h = hours
                gate.open()
                heard = client.rest()
                assert judge(gateway, heard, WORDS) == "whole"
            asked.append(heard.headers["x-request-id"])
            for tag in ("cut", "mute"):
                heard = ask(gateway, TEXT, tags=[tag])
                assert judge(gateway, heard, WORDS) == "whole"
                asked.append(heard.headers["x-request-id"])
        for request_id in asked:
            told = outcome(gateway, request_id)
            assert told["complete"] is True
            assert told["first_audio_s"] >= 0
            assert told["total_s"] >= told["first_audio_s"]
            for attempt in told["attempts"]:
                assert attempt.get("first_audio_s") is None or attempt["first_audio_s"] >= 0


def test_hours_of_rules_are_those_of_the_clock_now(stage: Stage) -> None:
    now = datetime.now().astimezone()
    span = f"{now - timedelta(hours=2):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    by_day = rule("by day", ["first"]) | {"when": {"hours": span}}
    gateway = stage({"first": {"kind": "tone"}}, [by_day])
    with nothing_left(gateway):
        for hours in (0, 6, -6, 24, 0):
            JumpingClock.off_h = hours
            heard = ask(gateway, TEXT)
            assert heard.headers["x-voxgate-engine"] == ("first" if hours % 24 == 0 else "spare")
            assert judge(gateway, heard, WORDS) == "whole"


def test_a_key_expires_amid_its_speech(stage: Stage, gate: Gate) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    key = {"sha256": digest_of(b"vg_app").hex(), "expires": tomorrow}
    gateway = stage(
        {"gated": {"kind": "gated"}}, [rule("gated", ["gated"], on_interruption="abort")], keys={"app": key}
    )
    bearer = "authorization: Bearer vg_app\r\n"

    def status() -> int:
        return ask(gateway, TEXT, headers=bearer).status

    assert status() == 200
    before = settle(gateway)
    with Client(gateway) as client:
        client.ask(TEXT, tags=["gated"], headers=bearer)
        gate.open(1)
        client.read(1000)
        JumpingClock.off_h = 48
        assert status() == 401
        gate.open()
        heard = client.rest()
        assert (heard.whole, heard.words) == (True, WORDS)
        JumpingClock.off_h = -48
        assert status() == 200
    settle(gateway, before=before)


def test_limits_in_redis_hold_when_its_clock_jumps(stage: Stage, shared_redis: RedisServer) -> None:
    """Back, nobody is shut out for longer than a limit lasts; forth, nobody gets more than the whole limit."""
    gateway = stage(
        {}, [], redis={"url": shared_redis.url, "budget_ms": 5000}, limits={"requests_per_minute": 30, "in_flight": 3}
    )
    buckets = gateway.runtime.shared.buckets
    assert isinstance(buckets, RedisBuckets)

    began_s, off_s = time.time(), 0.0
    buckets._time_us = lambda: round((began_s + off_s) * 1e6)

    def admitted() -> int:
        """Requests until one is refused."""
        for count in range(100):
            heard = ask(gateway, TEXT)
            if heard.status == 429:
                assert 0 < float(heard.headers["retry-after"]) <= 60
                return count
        raise AssertionError("there is no limit")

    for hours in HOURS:
        off_s = hours * 3600.0
        assert admitted() in (0, 30)
        off_s += 60
        assert admitted() == 30
