"""Kind `sambert` behind a gateway, through HTTP: the account's limits, its costs, and clients that leave."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.engines.sambert import speech
from tests.engines.sambert.beside import service_beside
from tests.engines.sambert.service import KEY, Act, Service
from tests.gateway.http.conftest import Gateway, running

VARIABLE = "VOXGATE_TEST_KEY"
POLICIES = "version: 1\nrules:\n  - {name: all, use: [cloud], retries: 0}\nlast_resort: spare\n"
VOICES = "version: 1\ndefault: v\nvoices:\n  v: {engines: {cloud: %s}}\n"


@contextmanager
def cloud(
    directory: Path, service: Service, voice: str = "sambert-zhihao-v1", **options: object
) -> Iterator[tuple[Gateway, Service]]:
    """A gateway that speaks with the service, and beeps where that cannot."""
    with service_beside(service), pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, KEY)
        entry = {"kind": "sambert", "endpoint": service.endpoint, "api_key_env": VARIABLE, **options}
        engines = {"version": 1, "engines": {"cloud": entry, "spare": {"kind": "tone", "slots": 64}}}
        files = {"engines": json.dumps(engines), "voices": VOICES % voice, "policies": POLICIES}
        with running(directory, **files) as gateway:
            wait_until(lambda: gateway.client.get("/v1/engines").json()["engines"]["cloud"]["state"] == "up")
            yield gateway, service


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        time.sleep(0.005)
    raise AssertionError("it did not come to that")


def speak(gateway: Gateway, text: str, **fields: object) -> httpx.Response:
    reply = gateway.speech(input=text, response_format="pcm", cache="bypass", **fields)
    assert reply.status_code == 200, reply.text
    return reply


def ask(connection: socket.socket) -> None:
    """Ask for a speech without listening."""
    body = json.dumps({"input": "你好，世界。", "cache": "bypass"}).encode()
    connection.sendall(b"POST /v1/speech HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


def test_the_account_s_starts_are_kept_and_who_would_wait_too_long_is_heard_all_the_same(tmp_path: Path) -> None:
    service = Service(starts_per_s=4)
    options = {"starts_per_s": 4, "slots": 32, "queue": 32}
    with cloud(tmp_path, service, **options) as (gateway, _), ThreadPoolExecutor(24) as callers:
        replies = list(callers.map(lambda n: speak(gateway, "你好" + "啊" * n), range(24)))
    by = [reply.headers["x-voxgate-engine"] for reply in replies]
    assert 4 <= by.count("cloud") == len(service.tasks) < 24
    assert by.count("spare") == 24 - by.count("cloud")
    assert {task.state for task in service.tasks} == {"finished"}  # the service throttled nobody


def test_tasks_at_once_are_kept_too(tmp_path: Path) -> None:
    service = Service(usual=Act(fault="silence", at="half"))
    with cloud(tmp_path, service, at_once=1, slots=8) as (gateway, _), gateway.connection() as held:
        ask(held)
        wait_until(lambda: len(service.tasks) == 1)
        assert speak(gateway, "再见。").headers["x-voxgate-engine"] == "spare"
        assert len(service.tasks) == 1


@pytest.mark.parametrize(
    ("options", "voice", "text", "billed"),
    [
        ({}, "sambert-zhihao-v1", "你好, Ann.", 8),
        ({"model": "cosyvoice-v3-plus"}, "longanyang", "你好, Ann.", 10),
    ],
    ids=["sambert", "cosyvoice"],
)
def test_a_request_s_cost_is_what_the_service_says_it_charged(
    tmp_path: Path, options: dict[str, object], voice: str, text: str, billed: int
) -> None:
    with cloud(tmp_path, Service(), voice, cost_per_1k_chars=1000, **options) as (gateway, service):
        reply = speak(gateway, text, language="zh")
        assert len(reply.content) / 2 / 24000 == pytest.approx(len(speech.units(text)) * speech.UNIT_S, abs=0.01)
        (task,) = service.tasks
        assert speech.billed(task.text, 2 if options else 1) == billed
        metrics = gateway.client.get("/metrics").text
        assert f'voxgate_cost_total{{engine="cloud"}} {float(billed)}' in metrics


def test_a_client_that_leaves_is_noticed_by_the_service(tmp_path: Path) -> None:
    service = Service(usual=Act(fault="silence", at="half"))
    with cloud(tmp_path, service) as (gateway, _):
        with gateway.connection() as leaving:
            ask(leaving)
            wait_until(lambda: bool(service.tasks) and service.tasks[0].audio_bytes > 0)
        wait_until(lambda: service.tasks[0].state == "left" and service.open == 0)
