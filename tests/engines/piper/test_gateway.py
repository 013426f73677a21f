"""Voices for Piper behind a gateway on a real socket, in a worker process: the whole way of a text."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from tests.engines.piper.little import HOP, SAMPLE_RATE
from tests.gateway.http.conftest import Gateway, running

ENGINES = """version: 1
engines:
  piper: {kind: piper, slots: 2, memory_mb: 60}
  empty: {kind: piper, folder: nothing-here}
  espeak: {kind: espeak, slots: 1}
"""
VOICES = """version: 1
default: narrator
voices:
  narrator: {engines: {piper: {en: "en_GB-crowd:alice", zh: zh_CN-xiao}, espeak: {en: en-us, zh: cmn-latn-pinyin}}}
  motek: {engines: {piper: he_IL-motek, espeak: en-us}}
"""
POLICIES = """version: 1
rules:
  - {name: all, use: [empty, piper, espeak]}
last_resort: espeak
"""
PATIENCE_S = 30.0
pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def gateway(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    files = {"engines": ENGINES, "voices": VOICES, "policies": POLICIES, "gateway": f"version: 1\ndata_dir: {home}\n"}
    with running(tmp_path_factory.mktemp("gateway") / "one", **files) as one:
        until = time.monotonic() + PATIENCE_S
        while engines(one)["piper"]["state"] != "up":
            assert time.monotonic() < until, engines(one)["piper"]
            time.sleep(0.02)
        yield one


def engines(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.client.get("/v1/engines").json()["engines"]
    return found


def speech(gateway: Gateway, text: str, **fields: Any) -> httpx.Response:
    wanted = {"input": text, "response_format": "wav", "sample_rate": SAMPLE_RATE, "cache": "bypass", **fields}
    return gateway.client.post("/v1/speech", json=wanted, timeout=PATIENCE_S)


def decoded(reply: httpx.Response) -> tuple[np.ndarray[Any, Any], int]:
    assert reply.status_code == 200, reply.text
    return soundfile.read(io.BytesIO(reply.content))  # type: ignore[no-any-return]


def test_a_text_is_spoken_and_measures_what_the_voice_gives(gateway: Gateway) -> None:
    reply = speech(gateway, "人人好。", language="zh")
    assert (reply.headers["x-voxgate-engine"], reply.headers["x-voxgate-voice"]) == ("piper", "zh_CN-xiao")
    samples, rate = decoded(reply)
    assert (rate, len(samples)) == (SAMPLE_RATE, (2 + 3 * 4 + 2 + 1) * HOP)
    assert np.sqrt(np.mean(np.square(samples))) == pytest.approx(0.1, rel=0.1)


def test_two_voices_speak_at_once_where_only_one_has_room(gateway: Gateway) -> None:
    wanted = [("The weather is fine today.", "en"), ("今天天气很好。", "zh")]
    alone = [decoded(speech(gateway, text, language=language))[0] for text, language in wanted]
    heard: dict[int, np.ndarray[Any, Any]] = {}

    def listen(number: int) -> None:
        text, language = wanted[number % 2]
        heard[number] = decoded(speech(gateway, text, language=language))[0]

    listeners = [threading.Thread(target=listen, args=(number,)) for number in range(6)]
    for one in listeners:
        one.start()
    for one in listeners:
        one.join()
    assert all(np.array_equal(samples, alone[number % 2]) for number, samples in heard.items())
    assert len(heard) == 6


def test_what_a_voice_cannot_say_the_next_engine_says(gateway: Gateway) -> None:
    reply = speech(gateway, "好的 OK", language="zh")
    assert (reply.status_code, reply.headers["x-voxgate-engine"]) == (200, "espeak")


def test_a_voice_that_cannot_speak_says_why_and_the_next_engine_speaks(gateway: Gateway) -> None:
    reply = speech(gateway, "shalom", language="en", voice="piper:he_IL-motek")
    assert reply.status_code == 400
    assert "phonemes are of type 'hebrew'" in reply.json()["error"]["message"]
    assert speech(gateway, "shalom", voice="motek", language="en").headers["x-voxgate-engine"] == "espeak"


def test_a_folder_without_voices_is_not_installed_with_the_command(gateway: Gateway) -> None:
    state = engines(gateway)["empty"]
    assert state["state"] == "not_installed"
    assert "curl" in str(state)
