"""The only engine dies and comes back: whoever asks meanwhile waits a moment, and hears everything once."""

import os
import signal
import threading
from collections.abc import Callable

import httpx
import psutil
import pytest

from .conftest import Gateway

WORDS = "One two three. Four five six seven. Eight nine."


@pytest.fixture
def lonely(server: Callable[..., Gateway]) -> Gateway:
    """A gateway with one engine, in a process of its own, which speaks in real time."""
    return server(
        engines="version: 1\nengines:\n  only: {kind: tone, isolation: process, real_time_factor: 0.5, chunk_ms: 20}\n",
        voices="version: 1\ndefault: v\nvoices:\n  v: {languages: [en], engines: {only: v}}\n",
        policies="version: 1\nrules:\n  - {name: all, use: [only]}\n",
    )


def kill_worker() -> None:
    """The youngest one: that of an earlier test may still linger."""
    workers = [one for one in psutil.Process().children() if "engines.worker" in one.cmdline()]
    os.kill(max(workers, key=psutil.Process.create_time).pid, signal.SIGKILL)


def whole_length(response: httpx.Response) -> bool:
    """Nine beeps of 80 ms, each with its gap of 40 ms, at 24 kHz and two bytes a sample."""
    return response.status_code == 200 and len(response.content) == 9 * 120 * 24 * 2


def test_a_request_that_comes_while_the_only_engine_is_dead_is_served(lonely: Gateway) -> None:
    kill_worker()
    response = lonely.speech(input=WORDS, response_format="pcm", sample_rate=24000)
    assert whole_length(response), (response.status_code, len(response.content), response.text[:300])


def test_a_speech_goes_on_when_the_only_engine_dies_in_it(lonely: Gateway) -> None:
    replies: list[httpx.Response] = []
    speaking = threading.Thread(
        target=lambda: replies.append(lonely.speech(input=WORDS, response_format="pcm", sample_rate=24000))
    )
    speaking.start()
    while not lonely.client.get("/v1/engines").json()["engines"]["only"]["busy"]:
        pass  # bounded by the test's own time limit
    kill_worker()
    speaking.join()
    assert whole_length(replies[0]), (replies[0].status_code, len(replies[0].content), replies[0].text[:300])
