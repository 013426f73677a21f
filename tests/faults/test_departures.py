"""Clients that leave, at every stage of a request, politely and by a reset."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from gateway.record import Served
from tests.faults.conftest import Stage
from tests.faults.hearing import Client, ask, judge, outcome, poll, request
from tests.faults.holdings import nothing_left, serve_another
from tests.faults.scene import Gate, fault, rule
from tests.faults.workers import await_worker, kill
from tests.gateway.http.conftest import Gateway

TEXT = "One two three. Four."
WORDS = 4
ENGINES = {
    "mute": fault("hang", slots=1, queue=4),
    "half": fault("hang", after_s=0.2, slots=4),
    "gated": {"kind": "gated", "slots": 4},
}
RULES = [
    rule("mute", ["mute"]),
    rule("half", ["half"], on_interruption="abort"),
    rule("gated", ["gated"], on_interruption="abort"),
]


def busy(gateway: Gateway, engine: str) -> tuple[int, int]:
    """Who speaks, and who waits in line."""
    state = gateway.runtime.fleet.members[engine].state
    return state.busy, state.queued


def connected(gateway: Gateway, client: Client) -> None:
    serve_another(gateway)


def amid_the_headers(gateway: Gateway, client: Client) -> None:
    client.socket.sendall(request(TEXT)[:60])
    serve_another(gateway)


def amid_the_body(gateway: Gateway, client: Client) -> None:
    client.socket.sendall(request(TEXT)[:-10])
    poll(lambda: gateway.runtime.in_flight == 1)


def before_the_first_audio(gateway: Gateway, client: Client) -> None:
    client.ask(TEXT, tags=["mute"])
    poll(lambda: busy(gateway, "mute") == (1, 0))


def before_a_whole_reply(gateway: Gateway, client: Client) -> None:
    client.ask(TEXT, tags=["half"], stream=False)
    poll(lambda: busy(gateway, "half") == (1, 0))


def before_a_reply_in_json(gateway: Gateway, client: Client) -> None:
    client.ask(TEXT, tags=["half"], as_json=True)
    poll(lambda: busy(gateway, "half") == (1, 0))


def amid_the_audio(gateway: Gateway, client: Client) -> None:
    client.ask(TEXT, tags=["half"]).read(1000)


def before_anything_is_read(gateway: Gateway, client: Client) -> None:
    client.ask(TEXT)
    poll(lambda: client.socket.recv(1, 0x2))  # MSG_PEEK: it came, and waits to be read


def just_before_the_end(gateway: Gateway, client: Client) -> None:
    client.ask(TEXT).read(WORDS * 120 * 24 * 2)  # all the audio, but not the last chunk, which says that it is all


def after_the_end(gateway: Gateway, client: Client) -> None:
    assert judge(gateway, client.ask(TEXT).rest(), WORDS) == "whole"


def amid_the_next_request(gateway: Gateway, client: Client) -> None:
    after_the_end(gateway, client)
    client.socket.sendall(request(TEXT)[:-10])
    poll(lambda: gateway.runtime.in_flight == 1)


def in_the_next_request(gateway: Gateway, client: Client) -> None:
    after_the_end(gateway, client)
    amid_the_audio(gateway, client)


def with_a_next_request_behind(gateway: Gateway, client: Client) -> None:
    client.socket.sendall(request(TEXT, tags=["half"]) + request(TEXT, tags=["mute"]))
    client.read(1000)


def with_half_a_request_behind(gateway: Gateway, client: Client) -> None:
    client.socket.sendall(request(TEXT, tags=["mute"]) + request(TEXT)[:30])
    poll(lambda: busy(gateway, "mute") == (1, 0))


Reach = Callable[[Gateway, Client], None]
STAGES: list[Reach] = [
    connected,
    amid_the_headers,
    amid_the_body,
    before_the_first_audio,
    before_a_whole_reply,
    before_a_reply_in_json,
    amid_the_audio,
    before_anything_is_read,
    just_before_the_end,
    after_the_end,
    amid_the_next_request,
    in_the_next_request,
    with_a_next_request_behind,
    with_half_a_request_behind,
]


@pytest.mark.parametrize("reach", STAGES, ids=lambda reach: reach.__name__)
def test_a_client_leaves(stage: Stage, reach: Reach) -> None:
    gateway = stage(ENGINES, RULES, limits={"in_flight": 5})
    for reset in (False, True, False, True):
        with nothing_left(gateway), Client(gateway) as client:
            reach(gateway, client)
            client.leave(reset=reset)


@pytest.mark.parametrize("tag", ["mute", "half"])
def test_of_a_client_who_left_that_is_told(stage: Stage, tag: str) -> None:
    gateway = stage(ENGINES, RULES)
    with nothing_left(gateway):
        ended = list[Served]()
        gateway.runtime.listeners.append(ended.append)
        with Client(gateway) as client:
            client.ask(TEXT, tags=[tag])
            if tag == "half":
                client.read(1000)
            else:
                poll(lambda: busy(gateway, "mute") == (1, 0))
        poll(lambda: ended)
        told = outcome(gateway, ended[0].request_id)
        assert (told["state"], told["complete"], told["bytes"] > 0) == ("cancelled", False, tag == "half")


def test_a_client_leaves_the_line(stage: Stage) -> None:
    gateway = stage(ENGINES, RULES)
    with nothing_left(gateway), Client(gateway) as speaking, Client(gateway) as waiting, Client(gateway) as next_one:
        speaking.ask(TEXT, tags=["mute"])
        poll(lambda: busy(gateway, "mute") == (1, 0))
        waiting.ask(TEXT, tags=["mute"])
        poll(lambda: busy(gateway, "mute") == (1, 1))
        next_one.ask(TEXT, tags=["mute"])
        poll(lambda: busy(gateway, "mute") == (1, 2))
        waiting.leave()
        poll(lambda: busy(gateway, "mute") == (1, 1))
        speaking.leave()
        poll(lambda: busy(gateway, "mute") == (1, 0))


def test_a_client_leaves_who_was_turned_away(stage: Stage) -> None:
    gateway = stage(ENGINES, RULES, limits={"in_flight": 1})
    with nothing_left(gateway), Client(gateway) as first, Client(gateway) as second:
        first.ask(TEXT, tags=["mute"])
        poll(lambda: busy(gateway, "mute") == (1, 0))
        for _ in range(3):
            assert judge(gateway, ask(gateway, TEXT), WORDS) == "refused"
        second.ask(TEXT)
        second.leave(reset=True)
        third = ask(gateway, TEXT)
        assert (third.status, third.json["error"]["code"]) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("whole", [False, True])
def test_clients_leave_who_wait_for_an_engine_that_comes_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    monkeypatch.setattr("gateway.fleet.keeper.BACK_OFF_S", 0.8)  # of the second loss; what is worth waiting for
    mortal = {"kind": "tone", "isolation": "process"}
    gateway = stage({"mortal": mortal}, [rule("mortal", ["mortal"])])
    await_worker(gateway, "mortal")
    with nothing_left(gateway):
        member = gateway.runtime.fleet.members["mortal"]
        kill(gateway, "mortal")
        poll(lambda: not member.up.is_set())
        with Client(gateway) as client, Client(gateway) as patient:
            client.ask(TEXT, tags=["mortal"], stream=not whole)
            patient.ask(TEXT, tags=["mortal"])
            client.leave()
            assert judge(gateway, patient.rest(), WORDS) == "whole"


@pytest.mark.parametrize("who", ["the leader", "a follower", "both"])
@pytest.mark.parametrize("amid", [False, True], ids=["before the first audio", "amid the audio"])
def test_one_of_those_who_hear_the_same_leaves(stage: Stage, gate: Gate, who: str, amid: bool) -> None:
    gateway = stage(ENGINES, RULES)
    with nothing_left(gateway), ExitStack() as stack:
        clients = [stack.enter_context(Client(gateway)) for _ in range(3)]
        for number, client in enumerate(clients):
            client.ask(TEXT, tags=["gated"], cache="use")
            poll(lambda number=number: gateway.runtime.in_flight == number + 1)
            if not number:
                assert gate.begun.wait(20)
        if amid:
            gate.open(1)
            for client in clients:
                client.read(1000)
        leaving = {"the leader": clients[:1], "a follower": clients[1:2], "both": clients[:2]}[who]
        for client in leaving:
            client.leave()
        poll(lambda: gateway.runtime.in_flight == 3 - len(leaving))
        gate.open()
        for client in clients:
            if client not in leaving:
                heard = client.rest()
                assert judge(gateway, heard, WORDS) == "whole"
        assert ask(gateway, TEXT, tags=["gated"], cache="use").headers["x-voxgate-cache"] == "hit"


def test_all_leave_who_hear_the_same(stage: Stage, gate: Gate) -> None:
    gateway = stage(ENGINES, RULES)
    with nothing_left(gateway), ExitStack() as stack:
        clients = [stack.enter_context(Client(gateway)) for _ in range(3)]
        for number, client in enumerate(clients):
            client.ask(TEXT, tags=["gated"], cache="use")
            poll(lambda number=number: gateway.runtime.in_flight == number + 1)
        for client in clients:
            client.leave()
        poll(lambda: busy(gateway, "gated") == (0, 0))
        gate.open()
        heard = ask(gateway, TEXT, tags=["gated"], cache="use")
        assert (judge(gateway, heard, WORDS), heard.headers["x-voxgate-cache"]) == ("whole", "miss")
