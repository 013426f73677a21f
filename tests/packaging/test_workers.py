"""`serve --workers 2` without Redis: two processes behave as one."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.packaging.processes import Gateway
from tests.packaging.test_serve import slow_configuration

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Gateway]:
    config = slow_configuration(tmp_path, 0.5, limits="{requests_per_minute: 60}")
    with Gateway("--workers", "2", "--config", config, home=tmp_path) as gateway:
        gateway.wait_until(lambda: ready(gateway) == 2, "both processes are ready")
        yield gateway


def ready(gateway: Gateway) -> int:
    """Processes that were ready so far, as the log tells."""
    return gateway.log.count("engine tone is ready")


def children(gateway: Gateway) -> list[psutil.Process]:
    """The two processes that serve."""
    found = [one for one in psutil.Process(gateway.process.pid).children() if "spawn_main" in " ".join(one.cmdline())]
    assert len(found) == 2
    return found


def ask(gateway: Gateway, text: str, **more: object) -> tuple[int, dict[str, str], bytes]:
    """Over a connection of its own, so that either process may answer."""
    body = json.dumps({"input": text, "response_format": "wav", **more}).encode()
    request = urllib.request.Request(f"{gateway.url}/v1/speech", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def test_equal_requests_at_once_are_made_once(two: Gateway) -> None:
    answers: list[tuple[int, dict[str, str], bytes]] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(two, "one two three four five"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _, _ in answers} == {200}
    assert len({audio for _, _, audio in answers}) <= 2  # as a stream, and whole from the cache
    assert Counter(headers["x-voxgate-cache"] for _, headers, _ in answers)["miss"] == 1


def test_a_clip_that_one_made_the_other_sends(two: Gateway) -> None:
    ask(two, "a clip for all")
    assert [ask(two, "a clip for all")[1]["x-voxgate-cache"] for _ in range(10)] == ["hit"] * 10


def test_the_outcome_of_a_request_is_found_by_both(two: Gateway) -> None:
    request_id = ask(two, "what became of it")[1]["x-request-id"]

    def found_by_both() -> bool:
        try:
            return all(json.load(two.get(f"/v1/speech/{request_id}"))["complete"] for _ in range(10))
        except urllib.error.HTTPError:
            return False  # it is written by the side, a moment after the reply

    two.wait_until(found_by_both, "both know it")


def test_together_they_let_no_more_through_than_the_limit(two: Gateway) -> None:
    statuses = Counter(ask(two, "again and again")[0] for _ in range(70))
    assert statuses[429] >= 5
    assert 60 <= statuses[200] <= 65  # a minute's worth, and what comes back meanwhile


def test_one_that_is_killed_is_replaced_and_shares_again(two: Gateway) -> None:
    ask(two, "before the fall")
    killed = children(two)[0]
    killed.kill()
    two.wait_until(lambda: ready(two) == 3, "another is ready")
    assert f"process {killed.pid} ended (status -9)" in two.log
    assert [ask(two, "before the fall")[1]["x-voxgate-cache"] for _ in range(10)] == ["hit"] * 10


def test_one_that_is_started_anew_waits_until_mistakes_in_the_files_are_mended(two: Gateway, tmp_path: Path) -> None:
    policies = tmp_path / "slow" / "policies.yaml"
    right = policies.read_text()
    policies.write_text("version: 1\nrules: [{name: everything, use: [nobody]}]\n")
    children(two)[0].kill()
    two.wait_until(lambda: "a new process waits" in two.log, "the new process waits")
    assert ask(two, "the other one serves on")[0] == 200
    policies.write_text(right)
    two.wait_until(lambda: ready(two) == 3, "it is ready after all")
    assert two.log.count("a new process waits") == 1
