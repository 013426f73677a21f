"""Kokoro behind a gateway on a real socket, in a worker process: the whole way of a text."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.engines.kokoro.tiny import LEVELS, level_of
from tests.gateway.http.conftest import Gateway, running

VOICES = """version: 1
default: narrator
voices:
  narrator: {engines: {kokoro: {zh: zf_xiaobei, en: af_heart}}}
  adam: {engines: {kokoro: {en: am_adam}}}
  mixed: {engines: {kokoro: mine}}
"""
POLICIES = "version: 1\nrules:\n  - {name: all, use: [kokoro], first_audio_ms: 30000}\n"
ENTRY = {"kind": "kokoro", "mixes": {"mine": "zf_xiaobei(1)+af_heart(3)"}}
PATIENCE_S = 40.0
pytestmark = pytest.mark.timeout(150)


@pytest.fixture(scope="module")
def gateway(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    files = {
        "gateway": f"version: 1\ndata_dir: {home}\n",
        "engines": f"version: 1\nengines: {json.dumps({'kokoro': ENTRY})}\n",
        "voices": VOICES,
        "policies": POLICIES,
    }
    with running(tmp_path_factory.mktemp("gateway") / "kokoro", **files) as gateway:
        until = time.monotonic() + PATIENCE_S
        while gateway.client.get("/v1/engines").json()["engines"]["kokoro"]["state"] != "up":
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.02)
        yield gateway


def speech(gateway: Gateway, text: str, **fields: object) -> httpx.Response:
    wanted = {"input": text, "response_format": "pcm", "sample_rate": 24000, "cache": "bypass", **fields}
    reply = gateway.client.post("/v1/speech", json=wanted, timeout=PATIENCE_S)
    assert reply.status_code == 200, reply.text
    return reply


def test_each_language_has_its_voice(gateway: Gateway) -> None:
    reply = speech(gateway, "今天天气很好。")
    assert (reply.headers["x-voxgate-engine"], reply.headers["x-voxgate-voice"]) == ("kokoro", "zf_xiaobei")
    assert level_of(reply.content) == pytest.approx(LEVELS["zf_xiaobei"], abs=0.05)
    assert level_of(speech(gateway, "The weather is fine.").content) == pytest.approx(LEVELS["af_heart"], abs=0.05)


def test_a_mix_that_is_named_and_one_that_is_asked_for(gateway: Gateway) -> None:
    named = speech(gateway, "好。", voice="mixed", language="zh")
    assert level_of(named.content) == pytest.approx((LEVELS["zf_xiaobei"] + 3 * LEVELS["af_heart"]) / 4, abs=0.05)
    asked = speech(gateway, "Good morning.", voice="kokoro:af_heart(1)+am_adam(2)")
    assert level_of(asked.content) == pytest.approx((LEVELS["af_heart"] + 2 * LEVELS["am_adam"]) / 3, abs=0.05)


def test_two_voices_at_once(gateway: Gateway) -> None:
    heard: dict[str, bytes] = {}

    def listen(voice: str) -> None:
        with httpx.Client(base_url=gateway.url, timeout=PATIENCE_S) as client:
            wanted = {"input": "One here. Two there. Three.", "voice": voice, "response_format": "pcm"}
            heard[voice] = client.post("/v1/speech", json={**wanted, "cache": "bypass"}).content

    listeners = [threading.Thread(target=listen, args=(voice,)) for voice in ("narrator", "adam")]
    for one in listeners:
        one.start()
    for one in listeners:
        one.join()
    assert level_of(heard["narrator"]) == pytest.approx(LEVELS["af_heart"], abs=0.05)
    assert level_of(heard["adam"]) == pytest.approx(LEVELS["am_adam"], abs=0.05)
    assert len(heard["narrator"]) == len(heard["adam"])


def test_licence_and_attribution_are_shown(gateway: Gateway) -> None:
    told = json.dumps(gateway.client.get("/v1/engines").json()) + json.dumps(gateway.client.get("/v1/voices").json())
    assert "Apache-2.0" in told
