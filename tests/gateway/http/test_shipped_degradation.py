"""The shipped rules, through HTTP: IndexTTS first, Sambert when it is down, loaded or the text is long, espeak-ng last.

All files are the shipped ones. IndexTTS, whose weights are its user's own download, is stood in for by an engine that
the tests can break; Model Studio by a server that speaks its protocol; espeak-ng is itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx
import pytest

from engines.contract import AudioChunk, EngineInfo, EngineKind, SpeechRequest
from engines.errors import EngineFault, Unavailable
from engines.indextts.options import IndexTtsOptions
from gateway.configuration.load import shipped_directory
from gateway.fleet import keeper
from tests.engines.sambert import speech
from tests.engines.sambert.beside import service_beside
from tests.engines.sambert.service import KEY, Act, Door, Service
from tests.engines_at_hand import chunk
from tests.gateway.http.conftest import Gateway, running

SHORT = "床前明月光，疑是地上霜。"
LONG = "举头望明月，低头思故乡。" * 20
FILES = {name: (shipped_directory() / f"{name}.yaml").read_text("utf-8") for name in ("engines", "voices", "policies")}
#: of a character in the voice of the stand-in for IndexTTS
CHAR_MS = 40


@dataclass
class First:
    """Stands in for IndexTTS, as every engine of its kind. `mood` is changed by tests, in another thread."""

    mood: Literal["well", "breaks", "dead", "holds"] = "well"
    speaking: int = 0
    spoken: list[str] = field(default_factory=list)

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(any_voice=True, languages=frozenset({"zh", "en"}), slots=4, version="1")

    async def start(self) -> None:
        await self.check()

    async def check(self) -> None:
        if self.mood == "dead":
            raise Unavailable("the model is gone")

    async def close(self) -> None: ...

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        self.speaking += 1
        try:
            while self.mood == "holds":  # noqa: ASYNC110 - another thread changes it
                await asyncio.sleep(0.005)
            if self.mood == "breaks":
                raise EngineFault("the model broke")
            self.spoken.append(request.text)
            yield chunk(CHAR_MS * len(request.text))
        finally:
            self.speaking -= 1


@dataclass
class Scene:
    gateway: Gateway
    first: First
    cloud: Service

    def speak(self, text: str = SHORT, **fields: object) -> httpx.Response:
        """A speech that no cache answers. Raises when it is no success."""
        body = {"input": text, "response_format": "pcm", "cache": "bypass", **fields}
        reply = self.gateway.client.post("/v1/speech", json=body)
        assert reply.status_code == 200, reply.text
        return reply

    def state(self, engine: str) -> str:
        listed = self.gateway.client.get("/v1/engines").json()["engines"]
        return str(listed[engine]["state"])

    def wait_until(self, holds: Callable[[], bool]) -> None:
        for _ in range(2000):
            if holds():
                return
            time.sleep(0.005)
        raise AssertionError("it did not come to that")


@contextmanager
def scene(directory: Path, key: str = KEY) -> Iterator[Scene]:
    """The shipped gateway. Engines are looked after more often than every five seconds."""
    first, cloud = First(), Service()
    kind = EngineKind("indextts", IndexTtsOptions, lambda *_: first, "for tests", "", isolation="inline")
    with service_beside(cloud), pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASHSCOPE_WEBSOCKET_BASE_URL", cloud.endpoint)
        patch.setenv("DASHSCOPE_API_KEY", key)
        patch.setattr(keeper, "CHECK_EVERY_S", 0.05)
        with running(directory, [kind], **FILES) as gateway:
            one = Scene(gateway, first, cloud)
            one.wait_until(lambda: "starting" not in {one.state(name) for name in ("indextts", "sambert", "espeak")})
            yield one


@pytest.fixture(scope="module")
def _scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("shipped")) as one:
        yield one


@pytest.fixture
def at(_scene: Scene) -> Iterator[Scene]:
    """All engines are well, before each test and after it."""
    yield _scene
    _scene.first.mood = "well"
    _scene.cloud.doors.clear()
    _scene.cloud.acts.clear()
    _scene.wait_until(lambda: _scene.state("indextts") == "up")


def seconds(reply: httpx.Response) -> float:
    return len(reply.content) / 2 / int(reply.headers["x-sample-rate"])


def said_by(reply: httpx.Response) -> tuple[str, str, str]:
    """Engine, rule, and the engine that was wanted instead."""
    headers = reply.headers
    return (
        headers["x-voxgate-engine"],
        headers["x-voxgate-rule"],
        headers.get("x-voxgate-degraded", "").partition(":")[0],
    )


def cloud_s(text: str) -> float:
    return len(speech.units(text)) * speech.UNIT_S


def test_while_all_are_well_the_first_speaks_short_texts_and_the_cloud_long_ones(at: Scene) -> None:
    short, long = at.speak(SHORT), at.speak(LONG)
    assert said_by(short) == ("indextts", "everything", "")
    assert said_by(long) == ("sambert", "long texts", "")
    assert long.headers["x-voxgate-voice"] == "sambert-zhiqi-v1"
    assert seconds(short) == pytest.approx(CHAR_MS * len(SHORT) / 1000, abs=0.05)
    assert seconds(long) == pytest.approx(cloud_s(LONG), rel=0.01)


def test_what_a_busy_machine_has_no_room_for_is_spoken_in_the_cloud_until_it_has(at: Scene) -> None:
    at.first.mood = "holds"
    with ThreadPoolExecutor() as callers:
        held = [callers.submit(at.speak, SHORT + "甲" * n) for n in range(4)]
        try:
            at.wait_until(lambda: at.first.speaking == 4)
            assert said_by(at.speak()) == ("sambert", "a busy machine", "")
        finally:
            at.first.mood = "well"
        assert {said_by(one.result()) for one in held} == {("indextts", "everything", "")}
    assert said_by(at.speak()) == ("indextts", "everything", "")


def test_when_the_first_is_gone_the_cloud_speaks_until_it_is_back(at: Scene) -> None:
    at.first.mood = "dead"
    at.wait_until(lambda: at.state("indextts") == "down")
    gone = at.speak()
    assert said_by(gone) == ("sambert", "everything", "indextts")
    assert gone.headers["x-voxgate-degraded"].endswith("the model is gone")
    assert seconds(gone) == pytest.approx(cloud_s(SHORT), rel=0.01)
    at.first.mood = "well"
    at.wait_until(lambda: at.state("indextts") == "up")
    assert said_by(at.speak()) == ("indextts", "everything", "")


def test_who_meets_a_fault_of_the_first_hears_the_cloud_in_the_same_request(at: Scene) -> None:
    at.first.mood = "breaks"
    reply = at.speak()
    assert said_by(reply) == ("sambert", "everything", "indextts")
    assert reply.headers["x-voxgate-attempts"] == "3"  # the first one twice
    assert seconds(reply) == pytest.approx(cloud_s(SHORT), rel=0.01)


def test_when_both_fail_the_last_one_speaks_in_its_own_voice(at: Scene) -> None:
    at.first.mood = "dead"
    at.wait_until(lambda: at.state("indextts") == "down")
    at.cloud.doors.extend([Door(503)] * 2)
    at.cloud.acts.extend([Act(fault="failed", at="started")] * 2)
    reply = at.speak()
    assert said_by(reply) == ("espeak", "everything", "indextts")
    assert reply.headers["x-voxgate-voice"] == "cmn-latn-pinyin+f3"
    assert seconds(reply) > 1


def test_a_language_that_neither_speaks_is_the_last_one_s_and_no_degradation(at: Scene) -> None:
    assert said_by(at.speak("Привет, мир.")) == ("espeak", "everything", "")
    german = at.speak("Guten Tag.", language="de")
    assert (said_by(german), german.headers["x-voxgate-voice"]) == (("sambert", "everything", ""), "sambert-hanna-v1")


def test_when_the_cloud_breaks_off_the_first_goes_on_with_the_sentence_and_nothing_is_lost(at: Scene) -> None:
    at.cloud.acts.extend([Act(), Act(fault="reset", at="half")])
    at.first.spoken.clear()
    reply = at.speak(LONG)
    outcome = at.gateway.client.get(f"/v1/speech/{reply.headers['x-request-id']}").json()
    assert (said_by(reply)[0], outcome["complete"]) == ("sambert", True)
    by_cloud = at.cloud.tasks[-2].text
    assert by_cloud + "".join(at.first.spoken) == LONG
    assert seconds(reply) == pytest.approx(cloud_s(by_cloud) + CHAR_MS * len(LONG[len(by_cloud) :]) / 1000, rel=0.01)


def test_without_a_key_nothing_is_degraded_and_the_first_speaks_long_texts_too(tmp_path: Path) -> None:
    with scene(tmp_path, key="") as at:
        assert at.state("sambert") == "not_configured"
        assert said_by(at.speak(LONG)) == ("indextts", "everything", "")
        at.first.mood = "dead"
        at.wait_until(lambda: at.state("indextts") == "down")
        assert said_by(at.speak()) == ("espeak", "everything", "indextts")
        assert not at.cloud.handshakes


def test_a_cloud_that_takes_no_more_is_left_alone_and_the_first_speaks_long_texts(tmp_path: Path) -> None:
    with scene(tmp_path) as at:
        at.cloud.acts.append(Act(fault="failed", at="first", code="Throttling.RateQuota"))
        assert said_by(at.speak(LONG)) == ("indextts", "long texts", "sambert")
        assert at.state("sambert") == "cooling"
        assert said_by(at.speak(LONG)) == ("indextts", "everything", "")
        assert len(at.cloud.tasks) == 1


def test_a_wrong_key_costs_one_try_and_is_told_to_the_operator_alone(tmp_path: Path) -> None:
    with scene(tmp_path, key="sk-wrong") as at:
        reply = at.speak(LONG)
        assert said_by(reply) == ("indextts", "long texts", "sambert")
        assert at.state("sambert") == "down"
        assert said_by(at.speak(LONG)) == ("indextts", "everything", "")
        assert len(at.cloud.handshakes) == 1
        assert "sk-wrong" not in str(reply.headers) + at.gateway.client.get("/v1/engines").text
