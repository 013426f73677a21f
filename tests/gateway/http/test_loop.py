"""Requests that come back to the gateway that they left."""

from collections.abc import AsyncGenerator, Iterator

import httpx
import pytest

from engines.contract import AudioChunk, EngineInfo, EngineKind, Instance, Options, SpeechRequest
from gateway.http.loop import MOST_GATEWAYS
from gateway.identity import NAME

from .conftest import Gateway, running

OTHERS = [f"voxgate-{number:016x}" for number in range(MOST_GATEWAYS + 1)]


class Passing:
    """An engine that notes by which way a request came, and what the gateway tells it about itself."""

    info = EngineInfo(any_voice=True, any_language=True, slots=4)

    def __init__(self) -> None:
        self.seen: list[tuple[str, ...]] = []
        self.instance: Instance | None = None

    def create(self, instance: Instance, options: Options) -> "Passing":
        self.instance = instance
        return self

    async def start(self) -> None: ...
    async def check(self) -> None: ...
    async def close(self) -> None: ...

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        self.seen.append(request.via)
        yield AudioChunk(bytes(4800), 24000)


@pytest.fixture(scope="module")
def passing() -> Passing:
    return Passing()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, passing: Passing) -> Iterator[Gateway]:
    kind = EngineKind("passing", Options, passing.create, "for tests", "", isolation="inline")
    with running(
        tmp_path_factory.mktemp("loop"),
        [kind],
        engines="version: 1\nengines: {on: {kind: passing, slots: 4}}\n",
        voices="version: 1\ndefault: v\nvoices: {v: {engines: {on: any}}}\n",
        policies="version: 1\nrules: [{name: all, use: [on]}]\n",
    ) as gateway:
        yield gateway


def ask(gateway: Gateway, text: str, *via: str) -> httpx.Response:
    headers = [("via", one) for one in via]
    return gateway.client.post("/v1/speech", json={"input": text, "response_format": "pcm"}, headers=headers)


def test_a_request_is_passed_on_with_the_gateways_that_it_came_through(own: Gateway, passing: Passing) -> None:
    passing.seen.clear()
    assert ask(own, "One.").status_code == 200
    # proxies before a gateway are nobody's business behind it, nor is what only looks like a name of ours
    written = (
        f"1.1 nginx, HTTP/1.1 {OTHERS[0]} (a comment)",
        "1.1 voxgate-nearly, 1.1 x-" + OTHERS[2],
        f"2 {OTHERS[1]}",
    )
    assert ask(own, "Two.", *written).status_code == 200
    assert passing.seen == [(), (OTHERS[0], OTHERS[1])]


def test_an_engine_is_told_by_which_name_its_gateway_goes_and_gets_a_quota(own: Gateway, passing: Passing) -> None:
    assert passing.instance is not None
    assert passing.instance.gateway == own.runtime.name
    assert NAME.fullmatch(own.runtime.name)
    assert passing.instance.quota is not None


@pytest.mark.parametrize("path", ["/v1/speech", "/audio/speech"])
def test_what_comes_back_is_refused_at_once_and_no_library_tries_again(
    own: Gateway, passing: Passing, path: str
) -> None:
    passing.seen.clear()
    via = {"via": f"1.1 {OTHERS[0]}, 1.1 {own.runtime.name}"}
    answer = own.client.post(path, json={"input": "Once more."}, headers=via)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (508, "false")
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("loop_detected", "server_error")
    assert "points at this gateway itself" in error["message"]
    assert own.runtime.name not in answer.text
    assert not passing.seen


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/voices", "/v1/audio/voices"])
def test_an_engine_that_asks_its_own_gateway_what_there_is_finds_out_too(own: Gateway, path: str) -> None:
    assert own.client.get(path, headers={"via": f"1.1 {OTHERS[0]}"}).status_code == 200
    answer = own.client.get(path, headers={"via": f"1.1 {own.runtime.name}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (508, "loop_detected")


def test_a_chain_may_be_long_but_not_endless(own: Gateway) -> None:
    assert ask(own, "Long.", *(f"1.1 {name}" for name in OTHERS[:-1])).status_code == 200
    answer = ask(own, "Longer.", *(f"1.1 {name}" for name in OTHERS))
    assert answer.status_code == 508
    assert "come through 9 gateways, and 8 are allowed" in answer.json()["error"]["message"]
