"""Limits as clients see them: headers that are true, and refusals that say when to come again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import httpx
import openai
import pytest

from tests.redis_at_hand import RedisServer

from .conftest import GATEWAY, Gateway

Server = Callable[..., Gateway]
PROBE_VOICES = "version: 1\ndefault: v\nvoices:\n  v: {engines: {only: probe}}\n"
PROBE_RULES = "version: 1\nrules:\n  - {name: all, use: [only]}\n"
TEXT = "one two three"  # what `Gateway.speech` says: 13 characters


def limited(**limits: int) -> str:
    return f"{GATEWAY}limits: {json.dumps(limits)}\n"


def shared(redis: RedisServer, **limits: int) -> str:
    return f"{limited(**limits)}redis: {{url: '{redis.url}', budget_ms: 5000}}\n"


def left(response: httpx.Response, what: str = "characters") -> int:
    return int(response.headers[f"x-ratelimit-remaining-{what}"])


def wait_for_redis(*gateways: Gateway) -> None:
    """Until each of them has found its Redis: on a busy machine the first look at the start may come to nothing."""
    deadline = time.monotonic() + 20
    for gateway in gateways:
        while gateway.runtime.store is None or gateway.runtime.store.state == "down":
            assert time.monotonic() < deadline
            time.sleep(0.01)


def with_probe(server: Server, does: str, **limits: int) -> Gateway:
    engines = f"version: 1\nengines:\n  only: {{kind: probe, does: {does}}}\n"
    return server(gateway=limited(**limits), engines=engines, voices=PROBE_VOICES, policies=PROBE_RULES)


def check_refusal(response: httpx.Response, says: str) -> None:
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"]) == (429, "rate_limit_error", "rate_limit_exceeded")
    assert says in error["message"]
    assert error["request_id"] == response.headers["x-request-id"]


def test_no_limits_are_told_where_there_are_none(gateway: Gateway) -> None:
    assert not [name for name in gateway.speech().headers if name.startswith("x-ratelimit")]


def test_headers_tell_what_is_left_and_a_clip_from_the_cache_costs_no_characters(server: Server) -> None:
    gateway = server(gateway=limited(requests_per_minute=10, characters_per_minute=20))
    made = gateway.speech()
    assert made.headers["x-voxgate-cache"] == "miss"
    assert made.headers["x-ratelimit-limit-requests"] == "10"
    assert made.headers["x-ratelimit-limit-characters"] == "20"
    assert (left(made, "requests"), left(made)) == (9, 7)
    assert made.headers["x-ratelimit-reset-requests"] == "6s"
    assert 38 < float(made.headers["x-ratelimit-reset-characters"].removesuffix("s")) <= 39
    for count in range(4):
        again = gateway.speech()
        assert again.headers["x-voxgate-cache"] == "hit"
        assert (left(again, "requests"), left(again)) == (8 - count, 7)
    check_refusal(gateway.speech(cache="bypass"), "the limit of 20 characters a minute is reached; try again in ")
    assert gateway.speech().status_code == 200


def test_the_headers_stand_on_every_form_of_an_answer_and_on_errors(server: Server) -> None:
    gateway = server(gateway=limited(requests_per_minute=10))
    answers = [
        gateway.speech(),
        gateway.speech(stream=False, response_format="wav"),
        gateway.client.post("/v1/speech", json={"input": TEXT}, headers={"accept": "application/json"}),
        gateway.speech(voice="nobody"),
        gateway.speech(model="nothing"),
        gateway.client.post("/v1/speech", content=b"{"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 400, 404, 400]
    assert [left(answer, "requests") for answer in answers] == [9, 8, 7, 6, 5, 4]


def test_a_refusal_says_what_is_used_up_and_when_to_come_again(server: Server) -> None:
    gateway = server(gateway=limited(requests_per_minute=2))
    for _ in range(2):
        assert gateway.speech().status_code == 200
    refused = gateway.speech()
    check_refusal(refused, "the limit of 2 requests a minute is reached; try again in ")
    wait_ms = int(refused.headers["retry-after-ms"])
    assert 0 < wait_ms <= 30_000
    assert int(refused.headers["retry-after"]) == -(-wait_ms // 1000)
    assert "x-should-retry" not in refused.headers
    assert left(refused, "requests") == 0
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")


def test_what_can_never_be_admitted_is_not_worth_another_try(server: Server) -> None:
    gateway = server(gateway=limited(characters_per_minute=12))
    refused = gateway.speech()
    check_refusal(refused, "takes 13 characters, more than the whole limit of 12 characters a minute")
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    assert left(refused) == 12


def test_who_has_used_the_day_up_is_told_the_truth_and_no_library_waits_for_it(server: Server) -> None:
    gateway = server(gateway=limited(audio_seconds_per_day=10))
    answers = [gateway.speech(input=f"one two three four five six seven eight {count}") for count in range(20)]
    assert answers[0].status_code == 200
    refused = next(answer for answer in answers if answer.status_code != 200)
    check_refusal(refused, "the limit of 10 seconds of audio a day is reached")
    assert int(refused.headers["retry-after"]) > 120
    assert refused.headers["x-should-retry"] == "false"


def test_openai_s_library_raises_its_own_error(server: Server) -> None:
    gateway = server(gateway=limited(requests_per_minute=1))
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
        client.audio.speech.create(model="tts-1", voice="alloy", input="one")
        with pytest.raises(openai.RateLimitError) as caught:
            client.audio.speech.create(model="tts-1", voice="alloy", input="one")
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"


def test_openai_s_library_comes_again_when_it_was_told_to(server: Server) -> None:
    gateway = server(gateway=limited(requests_per_minute=600))  # one each 100 ms
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=5) as client:
        for _ in range(610):
            client.audio.speech.create(model="tts-1", voice="alloy", input="one")


def test_questions_and_lists_cost_nothing(server: Server) -> None:
    gateway = server(gateway=limited(requests_per_minute=1, in_flight=1))
    for _ in range(3):
        assert gateway.client.post("/v1/plan", json={"input": TEXT}).status_code == 200
        for path in ("/v1/voices", "/v1/models", "/v1/engines", "/readyz", "/docs"):
            assert gateway.client.get(path).status_code == 200
    assert gateway.speech().status_code == 200


def test_characters_of_a_request_that_failed_are_given_back(server: Server) -> None:
    gateway = server(
        gateway=limited(requests_per_minute=5, characters_per_minute=20, audio_seconds_per_day=3),
        engines=(
            "version: 1\nengines:\n"
            "  only: {kind: fault, of: {kind: tone}, mode: refuse, isolation: inline}\n  tone: {kind: tone}\n"
        ),
        voices="version: 1\ndefault: v\nvoices:\n  v: {engines: {only: probe, tone: low}}\n",
        policies=(
            "version: 1\nmodels: {good: auto}\nrules:\n"
            "  - {name: good, when: {models: [good]}, use: [tone]}\n  - {name: all, use: [only], retries: 0}\n"
        ),
    )
    for count in range(4):
        failed = gateway.speech()
        assert failed.status_code == 503
        assert (left(failed, "requests"), left(failed)) == (4 - count, 20)
    spoken = gateway.speech(model="good")
    assert spoken.status_code == 200
    assert left(spoken) == 7


def poll(admitted: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask until the place is free: no event tells a client that the gateway has seen another one leave."""
    deadline = time.monotonic() + 20
    while (response := admitted()).status_code == 429:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return response


def test_a_reply_holds_its_place_until_its_end_and_a_client_that_leaves_gives_it_back(server: Server) -> None:
    gateway = server(gateway=limited(in_flight=1))
    # far more audio than fits between the engine and a client that does not read
    body = {"input": "one two three four. " * 900, "response_format": "pcm", "sample_rate": 48000}
    with gateway.client.stream("POST", "/v1/speech", json=body) as reply:
        assert reply.status_code == 200
        pieces = reply.iter_raw()  # once nobody holds it, it closes the connection
        next(pieces)
        refused = gateway.speech()
        check_refusal(refused, "the limit of 1 requests at the same time is reached")
        assert refused.headers["retry-after"] == "1"
    assert poll(gateway.speech).status_code == 200


def test_a_client_that_leaves_before_the_first_byte_gives_its_place_back(server: Server) -> None:
    gateway = with_probe(server, "silent", in_flight=1, characters_per_minute=20)
    body = json.dumps({"input": TEXT}).encode()
    head = b"POST /v1/speech HTTP/1.1\r\nhost: gateway\r\ncontent-length: %d\r\n\r\n" % len(body)
    with gateway.connection() as connection:
        connection.sendall(head + body)
        assert gateway.probe.begun.wait(20)
        refused = gateway.speech()
        check_refusal(refused, "at the same time")
        assert left(refused) == 7
    after = poll(lambda: gateway.speech(voice="nobody"))
    assert (after.status_code, left(after)) == (400, 20)


def test_a_client_that_leaves_in_the_middle_of_its_request_gives_its_place_back(server: Server) -> None:
    gateway = server(gateway=limited(in_flight=1))
    with gateway.connection() as connection:
        connection.sendall(b"POST /v1/speech HTTP/1.1\r\nhost: gateway\r\ncontent-length: 40\r\n\r\n{")
        deadline = time.monotonic() + 20
        while gateway.speech().status_code != 429:
            assert time.monotonic() < deadline
    assert poll(gateway.speech).status_code == 200


def test_pages_in_a_browser_may_read_the_headers(server: Server) -> None:
    gateway = server(gateway=limited(requests_per_minute=5) + "cors: {allow_origins: ['https://example.org']}\n")
    response = gateway.client.post("/v1/speech", json={"input": TEXT}, headers={"origin": "https://example.org"})
    exposed = {name.strip() for name in response.headers["access-control-expose-headers"].split(",")}
    assert {name for name in response.headers if name.startswith("x-ratelimit")} <= exposed


# --- several gateways on one Redis ---


async def hammer(gateways: list[Gateway], count: int, **fields: object) -> list[httpx.Response]:
    async with httpx.AsyncClient(timeout=20) as client:
        return await asyncio.gather(
            *(
                client.post(f"{gateways[turn % len(gateways)].url}/v1/speech", json={"input": TEXT, **fields})
                for turn in range(count)
            )
        )


def test_two_gateways_let_no_more_requests_through_than_one(server: Server, shared_redis: RedisServer) -> None:
    settings = shared(shared_redis, requests_per_minute=30)  # one each two seconds
    gateways = [server(gateway=settings) for _ in range(2)]
    began_s = time.monotonic()
    answers = asyncio.run(hammer(gateways, 100))
    through = sum(answer.status_code == 200 for answer in answers)
    assert 30 <= through <= 30 + (time.monotonic() - began_s) / 2
    assert {answer.status_code for answer in answers} == {200, 429}
    remaining = [left(answer, "requests") for answer in answers if answer.status_code == 200]
    assert {0, 29} <= set(remaining)


def test_a_gateway_knows_what_was_used_at_another(server: Server, shared_redis: RedisServer) -> None:
    settings = shared(shared_redis, characters_per_minute=30)
    here, there = (server(gateway=settings) for _ in range(2))
    assert left(here.speech(cache="bypass")) == 17
    assert left(there.speech(cache="bypass")) == 4
    check_refusal(here.speech(cache="bypass"), "30 characters a minute")


def test_gateways_go_on_when_their_redis_is_killed_and_count_together_again_when_it_is_back(
    server: Server, redis_server: RedisServer
) -> None:
    settings = shared(redis_server, requests_per_minute=10)
    here, there = (server(gateway=settings) for _ in range(2))
    wait_for_redis(here, there)
    assert left(here.speech(), "requests") == 9
    assert left(there.speech(), "requests") == 8
    redis_server.kill()
    for gateway, seen in ((here, 9), (there, 8)):  # each by itself, from what it saw last
        counted = [gateway.speech() for _ in range(seen + 1)]
        assert [answer.status_code for answer in counted] == [200] * seen + [429]
    redis_server.start()
    wait_for_redis(here, there)
    assert left(here.speech(), "requests") == 9
    assert left(there.speech(), "requests") == 8
