"""Gateways as processes of their own on one real Redis: what a client sees, also when the one it follows is killed."""

from __future__ import annotations

import http.client
import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests.packaging.processes import ROOT, Gateway, surroundings
from tests.redis_at_hand import RedisServer

#: an engine that writes down each sentence it is asked for, and waits for a file before it speaks one
ENGINE = """
import asyncio, os
from pathlib import Path
from engines.contract import AudioChunk, EngineInfo, EngineKind, Options
from engines.hooks import hookimpl

class Where(Options):
    folder: str

class Slow:
    info = EngineInfo(any_voice=True, any_language=True, slots=8)

    def __init__(self, folder):
        self._folder = Path(folder)

    async def start(self): ...
    async def check(self): ...
    async def close(self): ...

    async def synthesize(self, request):
        with (self._folder / "asked").open("a") as asked:
            asked.write(f"{os.getpid()} {request.text}\\n")
        while not (self._folder / request.text.strip(".")).exists():
            await asyncio.sleep(0.01)
        yield AudioChunk((len(request.text) * 100).to_bytes(2, "little") * 8000, 8000)

@hookimpl
def engine_kinds():
    return [EngineKind("slow", Where, lambda _, options: Slow(options.folder), "for tests", "", isolation="inline")]
"""
POLICIES = """version: 1
defaults: {first_audio_ms: 60000, gap_ms: 60000}
rules:
  - {name: everything, use: [slow]}
"""
VOICES = "version: 1\ndefault: v\nvoices:\n  v: {languages: [en], engines: {slow: v}}\n"
SENTENCES = ("One", "Twelve", "Hundreds")
TEXT = " ".join(f"{sentence}." for sentence in SENTENCES)


class Street:
    """Two gateways on one Redis, and the engine that each has in it."""

    def __init__(self, folder: Path, redis: RedisServer, stack: ExitStack) -> None:
        self.folder = folder / "engine"
        self.homes = [folder / "north", folder / "south"]
        config, site = folder / "config", folder / "site"
        for one in (self.folder, *self.homes, config, site / "slow-1.dist-info"):
            one.mkdir(parents=True)
        (site / "slow_engine.py").write_text(ENGINE)
        (site / "slow-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1\n")
        (site / "slow-1.dist-info" / "entry_points.txt").write_text("[voxgate.engines]\nslow = slow_engine\n")
        files = {
            "gateway": "version: 1\ndata_dir: ${VOXGATE_DATA}\ndrain_s: 1\n"
            f"redis: {{url: '{redis.url}', budget_ms: 2000}}\n",
            "engines": f"version: 1\nengines:\n  slow: {{kind: slow, folder: {self.folder}}}\n",
            "voices": VOICES,
            "policies": POLICIES,
        }
        for name, text in files.items():
            (config / f"{name}.yaml").write_text(text)
        self.gateways = [self._start(home, config, site, stack) for home in self.homes]
        for gateway in self.gateways:
            gateway.__enter__()  # waits until it is ready

    def _start(self, home: Path, config: Path, site: Path, stack: ExitStack) -> Gateway:
        environment = surroundings(home, PYTHONPATH=f"{ROOT}:{site}", VOXGATE_DATA=str(home / "data"))
        gateway = Gateway("--config", str(config), home=home, environment=environment)
        stack.push(gateway.__exit__)
        return gateway

    def speak(self, *sentences: str) -> None:
        """Let the engine go on with these."""
        for sentence in sentences:
            (self.folder / sentence).touch()

    def asked(self) -> list[str]:
        """The process and the text of each request that reached an engine."""
        log = self.folder / "asked"
        return log.read_text().splitlines() if log.exists() else []

    def ask(self, gateway: int, **fields: object) -> HTTPResponse:
        return self.gateways[gateway].speech(TEXT, cache="use", response_format="pcm", sample_rate=8000, **fields)

    def wait_until_asked(self, gateway: int, count: int = 1) -> None:
        self.gateways[gateway].wait_until(lambda: len(self.asked()) >= count, "the engine is asked")


def pcm(*sentences: str) -> bytes:
    return b"".join((len(f"{sentence}.") * 100).to_bytes(2, "little") * 8000 for sentence in sentences)


@pytest.fixture
def street(tmp_path: Path, redis_server: RedisServer) -> Iterator[Street]:
    with ExitStack() as stack:
        yield Street(tmp_path, redis_server, stack)


def test_equal_requests_cost_one_synthesis_and_are_heard_while_it_is_made(street: Street) -> None:
    street.speak("One")
    all_hear = threading.Barrier(12)

    def hear(number: int) -> tuple[bytes, str]:
        response = street.ask(number % 2)
        begin = response.read(len(pcm("One")))
        all_hear.wait(40)
        if number == 0:
            street.speak("Twelve", "Hundreds")
        return begin + response.read(), response.headers["x-voxgate-cache"]

    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(hear, range(12)))
    assert {data for data, _ in replies} == {pcm(*SENTENCES)}
    assert sorted(cache for _, cache in replies) == ["follow"] * 11 + ["miss"]
    assert [line.split()[1] for line in street.asked()] == [f"{sentence}." for sentence in SENTENCES]


@pytest.mark.parametrize("amid", [False, True])
def test_a_leader_that_is_killed_leaves_no_follower_hanging(street: Street, amid: bool) -> None:
    if amid:
        street.speak("One")
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(street.ask, 0)
        street.wait_until_asked(0, 2 if amid else 1)
        follower = pool.submit(street.ask, 1)
        begin = follower.result().read(len(pcm("One"))) if amid else b""
        if not amid:
            street.gateways[1].wait_until(lambda: _in_flight(street.gateways[1]) == 1, "the follower is there")
        street.gateways[0].process.send_signal(signal.SIGKILL)
        street.gateways[0].process.wait()
        with pytest.raises((http.client.HTTPException, OSError)):
            leader.result().read()
        street.speak(*SENTENCES)
        if amid:
            assert begin == pcm("One")
            with pytest.raises(http.client.IncompleteRead):
                follower.result().read()
            assert len(street.asked()) == 2
        else:
            assert follower.result().read() == pcm(*SENTENCES)
            assert len(street.asked()) == 1 + 3


def _in_flight(gateway: Gateway) -> float:
    for line in gateway.get("/metrics").read().decode().splitlines():
        if line.startswith("voxgate_requests_in_flight"):
            return float(line.split()[-1])
    raise AssertionError("the metrics do not tell how many requests are in flight")


def test_the_leaders_client_may_leave(street: Street) -> None:
    street.speak("One")
    leader = street.ask(0)
    follower = street.ask(1)
    assert follower.headers["x-voxgate-cache"] == "follow"
    leader.close()
    street.speak("Twelve", "Hundreds")
    assert follower.read() == pcm(*SENTENCES)
    assert len(street.asked()) == 3


def test_what_the_drain_cuts_short_is_recorded_as_interrupted(street: Street) -> None:
    street.speak("One")
    response = street.ask(0)
    response.read(10)
    assert street.gateways[0].stop() == 0
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    (line,) = (street.homes[0] / "data" / "served.jsonl").read_text().splitlines()
    assert json.loads(line)["outcome"] == "interrupted"
