"""Every request leaves a line in served.jsonl, however it ended, and none of them has its text."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.served_log import log
from tests.gateway.http.conftest import Gateway

SENTINEL = "Xylophone"


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "FLUSH_EVERY_S", 0.01)


def path(gateway: Gateway) -> Path:
    return gateway.runtime.config.settings.data_dir / "served.jsonl"


def line(gateway: Gateway, request_id: str = "") -> dict[str, Any]:
    """The line of that request, or of the only one, once it is there."""
    deadline_s = time.monotonic() + 20
    while True:
        text = path(gateway).read_text() if path(gateway).exists() else ""
        found = [one for one in map(json.loads, text.splitlines()) if request_id in ("", one["id"])]
        if found:
            assert len(found) == 1
            assert SENTINEL not in text
            fields: dict[str, Any] = found[0]
            return fields
        assert time.monotonic() < deadline_s, f"no line about {request_id}"
        time.sleep(0.005)


def test_spoken_and_from_the_cache(server: Callable[..., Gateway]) -> None:
    gateway = server()
    asked = {"input": f"{SENTINEL} two three.", "tags": ["urgent"]}
    spoken, hit = (gateway.client.post("/v1/speech", json=asked) for _ in range(2))
    assert hit.headers["x-voxgate-cache"] == "hit"
    first, second = (line(gateway, one.headers["x-request-id"]) for one in (spoken, hit))
    assert (first["engine"], first["rule"], first["preference"]) == ("tone", "everything", ["tone"])
    assert (first["ask"]["chars"], first["ask"]["tags"]) == (20, ["urgent"])
    assert [one["engine"] for one in first["attempts"]] == ["tone"]
    assert first["total_s"] >= first["first_audio_s"] > 0
    assert (second["cache"], second["engine"], "attempts" in second) == ("hit", "tone", False)
    assert second["ask"] == first["ask"]
    assert second["audio_s"] == first["audio_s"] > 0


def test_one_that_fails_before_the_first_sound(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine("{kind: fault, of: {kind: tone}, mode: refuse, isolation: inline}", retries=0)
    reply = gateway.client.post("/v1/speech", json={"input": SENTINEL})
    assert reply.status_code == 503
    found = line(gateway, reply.headers["x-request-id"])
    assert (found["outcome"], found["error"]) == ("failed", "unavailable")
    assert [one["error"] for one in found["attempts"]] == ["unavailable"]
    assert "engine" not in found


def test_one_for_which_there_is_no_engine(server: Callable[..., Gateway]) -> None:
    gateway = server(policies="version: 1\npaused: [tone]\nrules:\n  - {name: everything, use: [tone]}\n")
    reply = gateway.client.post("/v1/speech", json={"input": SENTINEL})
    assert reply.status_code == 503
    found = line(gateway, reply.headers["x-request-id"])
    assert (found["outcome"], found["skipped"]) == ("failed", {"tone": "paused"})
    assert "attempts" not in found


def test_one_that_breaks_off(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine("{kind: probe, does: cut}", on_interruption="abort", retries=0)
    with pytest.raises(httpx.RemoteProtocolError):
        gateway.client.post("/v1/speech", json={"input": SENTINEL, "response_format": "pcm"})
    found = line(gateway)
    assert found["outcome"] == "interrupted"
    assert found["attempts"][0]["error"] == "engine_fault"
    assert found["audio_s"] == 1.0


def test_one_whose_client_leaves(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine("{kind: probe, does: silent}")
    body = json.dumps({"input": SENTINEL}).encode()
    with gateway.connection() as connection:
        connection.sendall(
            f"POST /v1/speech HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        )
        assert gateway.probe.begun.wait(20)
    found = line(gateway)
    assert found["outcome"] == "cancelled"
    assert "engine" not in found


def test_switched_off_there_is_no_file(server: Callable[..., Gateway]) -> None:
    gateway = server(gateway="version: 1\ndata_dir: {data}\nserved_log: {enabled: false}\n")
    assert gateway.speech().status_code == 200
    assert gateway.runtime.served_log is None
    assert not path(gateway).exists()


def test_with_texts_the_text_is_there(server: Callable[..., Gateway]) -> None:
    gateway = server(gateway="version: 1\ndata_dir: {data}\nserved_log: {texts: true}\n")
    assert line(gateway, gateway.speech().headers["x-request-id"])["text"] == "one two three"
