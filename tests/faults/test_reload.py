"""A configuration that changes while requests wait, follow and are heard: each ends under the one it began with."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest

from tests.faults.conftest import Stage
from tests.faults.hearing import Client, ask, judge, poll
from tests.faults.holdings import nothing_left
from tests.faults.scene import Gate, Yaml, files, rule
from tests.gateway.http.conftest import Gateway

TEXT = "One two three. Four."
WORDS = 4


def setting(chunk_ms: int, tag: str = "gated") -> tuple[dict[str, Yaml], list[Yaml]]:
    """Engines and rules that differ in what needs another instance."""
    gated = {"kind": "gated", "slots": 1, "queue": 8, "chunk_ms": chunk_ms}
    return {"gated": gated}, [rule(tag, ["gated"], on_interruption="abort")]


def change(gateway: Gateway, engines: dict[str, Yaml], rules: list[Yaml]) -> None:
    directory = gateway.runtime.config.directory
    texts = files(engines, rules)
    for name in ("engines", "policies"):
        (directory / f"{name}.yaml").write_text(texts[name])
    with Client(gateway) as client:
        client.socket.sendall(b"POST /v1/admin/reload HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        heard = client.rest()
    assert heard.json["ok"], heard.json


@pytest.mark.parametrize("after", ["replaced", "removed", "its rule is gone"])
@pytest.mark.parametrize("amid", [False, True], ids=["before the first audio", "amid the audio"])
def test_those_who_speak_wait_and_follow_hear_all_of_it(stage: Stage, gate: Gate, after: str, amid: bool) -> None:
    gateway = stage(*setting(60))
    with nothing_left(gateway), ExitStack() as stack:
        clients = [stack.enter_context(Client(gateway)) for _ in range(4)]
        for number, client in enumerate(clients):  # one speaks, one follows it, two wait in line
            client.ask(TEXT, tags=["gated"], cache="use", seed=max(number, 1))
            poll(lambda number=number: gateway.runtime.in_flight == number + 1)
            assert gate.begun.wait(20)
        old = gateway.runtime.fleet.members["gated"]
        poll(lambda: (old.state.busy, old.state.queued) == (1, 2))
        if amid:
            gate.open(1)
            for client in clients[:2]:
                client.read(1000)
        if after == "replaced":
            change(gateway, *setting(40))
            poll(lambda: gateway.runtime.fleet.members["gated"] is not old)
        elif after == "removed":
            change(gateway, {}, [])
        else:
            change(gateway, *setting(60, tag="another"))
        assert judge(gateway, ask(gateway, TEXT), WORDS) == "whole"
        gate.open()
        for client in clients:
            assert judge(gateway, client.rest(), WORDS) == "whole"
        if after != "its rule is gone":
            poll(old.deserted.is_set)
        change(gateway, *setting(60))
        poll(lambda: not gateway.runtime.fleet._successors)


def test_a_reload_that_is_refused_disturbs_nobody(stage: Stage, gate: Gate) -> None:
    gateway = stage(*setting(60))
    with nothing_left(gateway), Client(gateway) as client:
        client.ask(TEXT, tags=["gated"])
        assert gate.begun.wait(20)
        path = gateway.runtime.config.directory / "policies.yaml"
        good = path.read_text()
        path.write_text(json.dumps({"version": 1, "rules": [{"name": "x", "use": ["nobody"]}]}))
        reloader = gateway.runtime.reloader
        refused = reloader.refused
        poll(lambda: reloader.refused > refused)
        gate.open()
        assert judge(gateway, client.rest(), WORDS) == "whole"
        path.write_text(good)
        poll(lambda: reloader.last.ok)
