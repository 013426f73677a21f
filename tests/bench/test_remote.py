"""What stands behind and beside the gateway while it is measured: they must do what they are compared for."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Iterator
from types import ModuleType

import pytest
from litestar.testing import TestClient

from bench.client import Listener, post
from bench.upstream import AT_ONCE_BYTES, Upstream
from tests.engines.openai.servers import OpenAI, Server, faults


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_the_upstream_gives_100_kb_a_request_and_keeps_its_connection(port: int) -> None:
    listener = Listener(port)
    answers = [await listener.ask(post("/v1/audio/speech", {"input": text})) for text in ("one", "two" * 50_000)]
    models = await listener.ask(b"GET /v1/models HTTP/1.1\r\nhost: bench\r\n\r\n")
    await listener.close()
    assert [len(answer.body) for answer in answers] == [AT_ONCE_BYTES] * 2
    assert b"\0\0" not in answers[0].body
    assert json.loads(models.body)["object"] == "list"


@pytest.fixture(params=["aiohttp", "httpx"])
def passing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, Server]]:
    with Server(OpenAI()) as server:
        monkeypatch.setenv("BENCH_UPSTREAM", f"{server.url}/audio/speech")
        monkeypatch.setenv("BENCH_CLIENT", request.param)
        yield importlib.reload(importlib.import_module("bench.passing")), server


def test_the_bare_application_passes_on_what_was_asked_and_what_comes(passing: tuple[ModuleType, Server]) -> None:
    module, server = passing
    server.always(lambda reply, _: faults.Reply(bytes(range(256)) * 100, "audio/pcm"))
    with TestClient(module.app) as client:
        answer = client.post("/v1/speech", json={"input": "one two", "model": "tts-1", "response_format": "pcm"})
    assert answer.content == bytes(range(256)) * 100
    assert server.speeches[0].json == {"input": "one two", "model": "tts-1", "voice": "alloy", "response_format": "pcm"}
