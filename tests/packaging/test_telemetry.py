"""What operators see of `voxgate serve`: one answer of several processes, and a log that programs read."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.packaging.processes import Gateway, surroundings
from tests.scrapes import Value, values_in

pytestmark = pytest.mark.timeout(120)

REQUESTS = 24


def scrape(gateway: Gateway) -> Value:
    return values_in(gateway.get("/metrics").read().decode())


def counted(gateway: Gateway) -> float:
    labels = {"rule": "everything", "outcome": "complete", "cache": "bypass", "format": "mp3"}
    return scrape(gateway)("voxgate_requests_total", **labels)


def serving(gateway: Gateway) -> list[psutil.Process]:
    """The processes that answer."""
    children = psutil.Process(gateway.process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_whichever_process_is_asked_tells_of_all_and_forgets_nothing_of_one_that_is_killed(tmp_path: Path) -> None:
    with Gateway("--workers", "2", home=tmp_path) as gateway:
        gateway.wait_until(lambda: scrape(gateway)("voxgate_processes") == 2, "both processes are seen")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: gateway.speech("Hello.").read(), range(REQUESTS)))
        # two answers in a row may be one process's; a number that stays for longer than a beat is everybody's
        gateway.wait_until(lambda: all(counted(gateway) == REQUESTS for _ in range(20)), "both tell the same sum")
        victim = serving(gateway)[0]
        victim.kill()
        victim.wait(20)
        gateway.wait_until(lambda: counted(gateway) == REQUESTS, "nothing is forgotten")
        gateway.wait_until(lambda: scrape(gateway)("voxgate_processes") == 2, "another process took its place")
        gateway.speech("Hello.").read()
        gateway.wait_until(lambda: counted(gateway) == REQUESTS + 1, "it goes on from there")
        assert len(list((tmp_path / "data" / "run").glob("metrics-*"))) == 1
        assert gateway.stop() == 0, gateway.log
    assert list((tmp_path / "data" / "run").glob("metrics-*")) == []


def test_the_log_is_json_and_each_line_of_a_request_has_its_id(tmp_path: Path) -> None:
    environment = surroundings(tmp_path, VOXGATE_LOG__FORMAT="json", VOXGATE_LOG__LEVEL="debug")
    with Gateway(home=tmp_path, environment=environment) as gateway:
        request_id = gateway.speech("Hello.").headers["x-request-id"]
        assert gateway.stop() == 0
        lines = [json.loads(line) for line in gateway.log.splitlines()]
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)
    (served,) = [line for line in lines if line["logger"] == "voxgate.access"]
    assert served["request_id"] == request_id
    assert served["facts"]["engine"] == "espeak"
    assert served["facts"]["chars"] == len("Hello.")
    assert "Hello" not in gateway.log
