"""What the guards tell a client, over a real socket: when to come back, and when not to; and races between engines."""

import os
import signal
import socket
from collections.abc import Callable

import psutil
import pytest

from engines.testing import count_beeps
from tests.gateway.http.conftest import Gateway
from tests.gateway.http.test_connection import ask, read_head

VOICES = "version: 1\ndefault: v\nvoices:\n  v: {languages: [zh, en], engines: {first: v, second: v}}\n"
SPEAKS = "{kind: tone}"

Server = Callable[..., Gateway]


def drill(mode: str, **more: object) -> str:
    options = "".join(f", {name}: {value}" for name, value in more.items())
    return f"{{kind: fault, of: {SPEAKS}, mode: {mode}{options}, isolation: inline}}"


def gateway_of(server: Server, first: str, second: str = "", **rule: object) -> Gateway:
    """A gateway with one or two engines, which one rule tries in their order."""
    terms = "".join(f", {name}: {value}" for name, value in {"retries": 0, **rule}.items())
    names = "first, second" if second else "first"
    return server(
        engines=f"version: 1\nengines:\n  first: {first}\n" + (f"  second: {second}\n" if second else ""),
        voices=VOICES if second else VOICES.replace(", second: v", ""),
        policies=f"version: 1\nrules:\n  - {{name: all, use: [{names}]{terms}}}\n",
    )


def error_code(response: object) -> str:
    return str(response.json()["error"]["code"])  # type: ignore[attr-defined]


def test_a_breaker_that_opens_for_seconds_is_worth_coming_back_for(server: Server) -> None:
    gateway = gateway_of(server, drill("refuse"))
    failed = [gateway.speech(input=f"text {number}") for number in range(5)]
    assert {(one.status_code, one.headers["x-should-retry"]) for one in failed[:4]} == {(503, "false")}
    for refused in (gateway.speech(input="one more"), gateway.speech(input="and one more")):
        assert (refused.status_code, error_code(refused)) == (503, "unavailable")
        assert 1 <= int(refused.headers["retry-after"]) <= 11
        assert "x-should-retry" not in refused.headers
        assert "after 5 faults" in refused.text


def test_an_engine_that_is_full_says_when_to_come_back_at_once(server: Server) -> None:
    gateway = gateway_of(server, "{kind: probe, does: silent, slots: 1, queue: 0}")
    with gateway.connection() as connection:
        ask(connection, input="silence")
        assert gateway.probe.begun.wait(20)
        refused = gateway.speech(input="another")
        assert (refused.status_code, error_code(refused)) == (503, "busy")
        assert 1 <= int(refused.headers["retry-after"]) <= 120


def test_a_text_that_no_engine_can_speak_in_time_is_turned_away_for_good(server: Server) -> None:
    gateway = gateway_of(server, "{kind: tone, real_time_factor: 0.5}")
    assert gateway.speech(input="one two three four").status_code == 200  # 0.48 s of beeps in 0.24 s
    refused = gateway.speech(input="one two three four five six seven eight " * 20, deadline_ms=2000)
    assert (refused.status_code, error_code(refused)) == (503, "too_slow")
    assert refused.headers["x-should-retry"] == "false"
    assert gateway.speech(input="one two three", deadline_ms=2000).status_code == 200


def test_a_deadline_that_passes_while_an_engine_is_started_again_is_a_504(server: Server) -> None:
    gateway = gateway_of(server, "{kind: tone, isolation: process}")
    workers = [one for one in psutil.Process().children() if "engines.worker" in one.cmdline()]
    os.kill(max(workers, key=psutil.Process.create_time).pid, signal.SIGKILL)
    late = gateway.speech(deadline_ms=20)
    assert (late.status_code, error_code(late)) == (504, "deadline_exceeded")
    assert gateway.speech().status_code == 200


def test_the_next_engine_is_heard_when_the_first_is_silent_for_too_long(server: Server) -> None:
    gateway = gateway_of(server, drill("slow", delay_s=30), SPEAKS, hedge_after_ms=50)
    reply = gateway.speech(input="One two three. Four five.", response_format="pcm", sample_rate=24000)
    assert count_beeps(reply.content, 24000) == 5
    assert reply.headers["x-voxgate-engine"] == "second"
    assert reply.headers["x-voxgate-attempts"] == "2"
    assert reply.headers["x-voxgate-degraded"] == "first: second gave audio first"
    outcome = gateway.client.get(f"/v1/speech/{reply.headers['x-request-id']}").json()
    assert [(one["engine"], (one["error"] or {}).get("code")) for one in outcome["attempts"]] == [
        ("first", "hedged"), ("second", None), ("second", None),
    ]  # fmt: skip
    engines = gateway.client.get("/v1/engines").json()["engines"]
    assert [(one["state"], one["busy"]) for one in engines.values()] == [("up", 0), ("up", 0)]


def test_a_race_that_the_first_wins_is_no_degradation(server: Server) -> None:
    gateway = gateway_of(server, drill("slow", delay_s=0.2), drill("hang"), hedge_after_ms=50)
    reply = gateway.speech()
    assert (reply.status_code, reply.headers["x-voxgate-engine"]) == (200, "first")
    assert "x-voxgate-degraded" not in reply.headers


@pytest.mark.parametrize("after_ms", [1, 60_000])
def test_a_client_that_leaves_stops_all_who_race_for_it(server: Server, after_ms: int) -> None:
    silent = "{kind: probe, does: silent}"
    gateway = gateway_of(server, silent, silent.replace("}", ", slots: 3}"), hedge_after_ms=after_ms)
    with gateway.connection() as connection:
        ask(connection)
        assert gateway.probe.begun.wait(20)
        connection.shutdown(socket.SHUT_RDWR)
    assert gateway.probe.closed.wait(20)
    while sum(one["busy"] for one in gateway.client.get("/v1/engines").json()["engines"].values()):
        pass  # bounded by the test's own time limit


def test_an_engine_that_hangs_under_load_is_left_alone_soon(server: Server) -> None:
    gateway = gateway_of(server, drill("hang"), SPEAKS, first_audio_ms=300)
    connections = [socket.create_connection(("127.0.0.1", gateway.port), timeout=20) for _ in range(8)]
    for number, connection in enumerate(connections):
        ask(connection, input=f"text {number}")
    for connection in connections:
        assert b"x-voxgate-engine: second" in read_head(connection)
        connection.close()
    assert gateway.client.get("/v1/engines").json()["engines"]["first"]["state"] == "down"
    reply = gateway.speech()
    assert reply.headers["x-voxgate-attempts"] == "1"
