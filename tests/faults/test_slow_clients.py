"""Clients that read slowly, or stop to read for ever: they hold no engine that has spoken, and hold up nobody."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.conftest import Stage
from tests.faults.hearing import RATE_HZ, Client, ask, judge, poll
from tests.faults.holdings import nothing_left, serve_another
from tests.faults.scene import rule
from tests.gateway.http.conftest import Gateway

#: more than kernel and server hold for one who does not read, and less than is kept of a speech
WORDS = 400
TEXT = "one " * WORDS
SECONDS = WORDS * 0.12
ENGINES = {"only": {"kind": "tone", "slots": 1, "queue": 4}}
RULES = [rule("only", ["only"], on_interruption="abort")]


def not_reading(gateway: Gateway) -> Client:
    """One who has heard the beginning, and takes no more than a small buffer holds."""
    client = Client(gateway, buffer_bytes=4096)
    client.ask(TEXT, tags=["only"], sample_rate=48000).read(100)
    return client


def busy(gateway: Gateway) -> int:
    return gateway.runtime.fleet.members["only"].state.busy


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_one_who_reads_no_more_holds_no_engine_and_leaves_nothing(stage: Stage, reset: bool) -> None:
    gateway = stage(ENGINES, RULES)
    with nothing_left(gateway), not_reading(gateway) as client:
        poll(lambda: not busy(gateway))  # the only slot
        assert gateway.runtime.in_flight == 1  # and yet it is not through
        assert judge(gateway, ask(gateway, "One two.", tags=["only"]), 2) == "whole"
        assert gateway.runtime.in_flight == 1
        client.leave(reset=reset)


def test_one_who_reads_slowly_hears_all_of_it_while_others_are_served(stage: Stage) -> None:
    gateway = stage(ENGINES, RULES)
    with nothing_left(gateway), Client(gateway, buffer_bytes=4096) as client:
        client.ask(TEXT, tags=["only"])
        for _ in range(10):
            client.read(2000)
            serve_another(gateway)
        heard = client.rest()
        assert len(heard.body) == round(SECONDS * RATE_HZ) * 2
        assert judge(gateway, heard, WORDS) == "whole"


def test_many_who_read_no_more_hold_up_nobody(stage: Stage) -> None:
    gateway = stage(ENGINES, RULES)
    with nothing_left(gateway):
        clients = [not_reading(gateway) for _ in range(8)]
        try:
            poll(lambda: not busy(gateway))
            with ThreadPoolExecutor(8) as pool:
                replies = list(pool.map(lambda _: ask(gateway, "One two."), range(16)))
            assert {judge(gateway, heard, 2) for heard in replies} == {"whole"}
        finally:
            for client in clients:
                client.leave(reset=True)


def test_one_who_shuts_its_side_of_the_line_is_gone(stage: Stage) -> None:
    gateway = stage(ENGINES, RULES)
    with nothing_left(gateway), not_reading(gateway) as client:
        client.socket.shutdown(socket.SHUT_WR)
        poll(lambda: not gateway.runtime.in_flight)
