"""Every error has OpenAI's shape, a request id, and tells whether another try makes sense."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from gateway.http.errors import retry_headers
from gateway.record import Served
from gateway.telemetry.logs import facts_of

from .conftest import Gateway
from .test_wire import bodies


def check_shape(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert {"message", "type", "param", "code", "request_id"} <= error.keys()
    assert error["code"] == code
    assert error["message"]
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert error["request_id"] == response.headers["x-request-id"]
    return error


@pytest.mark.parametrize("path", ["/nothing", "/v1/nothing", "/docs/nothing", "/docs/nothing.json", "/v1/models/a/b"])
def test_an_unknown_path(gateway: Gateway, path: str) -> None:
    assert path in check_shape(gateway.client.get(path), 404, "not_found")["message"]


@pytest.mark.parametrize("path", ["/v1/speech", "/v1/audio/speech", "/speech", "/audio/speech", "/v1/plan"])
def test_a_method_that_is_not_there_names_those_that_are(gateway: Gateway, path: str) -> None:
    response = gateway.client.get(path)
    check_shape(response, 405, "method_not_allowed")
    assert "POST" in response.headers["allow"]


@pytest.mark.parametrize("path", ["/v1/speech", "/v1/plan"])
def test_malformed_json(gateway: Gateway, path: str) -> None:
    check_shape(gateway.client.post(path, content=b"{input: hello}"), 400, "invalid_json")
    check_shape(gateway.client.post(path), 400, "invalid_json")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"speed": "fast"}, "speed"),
        ({"response_format": "mp5"}, "response_format"),
        ({"voice": "naratorr"}, "voice"),
        ({"input": "   "}, "input"),
        ({"input": "x" * 20001}, "input"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(gateway: Gateway, fields: dict[str, Any], param: str) -> None:
    assert check_shape(gateway.speech(**fields), 400, "invalid_request")["param"] == param


def test_an_unknown_voice_comes_with_near_names(gateway: Gateway) -> None:
    assert "narrator" in gateway.speech(voice="naratorr").json()["error"]["message"]


def test_an_unknown_model_is_a_404_with_near_names(gateway: Gateway) -> None:
    for response in (gateway.speech(model="tts-2"), gateway.client.get("/v1/models/tts-2")):
        error = check_shape(response, 404, "model_not_found")
        assert "tts-1" in error["message"]
        assert error["param"] == "model"


def test_sse_is_refused_with_what_there_is_instead(gateway: Gateway) -> None:
    assert check_shape(gateway.speech(stream_format="sse"), 400, "unsupported")["param"] == "stream_format"


def test_a_body_over_the_limit_is_refused(gateway: Gateway) -> None:
    check_shape(gateway.client.post("/v1/speech", content=b" " * 1048577), 413, "body_too_large")


def test_a_body_of_unknown_length_is_refused_when_it_passes_the_limit(gateway: Gateway) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 50_000

    check_shape(gateway.client.post("/v1/speech", content=pieces()), 413, "body_too_large")


def test_when_all_engines_failed_another_try_is_not_worth_it(with_engine: Callable[..., Gateway]) -> None:
    response = with_engine("{kind: fault, of: {kind: tone}, mode: refuse, isolation: inline}").speech()
    assert response.status_code in (502, 503)
    check_shape(response, response.status_code, response.json()["error"]["code"])
    assert response.headers["x-should-retry"] == "false"
    assert "retry-after" not in response.headers


def test_when_all_are_busy_another_try_is_worth_it(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine("{kind: probe, does: silent, slots: 1, queue: 0}")
    with gateway.connection() as occupied:
        occupied.sendall(b'POST /v1/speech HTTP/1.1\r\nhost: x\r\ncontent-length: 17\r\n\r\n{"input":"hello"}')
        assert gateway.probe.begun.wait(20)
        response = gateway.speech()
    check_shape(response, 503, response.json()["error"]["code"])
    assert int(response.headers["retry-after"]) >= 1
    assert int(response.headers["retry-after-ms"]) >= 1000
    assert "x-should-retry" not in response.headers


def test_no_audio_in_time_is_a_504(with_engine: Callable[..., Gateway]) -> None:
    response = with_engine("{kind: probe, does: silent}", first_audio_ms=50, retries=0).speech()
    check_shape(response, 504, "deadline_exceeded")
    assert response.headers["x-should-retry"] == "false"


def test_an_engine_that_ends_without_audio_is_never_a_success(with_engine: Callable[..., Gateway]) -> None:
    response = with_engine("{kind: fault, of: {kind: tone}, mode: empty, isolation: inline}").speech()
    check_shape(response, 502, response.json()["error"]["code"])


def test_no_engine_names_those_that_were_passed_over(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine("{kind: tone}")
    gateway.loop.call_soon_threadsafe(gateway.runtime.board.row("only").set_state, "down", "for a test")
    response = gateway.speech()
    error = check_shape(response, 503, response.json()["error"]["code"])
    assert [(one["engine"], one["code"]) for one in error["skipped"]] == [("only", "down")]


class Broken:
    """Outcomes with a fault of ours in them."""

    async def put(self, served: Served) -> None:
        raise RuntimeError("password=hunter2 at http://10.0.0.1/")

    async def get(self, request_id: str) -> Served | None:
        raise RuntimeError("password=hunter2 at http://10.0.0.1/")


def test_a_fault_of_ours_is_logged_and_told_without_its_inside(
    with_engine: Callable[..., Gateway], errors_logged: pytest.LogCaptureFixture
) -> None:
    gateway = with_engine("{kind: tone}")
    gateway.runtime.outcomes = Broken()
    for response in (gateway.client.get("/v1/speech/abc"), gateway.speech()):
        error = check_shape(response, 500, "internal_error")
        assert error["request_id"] in error["message"]
        assert "hunter2" not in response.text
        assert "10.0.0.1" not in response.text
        assert "Traceback" not in response.text
        ours = [one for one in errors_logged.records if facts_of(one).get("request_id") == error["request_id"]]
        assert any(one.levelno == logging.ERROR and one.exc_info for one in ours)


def test_an_unknown_request_id_is_a_404(gateway: Gateway) -> None:
    check_shape(gateway.client.get("/v1/speech/0000"), 404, "request_not_found")


@pytest.mark.parametrize(
    ("wait_s", "seconds", "milliseconds"),
    [(None, "1", "1000"), (0.2, "1", "1000"), (2.3, "3", "2300"), (9e9, "120", "120000")],
)
def test_retry_after_is_at_least_a_second_and_never_longer_than_sdks_obey(
    wait_s: float | None, seconds: str, milliseconds: str
) -> None:
    headers = retry_headers(503, may_retry=True, retry_after_s=wait_s)
    assert headers == {"retry-after": seconds, "retry-after-ms": milliseconds}


def test_a_client_s_own_mistake_needs_no_advice_about_retries() -> None:
    assert retry_headers(400, may_retry=False, retry_after_s=None) == {}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=bodies)
def test_no_json_object_makes_the_gateway_fail(gateway: Gateway, fields: dict[str, Any]) -> None:
    for path in ("/v1/speech", "/v1/plan"):
        response = gateway.client.post(path, json={"input": "hello", "response_format": "pcm"} | fields)
        assert response.status_code in (200, 400, 404)
        if response.status_code != 200:
            assert response.json()["error"]["message"]
