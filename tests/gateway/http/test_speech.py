"""The endpoint as a client meets it: audio, headers, framing."""

import base64
import struct
from collections.abc import Callable
from urllib.parse import unquote

import pytest

from gateway.http.responses import header_value
from gateway.http.speech import prefers_json
from gateway.telemetry.logs import Text

from .conftest import Gateway

REFUSING = """version: 1
engines:
  first: {kind: fault, of: {kind: tone}, mode: refuse, isolation: inline}
  second: {kind: tone}
"""


@pytest.mark.parametrize("path", ["/v1/speech", "/v1/audio/speech", "/speech", "/audio/speech", "/v1/speech/"])
def test_every_path_of_the_endpoint_speaks(gateway: Gateway, path: str) -> None:
    response = gateway.client.post(path, json={"input": "paths"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "audio/mpeg"
    assert len(response.content) > 100


def test_a_fresh_speech_is_streamed_and_its_headers_tell_who_speaks(gateway: Gateway) -> None:
    response = gateway.speech(input="who speaks here", response_format="wav")
    headers = response.headers
    assert headers["transfer-encoding"] == "chunked"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-voxgate-engine"] == "tone"
    assert headers["x-voxgate-voice"] == "low"
    assert headers["x-voxgate-rule"] == "everything"
    assert headers["x-voxgate-cache"] == "miss"
    assert headers["x-voxgate-attempts"] == "1"
    assert headers["x-sample-rate"] == "24000"
    assert headers["server-timing"].startswith("first_audio;dur=")
    assert "x-voxgate-degraded" not in headers
    assert len(headers["x-request-id"]) == 32
    assert struct.unpack_from("<I", response.content, 4)[0] == 0xFFFFFFFF


def test_the_same_again_comes_whole_from_the_cache(gateway: Gateway) -> None:
    first = gateway.speech(input="the same again", response_format="wav")
    second = gateway.speech(input="the same again", response_format="wav")
    assert second.headers["x-voxgate-cache"] == "hit"
    assert int(second.headers["content-length"]) == len(second.content) == len(first.content)
    assert "transfer-encoding" not in second.headers
    assert struct.unpack_from("<I", second.content, 4)[0] == len(second.content) - 8
    assert second.content[44:] == first.content[44:]
    assert second.headers["x-request-id"] != first.headers["x-request-id"]


def test_stream_false_gives_a_length(gateway: Gateway) -> None:
    response = gateway.speech(input="as a whole", stream=False, response_format="wav")
    assert response.headers["x-voxgate-cache"] == "miss"
    assert int(response.headers["content-length"]) == len(response.content)
    assert struct.unpack_from("<I", response.content, 4)[0] == len(response.content) - 8


def test_json_carries_the_audio_and_what_is_known_of_it(gateway: Gateway) -> None:
    body = {"input": "one two", "response_format": "pcm", "sample_rate": 16000}
    response = gateway.client.post("/v1/speech", json=body, headers={"accept": "application/json"})
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    audio = base64.b64decode(answer.pop("audio"))
    assert answer == {
        "format": "pcm",
        "media_type": "audio/pcm",
        "sample_rate": 16000,
        "duration_s": pytest.approx(len(audio) / 32000, abs=0.01),
        "engine": "tone",
        "voice": "low",
        "rule": "everything",
        "cache": "miss",
        "attempts": 1,
        "degraded": None,
        "request_id": response.headers["x-request-id"],
    }


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/json", True),
        ("application/json, */*;q=0.1", True),
        ("application/json;q=0.5, text/html", True),
        ("application/json, text/plain, */*", False),  # what axios sends by itself
        ("application/json;q=0.5, audio/mpeg", False),
        ("application/octet-stream, application/json", False),
        ("application/json;q=0", False),
        ("application/json;q=x", False),
        ("application/problem+json", False),
        ("*/*", False),
        ("", False),
        (",;q=,", False),
    ],
)
def test_json_must_be_preferred_to_be_given(accept: str, wanted: bool) -> None:
    assert prefers_json(accept) is wanted


def test_fields_that_mean_nothing_here_are_named(gateway: Gateway) -> None:
    response = gateway.speech(timestamps=["word"], volume_multiplier=2, **{"näme, x": 1})
    assert response.status_code == 200
    assert response.headers["x-voxgate-ignored"] == "timestamps, volume_multiplier, n%C3%A4me%2C%20x"


def test_very_many_unknown_fields_do_not_overflow_the_headers(gateway: Gateway) -> None:
    response = gateway.speech(**{f"field{n:050d}": n for n in range(5000)})
    assert response.status_code == 200
    assert len(response.headers["x-voxgate-ignored"]) < 2000


@pytest.mark.parametrize("text", ["plain", "中文女", "100% local", "a\r\nx-evil: 1", "é", "\x00", "😀", ""])
def test_header_values_are_ascii_and_decode_to_what_was_meant(text: str) -> None:
    value = header_value(text)
    assert value.isascii()
    assert not set(value) & set(range(32))
    assert unquote(value.decode()) == text


def test_names_in_any_script_travel_in_headers(gateway: Gateway) -> None:
    response = gateway.speech(voice="旁白")
    assert unquote(response.headers["x-voxgate-voice"]) == "中文女"


def test_a_preferred_engine_that_failed_is_told(server: Callable[..., Gateway]) -> None:
    policies = "version: 1\nrules:\n  - {name: r, use: [first, second], retries: 0}\n"
    voices = "version: 1\ndefault: v\nvoices:\n  v: {engines: {first: a, second: b}}\n"
    response = server(engines=REFUSING, policies=policies, voices=voices).speech()
    assert response.status_code == 200
    assert response.headers["x-voxgate-engine"] == "second"
    assert response.headers["x-voxgate-attempts"] == "2"
    assert response.headers["x-voxgate-degraded"].startswith("first: ")


def test_a_client_s_own_request_id_is_not_taken_over(gateway: Gateway) -> None:
    response = gateway.client.post("/v1/speech", json={"input": "id"}, headers={"x-request-id": "mine"})
    assert response.headers["x-request-id"] != "mine"


def test_the_outcome_can_be_looked_up(gateway: Gateway) -> None:
    spoken = gateway.speech(input="looked up later")
    outcome = gateway.client.get(f"/v1/speech/{spoken.headers['x-request-id']}").json()
    assert outcome["state"] == "complete"
    assert outcome["complete"] is True
    assert outcome["bytes"] == len(spoken.content)
    assert outcome["clause_engines"] == ["tone"]
    assert [one["engine"] for one in outcome["attempts"]] == ["tone"]
    assert outcome["error"] is None


def test_the_text_is_never_logged(gateway: Gateway, errors_logged: pytest.LogCaptureFixture) -> None:
    spoken = gateway.speech(input="a secret text", stream=False)
    gateway.client.get("/livez")  # whatever the first request logs, it has logged by now
    lines = [Text().format(one) for one in errors_logged.records]
    request_id = spoken.headers["x-request-id"]
    assert any(f"voxgate.access: served request_id={request_id} outcome=complete" in line for line in lines)
    assert not any("secret" in line for line in lines)
