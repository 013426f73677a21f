"""Degradation, over a real socket and with real worker processes: whatever an engine does, each word sounds once."""

import io
import os
import signal
import threading
from collections.abc import Callable

import av
import httpx
import psutil
import pytest

from engines.testing import count_beeps
from tests.gateway.http.conftest import Gateway

VOICES = "version: 1\ndefault: v\nvoices:\n  v: {languages: [zh, en], engines: {drill: v, spare: v}}\n"
TEXT = "One two three. Four five six seven. Eight nine."
WORDS = 9

Server = Callable[..., Gateway]


def drilled(server: Server, mode: str, *, rule: str = "", more: str = "", isolation: str = "inline") -> Gateway:
    """A gateway whose preferred engine breaks in a given way, and whose second one is well."""
    of = "{kind: tone, chunk_ms: 20}"
    return server(
        engines=f"version: 1\nengines:\n"
        f"  drill: {{kind: fault, of: {of}, mode: {mode}, isolation: {isolation}{more}}}\n  spare: {{kind: tone}}\n",
        voices=VOICES,
        policies=f"version: 1\nrules:\n  - {{name: both, use: [drill, spare], retries: 0{rule}}}\n",
    )


def wait_for(gateway: Gateway, engine: str, state: str = "up") -> None:
    """Return once an engine is in that state; the test's own time limit bounds it."""
    while gateway.client.get("/v1/engines").json()["engines"][engine]["state"] != state:
        pass


def beeps(gateway: Gateway, format: str = "pcm", **fields: object) -> tuple[int, httpx.Response]:
    response = gateway.speech(input=TEXT, response_format=format, sample_rate=24000, **fields)
    assert response.status_code == 200, response.text
    return count_beeps(response.content, 24000), response


@pytest.mark.parametrize("mode", ["refuse", "empty", "cut"])
def test_an_engine_that_fails_before_any_audio_is_replaced_and_that_is_told(server: Server, mode: str) -> None:
    heard, response = beeps(drilled(server, mode))
    assert heard == WORDS
    assert response.headers["x-voxgate-engine"] == "spare"
    assert response.headers["x-voxgate-attempts"] == "2"
    assert response.headers["x-voxgate-degraded"].startswith("drill: ")


def test_an_engine_that_hangs_is_left_after_the_rules_time(server: Server) -> None:
    heard, response = beeps(drilled(server, "hang", rule=", first_audio_ms: 200"))
    assert heard == WORDS
    assert "0.2 s" in response.headers["x-voxgate-degraded"]


def test_an_engine_that_falls_silent_in_the_middle_is_left_too(server: Server) -> None:
    gateway = drilled(server, "hang", more=", after_s: 0.2", rule=", gap_ms: 200")
    heard, _ = beeps(gateway)
    assert heard == WORDS


def test_a_slow_engine_that_is_within_its_time_speaks(server: Server) -> None:
    heard, response = beeps(drilled(server, "slow", more=", delay_s: 0.05"))
    assert (heard, response.headers["x-voxgate-engine"]) == (WORDS, "drill")
    assert "x-voxgate-degraded" not in response.headers


@pytest.mark.parametrize("after_ms", range(20, 600, 60))
def test_cut_at_any_chunk_each_word_sounds_exactly_once(server: Server, after_ms: int) -> None:
    gateway = drilled(server, "cut", more=f", after_s: {after_ms / 1000}")
    heard, response = beeps(gateway)
    assert heard == WORDS
    outcome = gateway.client.get(f"/v1/speech/{response.headers['x-request-id']}").json()
    assert (outcome["state"], outcome["complete"]) == ("complete", True)
    assert outcome["clause_engines"][-1] == "spare"


def test_under_abort_a_cut_speech_is_broken_off_and_never_cleanly_ended(server: Server) -> None:
    gateway = drilled(server, "cut", more=", after_s: 0.3", rule=", on_interruption: abort")
    with pytest.raises(httpx.RemoteProtocolError):
        gateway.speech(input=TEXT, response_format="pcm")
    with gateway.client.stream("POST", "/v1/speech", json={"input": TEXT, "response_format": "mp3"}) as response:
        assert response.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            response.read()
    outcome = gateway.client.get(f"/v1/speech/{response.headers['x-request-id']}").json()
    assert (outcome["state"], outcome["complete"]) == ("interrupted", False)


def test_a_worker_that_crashes_in_the_middle_is_replaced_and_each_word_sounds_once(server: Server) -> None:
    gateway = drilled(server, "crash", more=", after_s: 0.2", isolation="process")
    wait_for(gateway, "drill")
    heard, response = beeps(gateway)
    assert heard == WORDS
    outcome = gateway.client.get(f"/v1/speech/{response.headers['x-request-id']}").json()
    assert outcome["attempts"][0]["error"]["message"] == "the worker of drill died (killed by SIGKILL)"
    wait_for(gateway, "drill")  # it was started again
    again, _ = beeps(gateway, cache="bypass")
    assert again == WORDS


def test_a_worker_that_holds_its_interpreter_lock_keeps_only_itself(server: Server) -> None:
    gateway = drilled(server, "hold_gil", more=", delay_s: 30", rule=", first_audio_ms: 300", isolation="process")
    wait_for(gateway, "drill")
    heard, response = beeps(gateway)
    assert (heard, response.headers["x-voxgate-engine"]) == (WORDS, "spare")
    assert gateway.client.get("/livez").status_code == 200


def test_a_worker_killed_while_it_speaks_takes_nobody_down(server: Server) -> None:
    gateway = server(
        engines="version: 1\nengines:\n"
        "  drill: {kind: tone, isolation: process, real_time_factor: 1.0, chunk_ms: 20}\n  spare: {kind: tone}\n",
        voices=VOICES,
        policies="version: 1\nrules:\n  - {name: both, use: [drill, spare], retries: 0}\n",
    )
    wait_for(gateway, "drill")
    replies: list[tuple[int, httpx.Response]] = []
    speaking = threading.Thread(target=lambda: replies.append(beeps(gateway)))
    speaking.start()
    victims: list[psutil.Process] = []
    while not victims:  # bounded by the test's own time limit
        busy = gateway.client.get("/v1/engines").json()["engines"]["drill"]["busy"]
        victims = [one for one in psutil.Process().children() if busy and "engines.worker" in one.cmdline()]
    os.kill(victims[0].pid, signal.SIGKILL)
    speaking.join()
    heard, response = replies[0]
    assert heard == WORDS
    outcome = gateway.client.get(f"/v1/speech/{response.headers['x-request-id']}").json()
    assert outcome["clause_engines"][-1] == "spare"
    assert gateway.client.get("/readyz").status_code == 200


def test_an_engine_that_keeps_failing_is_no_longer_tried_and_that_is_told(server: Server) -> None:
    gateway = drilled(server, "refuse")
    for _ in range(5):
        beeps(gateway, cache="bypass")
    _, response = beeps(gateway, cache="bypass")
    assert response.headers["x-voxgate-attempts"] == "1"
    assert response.headers["x-voxgate-degraded"].startswith("drill: down")
    assert gateway.client.get("/v1/engines").json()["engines"]["drill"]["state"] == "down"


def test_an_engine_that_cannot_start_is_passed_over(server: Server) -> None:
    gateway = drilled(server, "crash")  # refused by its kind: not in the gateway's own process
    heard, response = beeps(gateway)
    assert (heard, response.headers["x-voxgate-attempts"]) == (WORDS, "1")
    assert "process" in gateway.client.get("/v1/engines").json()["engines"]["drill"]["reason"]


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav"])
def test_a_file_spoken_by_two_engines_is_one_well_formed_file(server: Server, format: str) -> None:
    gateway = drilled(server, "cut", more=", after_s: 0.7")
    response = gateway.speech(input=TEXT, response_format=format, sample_rate=24000)
    with av.open(io.BytesIO(response.content)) as file:
        resampler = av.AudioResampler("s16", "mono", 24000)
        frames = [frame for decoded in file.decode(audio=0) for frame in resampler.resample(decoded)]
    pcm = b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames)
    assert count_beeps(pcm, 24000) == WORDS
