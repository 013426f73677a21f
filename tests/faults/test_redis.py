"""A Redis that is killed, is held up, or loses an answer, at every command of a request: speech is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from gateway.absent import Absent
from gateway.redis import store as module
from gateway.redis.store import Patience
from tests.faults.conftest import Stage
from tests.faults.hearing import FORMS, Client, ask, judge, poll
from tests.faults.holdings import Holdings, is_settled, serve_another, settle
from tests.faults.proxy import Proxy, proxied
from tests.faults.scene import Gate, rule
from tests.gateway.http.conftest import Gateway
from tests.redis_at_hand import RedisServer

TEXT = "One two three. Four."
WORDS = 4
BUDGET_MS = 200
LIMITS = {
    "requests_per_minute": 6000,
    "characters_per_minute": 600_000,
    "audio_seconds_per_day": 80_000,
    "in_flight": 9,
}
ENGINES = {
    "slow": {"kind": "tone", "real_time_factor": 0.1, "chunk_ms": 60},
    "gated": {"kind": "gated", "chunk_ms": 60},
}
RULES = [rule("slow", ["slow"], on_interruption="abort"), rule("gated", ["gated"], on_interruption="abort")]
#: more commands than any request here sends
MANY = 40


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is back is found soon, and a place that could not be given back is free soon."""
    monkeypatch.setattr(module, "FIRST_PROBE_S", 0.02)
    monkeypatch.setattr(module, "LAST_PROBE_S", 0.1)
    monkeypatch.setattr("gateway.flight.across.AGAIN_S", 0.05)
    monkeypatch.setattr("gateway.redis.buckets.LEASE_US", 300_000)
    monkeypatch.setattr("gateway.limits.stay.RENEW_S", 0.1)


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    with proxied(redis_server) as one:
        yield one


#: what happens to it at a command, and what ends that
Harm = tuple[Callable[[], None] | None, Callable[[], object]]


def harm(how: str, server: RedisServer) -> Harm:
    if how == "killed":
        return server.kill, server.start
    if how == "paused":
        return server.pause, server.resume
    return None, lambda: None


every_harm = pytest.mark.parametrize("how", ["killed", "paused", "unanswered"])


class Waits:
    """How often each request waited for Redis until its time for that was over."""

    def __init__(self, gateway: Gateway) -> None:
        store = gateway.runtime.store
        assert store is not None
        self.in_vain: Counter[int] = Counter()
        self.requests: list[Patience] = []
        call = store.call

        async def counted(command: Any, within_s: float | None = None, **how: Any) -> Any:
            purse = module._patience.get() if within_s is None else None
            try:
                return await call(command, within_s, **how)
            except Absent as error:
                if purse is not None and str(error) == "no answer in time":
                    self.requests.append(purse)
                    self.in_vain[id(purse)] += 1
                raise

        store.call = counted  # type: ignore[method-assign]


def redis_settings(url: str) -> dict[str, object]:
    return {"redis": {"url": url, "budget_ms": BUDGET_MS}, "limits": LIMITS}


class Ring:
    """A gateway behind a proxy, and what it holds at rest."""

    def __init__(self, gateway: Gateway, proxy: Proxy, other: Gateway | None = None) -> None:
        self.gateway, self.proxy, self._other = gateway, proxy, other
        self.waits = Waits(gateway)
        serve_another(gateway)
        if other is not None:
            serve_another(other)
        self.before: Holdings = self.settle(None)

    def settle(self, before: Holdings | None) -> Holdings:
        return settle(self.gateway, self.proxy.server, self._files, before)

    def _files(self) -> int:
        """Those of the proxy, and lines of another gateway."""
        return self.proxy.files + (self._other.runtime.store._pool.open if self._other else 0)  # type: ignore[union-attr]

    def recover(self, mend: Callable[[], object]) -> bool:
        """Let whatever goes on by the side come to its end, or to the harm, and end that; False: nothing happened."""
        server = self.proxy.server
        poll(lambda: self.proxy.struck.is_set() or is_settled(self.gateway, server, self._files, self.before))
        self.proxy.disarm()
        struck = self.proxy.struck.is_set()
        if struck:
            mend()
        self.settle(self.before)
        assert max(self.waits.in_vain.values(), default=0) <= 1
        return struck


@every_harm
def test_redis_goes_at_any_command_of_a_request(
    stage: Stage, redis_server: RedisServer, proxy: Proxy, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.redis.claims.LEASE_S", 0.6)
    gateway = stage(ENGINES, RULES, **redis_settings(proxy.url))
    ring, (strike, mend) = Ring(gateway, proxy), harm(how, redis_server)
    for number in range(1, MANY):
        proxy.arm(number, strike)
        form = list(FORMS.values())[number % len(FORMS)]
        heard = ask(gateway, TEXT, tags=["slow"], cache="use", seed=number, **form)
        assert judge(gateway, heard, WORDS) == "whole", (number, proxy.seen)
        if not ring.recover(mend):
            break
    assert 6 < number < MANY, proxy.seen  # limits, clip, claim, limits, what is made, its end, the clip, the outcome
    assert how != "paused" or ring.waits.in_vain
    with redis_server.client() as client:
        poll(lambda: not client.keys("*:claim"))  # whoever cannot give it back leaves it to lapse
        assert client.keys("*clip:*")


@every_harm
def test_redis_goes_at_any_command_of_a_request_whose_clip_is_there(
    stage: Stage, redis_server: RedisServer, proxy: Proxy, how: str
) -> None:
    gateway = stage(ENGINES, RULES, **redis_settings(proxy.url), cache={"memory_mb": 0})
    ring, (strike, mend) = Ring(gateway, proxy), harm(how, redis_server)
    for number in range(1, MANY):
        assert judge(gateway, ask(gateway, TEXT, tags=["slow"], cache="use"), WORDS) == "whole"
        ring.settle(ring.before)
        proxy.arm(number, strike)
        heard = ask(gateway, TEXT, tags=["slow"], cache="use")
        assert judge(gateway, heard, WORDS) == "whole", (number, proxy.seen)
        if not ring.recover(mend):
            assert heard.headers["x-voxgate-cache"] == "hit"
            break
    assert 2 < number < MANY, proxy.seen  # limits, clip, outcome, limits


@every_harm
@pytest.mark.parametrize("behind", ["who makes it", "who follows"])
@pytest.mark.parametrize("amid", [False, True], ids=["before the first audio", "amid the audio"])
def test_redis_goes_while_one_gateway_hears_what_another_makes(
    stage: Stage,
    redis_server: RedisServer,
    proxy: Proxy,
    gate: Gate,
    how: str,
    behind: str,
    amid: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Harm that is soon over: a reader that has heard something looks again, one that has not makes it itself."""
    monkeypatch.setattr("gateway.flight.across.RENEW_S", 0.05)
    urls = (proxy.url, redis_server.url) if behind == "who makes it" else (redis_server.url, proxy.url)
    first, second = (stage(ENGINES, RULES, **redis_settings(url)) for url in urls)
    one, other = (first, second) if behind == "who makes it" else (second, first)
    ring, (strike, mend) = Ring(one, proxy, other), harm(how, redis_server)
    for number in range(1, 6 if behind == "who follows" and not amid else 4):
        gate.close()
        with Client(first) as leader, Client(second) as follower:
            leader.ask(TEXT, tags=["gated"], cache="use", seed=number)
            assert gate.begun.wait(20)
            if not amid:
                proxy.arm(number, strike)
            follower.ask(TEXT, tags=["gated"], cache="use", seed=number)
            if amid:
                gate.open(1)
                for client in (leader, follower):
                    client.read(1000)
                assert follower.head().headers["x-voxgate-cache"] == "follow"
                proxy.arm(number, strike)
            assert proxy.struck.wait(20)
            mend()
            gate.open()
            heard = [judge(gateway, client.rest(), WORDS) for gateway, client in ((first, leader), (second, follower))]
            # a Redis that is started again is empty: what was made so far is no longer there
            allowed = {"whole", "broken"} if amid and how == "killed" else {"whole"}
            assert heard[0] == "whole"
            assert heard[1] in allowed
        ring.recover(lambda: None)


def test_redis_stays_away_amid_what_another_gateway_makes(
    stage: Stage, redis_server: RedisServer, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.flight.across.LEASE_S", 0.3)
    settings = redis_settings(redis_server.url)
    first, second = stage(ENGINES, RULES, **settings), stage(ENGINES, RULES, **settings)
    for gateway in (first, second):
        serve_another(gateway)
    before = [settle(gateway, redis_server) for gateway in (first, second)]
    with ExitStack() as stack:
        leader, follower = (stack.enter_context(Client(gateway)) for gateway in (first, second))
        leader.ask(TEXT, tags=["gated"], cache="use")
        assert gate.begun.wait(20)
        follower.ask(TEXT, tags=["gated"], cache="use")
        gate.open(1)
        follower.read(1000)
        redis_server.kill()
        assert judge(second, follower.rest(), WORDS) == "broken"
        gate.open()
        assert judge(first, leader.rest(), WORDS) == "whole"
    redis_server.start()
    for gateway, held in zip((first, second), before, strict=True):
        settle(gateway, redis_server, before=held)
    assert judge(second, ask(second, TEXT, tags=["gated"], cache="use"), WORDS) == "whole"
