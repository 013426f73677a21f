"""IndexTTS-2 behind a gateway on a real socket, in a worker process that is really killed: the whole way of a text."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from engines.indextts.length_regulator import frames_of
from engines.indextts.sizes import Sizes
from models.bundle import Bundle
from tests.engines.indextts.home import OPTIONS, add_voice, make_home
from tests.engines.indextts.oracle import Oracle
from tests.gateway.http.conftest import Gateway, running

VOICES = """version: 1
default: narrator
voices:
  narrator: {gender: female, engines: {indextts: narrator, espeak: {zh: cmn-latn-pinyin+f3, en: en-us+f3}}}
  newcomer: {engines: {indextts: newcomer}}
"""
POLICIES = """version: 1
rules:
  - {name: live, when: {tags: [live]}, use: [indextts], on_interruption: abort}
  - {name: all, use: [indextts, espeak], first_audio_ms: 30000, gap_ms: 30000}
"""
#: seconds in which something that always happens must have happened
PATIENCE_S = 40.0
CODES = 80
pytestmark = pytest.mark.timeout(150)


@pytest.fixture(scope="module")
def data(oracle: Oracle, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("gateway") / "data", bundle, oracle, "narrator")


@pytest.fixture(scope="module")
def gateway(data: Path) -> Iterator[Gateway]:
    with started(data, "gateway", {"kind": "indextts", **OPTIONS, "max_codes": CODES}) as one:
        yield one


@contextmanager
def started(data: Path, name: str, entry: dict[str, Any]) -> Iterator[Gateway]:
    """A gateway whose engine `indextts` is this entry, beside espeak, once it is up."""
    engines = {"indextts": entry, "espeak": {"kind": "espeak", "slots": 1}}
    files = {
        "gateway": f"version: 1\ndata_dir: {data}\n",
        "engines": f"version: 1\nengines: {json.dumps(engines)}\n",
        "voices": VOICES,
        "policies": POLICIES,
    }
    with running(data.parent / name, **files) as gateway:
        wait_until(lambda: state(gateway) == "up")
        yield gateway


@pytest.fixture
def text(oracle: Oracle) -> str:
    return min((one["text"] for one in oracle.texts()), key=len)


def state(gateway: Gateway) -> str:
    return str(gateway.client.get("/v1/engines").json()["engines"]["indextts"]["state"])


def busy(gateway: Gateway) -> int:
    return int(gateway.client.get("/v1/engines").json()["engines"]["indextts"]["busy"])


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def workers() -> list[psutil.Process]:
    found = [one for one in psutil.Process().children() if "engines.worker" in one.cmdline()]
    return sorted(found, key=psutil.Process.create_time)


def speech(gateway: Gateway, text: str, **fields: Any) -> httpx.Response:
    wanted = {"input": text, "response_format": "pcm", "sample_rate": 22050, "cache": "bypass", **fields}
    return gateway.client.post("/v1/speech", json=wanted, timeout=PATIENCE_S)


def test_a_text_is_spoken_with_its_voice(gateway: Gateway, bundle: Bundle, text: str) -> None:
    reply = speech(gateway, text, language="zh", emotion={"happy": 0.5})
    assert reply.status_code == 200, reply.text
    assert (reply.headers["x-voxgate-engine"], reply.headers["x-voxgate-voice"]) == ("indextts", "narrator")
    mel = Sizes.of_json(bundle.sizes).mel
    seconds = frames_of(CODES) * mel.hop / mel.sample_rate
    assert len(reply.content) / 2 / 22050 == pytest.approx(seconds, rel=0.01)


def test_it_streams_and_whoever_leaves_amid_frees_his_row(gateway: Gateway, text: str) -> None:
    wanted = {"input": text, "response_format": "pcm", "language": "zh", "tags": ["live"], "cache": "bypass"}
    with gateway.client.stream("POST", "/v1/speech", json=wanted, timeout=PATIENCE_S) as reply:
        pieces = list(reply.iter_raw())
    assert len(pieces) > 1
    for _ in range(5):  # more than there are slots
        with gateway.client.stream("POST", "/v1/speech", json=wanted, timeout=PATIENCE_S) as reply:
            assert next(reply.iter_raw())
    wait_until(lambda: busy(gateway) == 0)
    assert speech(gateway, text, language="zh").headers["x-voxgate-engine"] == "indextts"


def test_two_at_once_hear_what_each_hears_alone(gateway: Gateway, text: str) -> None:
    alone = [speech(gateway, text, language="zh", seed=seed).content for seed in (1, 2)]
    together: dict[int, bytes] = {}

    def listen(seed: int) -> None:
        together[seed] = speech(gateway, text, language="zh", seed=seed).content

    listeners = [threading.Thread(target=listen, args=(seed,)) for seed in (1, 2)]
    for one in listeners:
        one.start()
    for one in listeners:
        one.join()
    assert [together[1], together[2]] == alone
    assert alone[0] != alone[1]


def test_instructions_that_it_cannot_follow_are_left_to_the_next_engine(gateway: Gateway, text: str) -> None:
    reply = speech(gateway, text, language="zh", instructions="whisper")
    assert (reply.status_code, reply.headers["x-voxgate-engine"]) == (200, "espeak")
    alone = speech(gateway, text, language="zh", instructions="whisper", model="indextts")
    assert (alone.status_code, alone.json()["error"]["code"]) == (400, "unsupported")


def test_a_voice_made_while_it_runs_can_be_asked_for(
    gateway: Gateway, data: Path, oracle: Oracle, bundle: Bundle, text: str
) -> None:
    before = speech(gateway, text, language="zh", voice="newcomer")
    assert (before.status_code, before.json()["error"]["code"]) == (400, "unsupported")
    add_voice(data, bundle, oracle, "newcomer", seed=3)
    wait_until(lambda: speech(gateway, text, language="zh", voice="newcomer").status_code == 200)


def test_when_its_process_is_killed_amid_a_speech_the_next_engine_speaks_and_it_comes_back(
    gateway: Gateway, text: str
) -> None:
    replies: list[httpx.Response] = []
    speaking = threading.Thread(target=lambda: replies.append(speech(gateway, text, language="zh")))
    speaking.start()
    wait_until(lambda: busy(gateway) > 0)
    (worker,) = (one for one in workers() if "vox:indextts" in one.name())
    os.kill(worker.pid, signal.SIGKILL)
    speaking.join()
    assert (replies[0].status_code, replies[0].headers["x-voxgate-engine"]) == (200, "espeak")
    assert "indextts" in replies[0].headers["x-voxgate-degraded"]
    wait_until(lambda: state(gateway) == "up")
    assert speech(gateway, text, language="zh").headers["x-voxgate-engine"] == "indextts"


def test_a_worker_that_has_grown_is_replaced_between_two_speeches(data: Path, text: str) -> None:
    inner = {"kind": "indextts", **OPTIONS}
    entry = {"kind": "fault", "of": inner, "mode": "leak", "leak_mb": 400, "memory_limit_mb": 50}
    with started(data, "leaking", entry) as gateway:
        first = workers()[-1].pid
        assert speech(gateway, text, language="zh").status_code == 200
        wait_until(lambda: workers()[-1].pid != first)
        assert speech(gateway, text, language="zh").headers["x-voxgate-engine"] == "indextts"
