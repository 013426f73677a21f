"""GET /metrics of a running gateway: every metric moves when it should, and none of them says what was spoken."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from gateway.telemetry.logs import Json, Text
from tests.redis_at_hand import RedisServer
from tests.scrapes import Value, values_in

from .conftest import ENGINES, GATEWAY, POLICIES, Gateway

Server = Callable[..., Gateway]
WithEngine = Callable[..., Gateway]

VOICES = "version: 1\ndefault: v\nvoices:\n  v: {engines: {drill: v, spare: v}}\n"


def scrape(gateway: Gateway) -> Value:
    answer = gateway.client.get("/metrics")
    assert answer.status_code == 200
    return values_in(answer.text)


def eventually(gateway: Gateway, holds: Callable[[Value], bool]) -> Value:
    """What a scrape says once it says that."""
    until = time.monotonic() + 20
    while not holds(value := scrape(gateway)):
        assert time.monotonic() < until, gateway.client.get("/metrics").text
    return value


def drilled(server: Server, mode: str, rule: str = "") -> Gateway:
    """A gateway whose preferred engine breaks in a given way, and whose second one is well."""
    return server(
        engines="version: 1\nengines:\n"
        f"  drill: {{kind: fault, of: {{kind: tone}}, mode: {mode}, isolation: inline}}\n  spare: {{kind: tone}}\n",
        voices=VOICES,
        policies=f"version: 1\nrules:\n  - {{name: both, use: [drill, spare], retries: 0{rule}}}\n",
    )


def test_the_text_is_prometheus_own_and_open_metrics_for_who_asks(gateway: Gateway) -> None:
    answer = gateway.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    asked = gateway.client.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0,*/*;q=0.1"})
    assert asked.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert asked.text.endswith("# EOF\n")


def test_misses_hits_and_bypasses_count_apart(server: Server) -> None:
    gateway = server()
    for cache in ("use", "use", "use", "bypass"):
        assert gateway.speech(response_format="wav", cache=cache).status_code == 200
    value = eventually(gateway, lambda value: value("voxgate_request_seconds_count", cache="bypass") == 1)
    counted = {"rule": "everything", "outcome": "complete", "format": "wav"}
    assert value("voxgate_requests_total", cache="miss", **counted) == 1
    assert value("voxgate_requests_total", cache="hit", **counted) == 2
    assert value("voxgate_requests_total", cache="bypass", **counted) == 1
    assert value("voxgate_first_audio_seconds_count", engine="tone") == 2
    assert value("voxgate_real_time_factor_count", engine="tone") == 2
    assert value("voxgate_queue_wait_seconds_count", engine="tone") == 2
    assert value("voxgate_attempts_total", engine="tone", code="ok") == 2
    assert value("voxgate_characters_total", engine="tone") == 2 * len("one two three")
    heard_s = value("voxgate_audio_seconds_total", engine="tone", cache="miss")
    assert value("voxgate_audio_seconds_total", engine="tone", cache="hit") == pytest.approx(2 * heard_s)
    assert 0 < value("voxgate_cache_bytes") < value("voxgate_cache_limit_bytes")


def test_an_engine_s_state_and_slots_and_what_the_machine_gives_are_there(server: Server) -> None:
    gateway = server(engines="version: 1\nengines:\n  tone: {kind: tone, slots: 4, isolation: process}\n")
    value = scrape(gateway)
    assert value("voxgate_can_speak") == 1
    assert value("voxgate_engine_up", engine="tone") == 1
    assert value("voxgate_engine_state", engine="tone", state="up") == 1
    assert value("voxgate_engine_state", engine="tone", state="down") == 0
    assert value("voxgate_engine_slots", engine="tone") == 4
    assert value("voxgate_engine_memory_bytes", engine="tone") > 1e6
    assert value("process_resident_memory_bytes") > 1e7
    assert value("process_open_fds") > 3
    assert value("voxgate_processes") == 1


def test_a_request_counts_while_it_is_worked_on(with_engine: WithEngine) -> None:
    gateway = with_engine("{kind: probe, does: silent}")
    body = json.dumps({"input": "one"}).encode()
    with gateway.connection() as connection:
        connection.sendall(b"POST /v1/speech HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        assert gateway.probe.begun.wait(20)
        value = scrape(gateway)
        assert value("voxgate_requests_in_flight") == 1
        assert value("voxgate_engine_busy", engine="only") == 1
    value = eventually(gateway, lambda value: value("voxgate_requests_in_flight") == 0)
    assert value("voxgate_engine_busy", engine="only") == 0
    assert value("voxgate_attempts_total", engine="only", code="left") == 1
    assert value("voxgate_requests_total", rule="all", outcome="cancelled", cache="miss", format="mp3") == 1


def test_a_fallback_tells_who_failed_how_and_who_spoke(server: Server) -> None:
    gateway = drilled(server, "refuse")
    for _ in range(6):
        assert gateway.speech(cache="bypass").headers["x-voxgate-engine"] == "spare"
    value = eventually(gateway, lambda value: value("voxgate_audio_seconds_total", engine="spare", cache="bypass") > 0)
    assert value("voxgate_attempts_total", engine="drill", code="unavailable") == 5
    assert value("voxgate_degraded_total", engine="drill", reason="unavailable", instead="spare") == 5
    # from the fifth failure on it is left alone
    assert value("voxgate_degraded_total", engine="drill", reason="down", instead="spare") == 1
    assert value("voxgate_engine_breaker_open", engine="drill") == 1
    assert value("voxgate_engine_up", engine="drill") == 0
    assert value("voxgate_can_speak") == 1


def test_a_speech_that_breaks_off_is_truncated(with_engine: WithEngine) -> None:
    gateway = with_engine("{kind: probe, does: cut}", on_interruption="abort", retries=0)
    with pytest.raises(httpx.RemoteProtocolError):
        gateway.speech()
    value = eventually(gateway, lambda value: value("voxgate_truncated_total", engine="only") == 1)
    assert value("voxgate_requests_total", rule="all", outcome="interrupted", cache="miss", format="mp3") == 1


def test_an_engine_slower_than_its_speech_leaves_the_player_dry(with_engine: WithEngine) -> None:
    gateway = with_engine("{kind: tone, real_time_factor: 3, chunk_ms: 60}", on_interruption="abort")
    assert gateway.speech(response_format="pcm").status_code == 200
    value = eventually(gateway, lambda value: value("voxgate_underruns_total", engine="only") > 0)
    assert value("voxgate_underrun_seconds_total", engine="only") > 0


def test_who_comes_while_the_same_is_being_spoken_follows(with_engine: WithEngine) -> None:
    gateway = with_engine("{kind: tone, first_audio_ms: 300}")
    callers = [threading.Thread(target=gateway.speech) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    counted = {"rule": "all", "outcome": "complete", "format": "mp3"}
    value = eventually(gateway, lambda value: value("voxgate_requests_total", cache="follow", **counted) == 1)
    assert value("voxgate_attempts_total", engine="only", code="ok") == 1


def test_refusals_by_limits_and_other_errors_count_by_their_code(server: Server) -> None:
    gateway = server(gateway=f"{GATEWAY}limits: {{requests_per_minute: 1}}\n")
    assert [gateway.speech().status_code for _ in range(3)] == [200, 429, 429]
    assert gateway.client.get("/nothing").status_code == 404
    value = scrape(gateway)
    assert value("voxgate_limits_refused_total", limit="requests") == 2
    assert value("voxgate_errors_total", status="429", code="rate_limit_exceeded") == 2
    assert value("voxgate_errors_total", status="404", code="not_found") == 1


def test_redis_that_is_gone_is_told_and_that_it_is_back(redis_server: RedisServer, server: Server) -> None:
    gateway = server(gateway=f"{GATEWAY}redis: {{url: '{redis_server.url}', budget_ms: 2000}}\n")
    assert scrape(gateway)("voxgate_redis_up") == 1
    redis_server.kill()
    gateway.speech()
    value = scrape(gateway)
    assert value("voxgate_redis_up") == 0
    assert value("voxgate_redis_errors_total") >= 1
    redis_server.start()
    eventually(gateway, lambda value: value("voxgate_redis_up") == 1)


def test_redis_that_takes_no_writes_is_told(make_redis: Callable[..., RedisServer], server: Server) -> None:
    redis = make_redis()
    gateway = server(gateway=f"{GATEWAY}redis: {{url: '{redis.url}', budget_ms: 2000}}\n")
    assert scrape(gateway)("voxgate_redis_writable") == 1
    with redis.client() as client:
        client.config_set("maxmemory", 1)
        gateway.speech()
        value = eventually(gateway, lambda value: value("voxgate_redis_writable") == 0)
        assert value("voxgate_redis_up") == 1
        client.config_set("maxmemory", 0)
    eventually(gateway, lambda value: value("voxgate_redis_writable") == 1)


def test_without_a_redis_there_is_no_word_of_one(gateway: Gateway) -> None:
    assert "\nvoxgate_redis_up " not in gateway.client.get("/metrics").text


def test_a_refused_edit_is_told_until_it_is_mended(server: Server) -> None:
    gateway = server()
    file = gateway.runtime.config.directory / "policies.yaml"
    file.write_text("version: 1\nrules: [{name: all, use: [nobody]}]\n")
    assert gateway.client.post("/v1/admin/reload").status_code == 400
    value = scrape(gateway)
    assert value("voxgate_config_last_reload_ok") == 0
    assert value("voxgate_reloads_total", result="refused") >= 1
    file.write_text(POLICIES)
    assert gateway.client.post("/v1/admin/reload").status_code == 200
    assert scrape(gateway)("voxgate_config_last_reload_ok") == 1
    (gateway.runtime.config.directory / "gateway.yaml").write_text("version: 1\ndrain_s: 7\n")
    gateway.client.post("/v1/admin/reload")
    assert scrape(gateway)("voxgate_config_restart_pending") == 1


def test_an_engine_that_was_removed_is_gone_and_one_that_is_paused_is_not_down(server: Server) -> None:
    gateway = server(engines=f"{ENGINES}  other: {{kind: tone, isolation: inline}}\n")
    assert scrape(gateway)("voxgate_engine_slots", engine="other") > 0
    (gateway.runtime.config.directory / "engines.yaml").write_text(ENGINES)
    (gateway.runtime.config.directory / "policies.yaml").write_text(f"{POLICIES}paused: [tone]\n")
    assert gateway.client.post("/v1/admin/reload").status_code == 200
    assert 'engine="other"' not in gateway.client.get("/metrics").text
    value = scrape(gateway)
    assert value("voxgate_engine_state", engine="tone", state="paused") == 1
    assert value("voxgate_engine_state", engine="tone", state="down") == 0
    assert value("voxgate_can_speak") == 0


SENTINEL = "Zebulon-whispered-something"
KEY = "vg_sentinel-key"


def test_neither_text_nor_key_nor_address_is_told_anywhere(
    server: Server, errors_logged: pytest.LogCaptureFixture
) -> None:
    gateway = drilled(server, "cut", ", on_interruption: abort")
    headers = {"authorization": f"Bearer {KEY}", "x-api-key": KEY, "user-agent": SENTINEL}
    for more in ({}, {"voice": SENTINEL}, {"model": SENTINEL}, {"tags": [SENTINEL]}, {SENTINEL: 1}, {"seed": SENTINEL}):
        gateway.client.post("/v1/speech", json={"input": f"{SENTINEL} one two.", **more}, headers=headers)
    gateway.client.post("/v1/speech", content=f'{{"input": "{SENTINEL}', headers=headers)
    gateway.client.get(f"/{SENTINEL}?key={KEY}")
    gateway.client.get(f"/v1/speech/{SENTINEL}", headers=headers)
    metrics = gateway.client.get("/metrics", headers=headers).text
    assert 'outcome="complete"' in metrics
    assert errors_logged.records
    told = [metrics, *(form.format(one) for form in (Text(), Json()) for one in errors_logged.records)]
    for secret in (SENTINEL, KEY, "Zebulon", f":{gateway.port}", "http://"):
        assert [one for one in told if secret in one] == []
