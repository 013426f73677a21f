"""Other speech servers behind a gateway, over real sockets from end to end: clients, gateways, and the servers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from engines.testing import count_beeps
from gateway.identity import NAME
from tests.engines.openai.servers import KokoroFastAPI, OpenAI, Server, faults
from tests.gateway.http.conftest import Gateway, running
from tests.redis_at_hand import free_port

TEXT = "one two three"
#: of that text, as PCM at 24 kHz
TEXT_BYTES = 17280
KEY = "sk-stand-in"
VOICES = "version: 1\ndefault: v\nvoices:\n  v: {languages: [zh, en], engines: %s}\n"
SPARE = "  spare: {kind: tone}\n"

Before = Callable[..., Gateway]


@pytest.fixture
def far() -> Iterator[Server]:
    with Server(KokoroFastAPI()) as server:
        yield server


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Before]:
    """`before(urls)` is a gateway whose engine `far` speaks through servers at these addresses."""
    with ExitStack() as stack:
        count = 0

        def start(
            *urls: str,
            preset: str = "kokoro-fastapi",
            model: str = "kokoro",
            voice: str = "af_heart",
            more: str = "",
            rule: str = "",
            spare: bool = False,
            port: int = 0,
        ) -> Gateway:
            nonlocal count
            count += 1
            named = f", model: {model}" if model else ""
            entry = f"  far: {{kind: openai, preset: {preset}, urls: [{', '.join(urls)}]{named}{more}}}\n"
            voices = f"{{far: {voice}, spare: tone}}" if spare else f"{{far: {voice}}}"
            use = "[far, spare]" if spare else "[far]"
            gateway = stack.enter_context(
                running(
                    tmp_path / f"gateway{count}",
                    port=port,
                    engines=f"version: 1\nengines:\n{entry}{SPARE if spare else ''}",
                    voices=VOICES % voices,
                    policies=f"version: 1\nrules:\n  - {{name: all, use: {use}, retries: 0{rule}}}\n",
                )
            )
            wait_for(gateway, "far")
            return gateway

        yield start


def wait_for(gateway: Gateway, engine: str) -> None:
    """Return once an engine has started, well or not."""
    deadline_s = time.monotonic() + 20
    while gateway.client.get("/v1/engines").json()["engines"][engine]["state"] == "starting":
        assert time.monotonic() < deadline_s, f"{engine} never started"


def ask(gateway: Gateway, text: str = TEXT) -> httpx.Response:
    return gateway.client.post("/v1/speech", json={"input": text, "response_format": "pcm"})


def texts(number: int) -> Sequence[str]:
    """No two alike, so that none comes from the cache; three beeps each."""
    return [f"one two word{one}" for one in range(number)]


def test_a_client_hears_the_beginning_while_the_far_server_still_speaks(before: Before, far: Server) -> None:
    gateway = before(far.url, rule=", on_interruption: abort")
    far.then(faults.held(5000))
    body = {"input": TEXT, "response_format": "pcm"}
    with gateway.client.stream("POST", "/v1/speech", json=body) as answer:
        pieces = answer.iter_raw()
        got = len(next(pieces))
        assert 0 < got <= 5000
        assert not far.speech().answered.is_set()
        far.go_on()
        assert got + sum(map(len, pieces)) == TEXT_BYTES


@pytest.mark.parametrize("fault", [faults.silent(), faults.held(5000)], ids=["before any audio", "amid the audio"])
def test_a_client_that_leaves_ends_the_work_of_the_far_server(before: Before, far: Server, fault: faults.Fault) -> None:
    gateway = before(far.url, rule=", on_interruption: abort")
    far.then(fault)
    with gateway.connection() as connection:
        body = b'{"input": "one two three", "response_format": "pcm"}'
        head = b"POST /v1/speech HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        connection.sendall(head % len(body) + body)
        far.speech()
    assert far.speech().left.wait(20)
    assert count_beeps(ask(gateway, "four five").content, 24000) == 2


def test_of_two_servers_one_may_die_and_come_back(before: Before, far: Server) -> None:
    with Server(KokoroFastAPI()) as other:
        gateway = before(far.url, other.url)
        assert all(ask(gateway, text).status_code == 200 for text in texts(6))
        assert min(len(far.speeches), len(other.speeches)) >= 2, "both have their share"
        far.stop()
        answers = [ask(gateway, f"{text} more") for text in texts(6)]
        assert [count_beeps(answer.content, 24000) for answer in answers] == [4] * 6
        assert {answer.headers["x-voxgate-attempts"] for answer in answers} == {"1"}
        assert gateway.client.get("/readyz").status_code == 200
        before_s, asked = time.monotonic(), len(far.speeches)
        far.start()
        while len(far.speeches) == asked:
            assert time.monotonic() < before_s + 20, "it is never asked again"
            ask(gateway, f"again {time.monotonic()}")


@pytest.mark.parametrize(
    "fault", [faults.hanging_up(), faults.failing(500), faults.empty(), faults.failing(429, retry_after="30")]
)
def test_what_fails_before_any_audio_is_asked_of_the_other_server(
    before: Before, far: Server, fault: faults.Fault
) -> None:
    with Server(KokoroFastAPI()) as other:
        far.always(fault)
        gateway = before(far.url, other.url)
        answers = [ask(gateway, text) for text in texts(4)]
    assert [count_beeps(answer.content, 24000) for answer in answers] == [3] * 4
    assert len({one.json["input"] for one in far.speeches}) == 1, "it is left alone after its fault"


def test_a_gateway_that_is_pointed_at_itself_says_so_and_speaks_with_what_else_it_has(before: Before) -> None:
    port = free_port()
    gateway = before(f"http://127.0.0.1:{port}/v1", preset="voxgate", model="auto", voice="v", port=port, spare=True)
    answer = ask(gateway)
    assert count_beeps(answer.content, 24000) == 3
    assert answer.headers["x-voxgate-engine"] == "spare"
    assert "leads back to this gateway" in gateway.client.get("/v1/engines").text


def test_two_gateways_that_are_pointed_at_each_other_do_not_ask_for_ever(before: Before, tmp_path: Path) -> None:
    ports = free_port(), free_port()
    urls = [f"http://127.0.0.1:{port}/v1" for port in ports]
    one = before(urls[1], preset="voxgate", model="auto", voice="v", port=ports[0])
    before(urls[0], preset="voxgate", model="auto", voice="v", port=ports[1])
    wait_for(one, "far")
    answer = ask(one)
    assert answer.status_code == 503
    assert str(ports[1]) not in answer.text


def test_another_gateway_speaks_and_what_it_asks_knows_the_whole_way(before: Before, far: Server) -> None:
    inner = before(far.url)
    outer = before(f"{inner.url}/v1", preset="voxgate", model="auto", voice="v", rule=", on_interruption: abort")
    answer = ask(outer)
    assert count_beeps(answer.content, 24000) == 3
    assert len(answer.content) == TEXT_BYTES
    assert NAME.findall(far.speech().headers["via"]) == [outer.runtime.name, inner.runtime.name]


def test_another_gateway_takes_all_that_can_be_asked_of_this_one(before: Before, far: Server) -> None:
    inner = before(far.url, rule=", on_interruption: abort")
    outer = before(f"{inner.url}/v1", preset="voxgate", model="auto", voice="v", rule=", on_interruption: abort")
    far.then(faults.held(2000))
    body = {
        "input": TEXT,
        "response_format": "pcm",
        "language": "en",
        "speed": 2.0,
        "seed": 7,
        "instructions": "calmly",
        "emotion": {"happy": 0.5},
    }
    with outer.client.stream("POST", "/v1/speech", json=body) as answer:
        assert answer.status_code == 200, answer.read()
        pieces = answer.iter_raw()
        got = len(next(pieces))
        assert not far.speech().answered.is_set(), "nothing on the way waits for the end"
        far.go_on()
        assert got + sum(map(len, pieces)) == TEXT_BYTES / 2
    assert far.speech().json["speed"] == 2.0


def test_what_the_other_gateway_cannot_do_now_is_told_with_its_time(before: Before, far: Server) -> None:
    far.always(faults.failing(429, retry_after="30"))
    inner = before(far.url)
    outer = before(f"{inner.url}/v1", preset="voxgate", model="auto", voice="v")
    for gateway in (outer, inner):
        answer = ask(gateway)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
        assert 1 <= float(answer.headers["retry-after"]) <= 30


def test_a_throttled_server_is_left_alone_and_clients_are_told_for_how_long(before: Before, far: Server) -> None:
    gateway = before(far.url)
    far.always(faults.failing(429, retry_after="30"))
    answers = [ask(gateway, text) for text in texts(3)]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert all(1 <= float(answer.headers["retry-after"]) <= 30 for answer in answers)
    assert len(far.speeches) == 1


def test_a_cut_amid_the_audio_breaks_the_transfer_or_is_made_good(before: Before, far: Server) -> None:
    for rule in (", on_interruption: abort", ""):
        gateway = before(far.url, rule=rule, spare=True)
        far.then(faults.cut(9000))
        if rule:
            with pytest.raises(httpx.RemoteProtocolError):
                ask(gateway)
        else:
            assert count_beeps(ask(gateway).content, 24000) == 3


def test_neither_key_nor_address_is_ever_told(
    before: Before, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FAR_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    broken = [
        faults.failing(401, f"Incorrect API key provided: {KEY}", "invalid_api_key"),
        faults.failing(500, f"no route from {KEY} to http://10.0.0.1"),
        faults.redirect("http://10.0.0.1/v1/audio/speech"),
        faults.gibberish(),
    ]
    told: list[str] = []
    with Server(OpenAI()) as server:
        for fault in broken:
            gateway = before(server.url, preset="openai", model="tts-1", voice="alloy", more=", api_key_env: FAR_KEY")
            server.always(fault)
            answer = ask(gateway)
            assert answer.status_code in (502, 503)
            told += [answer.text, str(answer.headers), gateway.client.get("/v1/engines").text]
            told += [gateway.client.get("/metrics").text]
        assert all(one.headers["authorization"] == f"Bearer {KEY}" for one in server.speeches)
        assert len(server.speeches) >= len(broken)
        port = str(server.port)
    everything = "".join([*told, caplog.text])
    assert KEY not in everything
    assert f"127.0.0.1:{port}" not in everything
    assert "10.0.0.1" not in everything


def test_a_server_without_its_key_leaves_the_speech_to_others(before: Before) -> None:
    with Server(OpenAI()) as server:
        gateway = before(
            server.url, preset="openai", model="tts-1", voice="alloy", more=", api_key_env: NO_SUCH_KEY", spare=True
        )
        assert ask(gateway).headers["x-voxgate-engine"] == "spare"
        engine = gateway.client.get("/v1/engines").json()["engines"]["far"]
        assert engine["state"] == "not_configured"
        assert "NO_SUCH_KEY" in str(engine)
        assert not server.heard
