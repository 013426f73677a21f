"""Faults again and again: memory, objects and files do not grow with their number."""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Callable

import psutil
import pytest

from tests.faults.conftest import Stage
from tests.faults.hearing import Client, ask
from tests.faults.holdings import nothing_left, serve_another, settle
from tests.faults.scene import fault, rule
from tests.gateway.http.conftest import Gateway

TEXT = "One two three. Four."
TIMES = 30
#: bytes of the process that may be more after so many
SOME_BYTES = 10_000_000

ENGINES = {
    "cut": fault("cut", after_s=0.2),
    "refuse": fault("refuse"),
    "half": fault("hang", after_s=0.2, slots=4),
    "mute": fault("hang", slots=4),
}
RULES = [
    rule("cut", ["cut", "spare"]),
    rule("broken", ["cut", "spare"], on_interruption="abort"),
    rule("refused", ["refuse"]),
    rule("half", ["half"], on_interruption="abort"),
    rule("mute", ["mute"]),
    rule("late", ["mute"], first_audio_ms=20),
]


def ask_for(tag: str) -> Callable[[Gateway], None]:
    def go(gateway: Gateway) -> None:
        ask(gateway, TEXT, tags=[tag])

    return go


def leave(tag: str, read: int = 0) -> Callable[[Gateway], None]:
    def go(gateway: Gateway) -> None:
        with Client(gateway) as client:
            client.ask(TEXT, tags=[tag])
            if read:
                client.read(read)
            client.leave(reset=True)

    return go


def follow_and_leave(gateway: Gateway) -> None:
    with Client(gateway) as leader, Client(gateway) as follower:
        for client in (leader, follower):
            client.ask(TEXT, tags=["half"], cache="use").read(1000)


FAULTS: dict[str, Callable[[Gateway], None]] = {
    "an engine breaks off": ask_for("cut"),
    "a speech breaks off": ask_for("broken"),
    "an engine refuses": ask_for("refused"),
    "an engine is late": ask_for("late"),
    "a client leaves before the first audio": leave("mute"),
    "a client leaves amid the audio": leave("half", 1000),
    "leader and follower leave": follow_and_leave,
}


@pytest.mark.usefixtures("nobody_dies")
@pytest.mark.parametrize("what", FAULTS)
def test_nothing_grows(stage: Stage, what: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "voxgate.http")  # whose records pytest keeps
    # as many records as there are at most, from the first time on
    gateway = stage(ENGINES, RULES, outcomes={"keep": 5}, cache={"memory_mb": 0})
    happen = FAULTS[what]
    with nothing_left(gateway):
        repeat(gateway, happen, 10)
        # what still goes on when it is counted is not more for the second time
        before, before_bytes = alive(gateway), psutil.Process().memory_info().rss
        repeat(gateway, happen, TIMES)
        after, after_bytes = alive(gateway), psutil.Process().memory_info().rss
        assert {kind: count for kind, count in (after - before).items() if count >= TIMES // 2} == {}
        assert after_bytes - before_bytes < SOME_BYTES


def repeat(gateway: Gateway, happen: Callable[[Gateway], None], times: int) -> None:
    for _ in range(times):
        for member in gateway.runtime.fleet.members.values():
            member.row.breaker.reset()  # an engine that fails is asked all the same
        happen(gateway)


def alive(gateway: Gateway) -> Counter[str]:
    """Objects by their type."""
    serve_another(gateway)  # nobody who came before it has still to be let in
    settle(gateway)
    gc.collect()
    return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
