from __future__ import annotations

import json
from email.utils import formatdate

import pytest

from engines.errors import (
    Busy,
    DeadlineExceeded,
    EngineFault,
    Refused,
    SpeechError,
    Throttled,
    Unavailable,
    Unsupported,
)
from engines.openai.faults import HOPELESS_S, THROTTLED_S, another_may, judge, mildest, retry_after_s

KEY = "sk-secret"


def said(status: int, body: object = None, **headers: str) -> SpeechError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return judge(status, named, body if isinstance(body, bytes) else json.dumps(body).encode(), KEY)


def openai(message: str = "no", code: str | int | None = None, param: str | None = None) -> dict[str, object]:
    return {"error": {"message": message, "type": "t", "code": code, "param": param}}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        # what the request is to blame for
        (400, openai("text too long", "string_above_max_length", "input"), Unsupported),
        (400, {"detail": {"error": "validation_error", "message": "Voice 'x' not found"}}, Unsupported),
        (404, {"status": "error", "error": "Voice 'x' not found"}, Unsupported),
        (403, openai("not for this key", "not_allowed", "voice"), Unsupported),
        (413, b"too large", Unsupported),
        (422, {"detail": [{"loc": ["body", "speed"], "msg": "must be less", "type": "t"}]}, Unsupported),
        (501, {}, Unsupported),
        (400, openai("no", "content_policy_violation"), Refused),
        # what only its operator can mend
        (301, b"", Unavailable),
        (307, b"", Unavailable),
        (401, openai("Incorrect API key provided: sk-sec***ret"), Unavailable),
        (402, b"", Unavailable),
        (403, openai("country"), Unavailable),
        (404, {"detail": "Not Found"}, Unavailable),
        (404, b"<html>nginx</html>", Unavailable),
        (404, openai("Invalid URL", "unknown_url"), Unavailable),
        (404, openai("no such model", 404, "model"), Unavailable),
        (404, openai("no such model", "model_not_found"), Unavailable),
        (400, {"detail": {"error": "invalid_model", "message": "Unsupported model: x"}}, Unavailable),
        (405, {"detail": "Method Not Allowed"}, Unavailable),
        (429, openai("You exceeded your current quota", "insufficient_quota"), Unavailable),
        (508, openai("an engine's URL points back", "loop_detected"), Unavailable),
        # what passes
        (408, b"", Unavailable),
        (429, openai("Rate limit reached", "rate_limit_exceeded"), Throttled),
        (500, b"Internal Server Error", EngineFault),
        (502, b"<html>Bad Gateway</html>", Unavailable),
        (503, b"", Unavailable),
        (503, openai("all slots are speaking", "busy"), Busy),
        (504, b"", Unavailable),
        (204, b"", EngineFault),
    ],
)
def test_each_answer_means_one_error(status: int, body: object, expected: type[SpeechError]) -> None:
    assert type(said(status, body)) is expected


def test_what_only_people_can_mend_is_a_matter_of_minutes_and_what_passes_is_not() -> None:
    for status in (307, 401, 402, 403, 405, 508):
        assert said(status, b"").retry_after_s == HOPELESS_S
    for status in (408, 500, 502, 503, 504):
        assert said(status, b"").retry_after_s is None


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_says_when_to_come_back_is_believed(status: int) -> None:
    error = said(status, b"", retry_after="7")
    assert isinstance(error, Throttled)
    assert error.retry_after_s == 7


def test_one_that_is_throttled_and_does_not_say_for_how_long_is_left_alone_for_seconds() -> None:
    assert said(429, b"").retry_after_s == THROTTLED_S


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "120", "retry-after": "9"}, 0.12),
        ({"retry-after": formatdate(1_800_000_030, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(1_700_000_000, usegmt=True)}, 0.1),
        ({"retry-after": "86400"}, 600.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-5"}, 0.1),
        ({"retry-after": "9" * 5000}, 600.0),
        ({"retry-after": "Mon, 01 Jan 2030 00:00:00 +99999999999999999"}, None),
    ],
)
def test_a_time_to_come_back_is_read_as_http_has_it(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, now_s=1_800_000_000) == seconds


def test_a_complaint_about_the_request_is_passed_on_in_one_line_without_addresses() -> None:
    message = "no voice at http://10.0.0.5:8000/voices?key=1\nmore of it"
    error = said(400, openai(message))
    assert "no voice at (an address)" in error.message
    assert "more of it" not in error.message
    assert len(said(400, openai("x" * 5000)).message) < 300


@pytest.mark.parametrize(
    "place", ["10.0.0.5:8000", "10.0.0.5", "localhost:8000", "gpu-box.internal:8000", "app.py:12", "\x1b[31m"]
)
def test_a_complaint_holds_no_address_without_a_scheme_and_nothing_that_steers_a_terminal(place: str) -> None:
    assert place not in said(400, openai(f"no voice at {place}, ask another")).message


def test_a_complaint_is_left_as_it_is_otherwise() -> None:
    told = "语速 must be from 0.5 to 2.0: 4.0 is not, e.g. in v1.2"
    assert said(422, openai(told)).message.endswith(f": {told}")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": f"bad request with {KEY}"}),
        (401, openai(f"Incorrect API key provided: {KEY}")),
        (500, {"error": f"{KEY} File /srv/app.py"}),
        (404, {"error": "Traceback (most recent call last):\n  File /srv/app.py"}),
        (422, {"detail": f"Traceback\n{KEY} /srv/app.py"}),
    ],
)
def test_neither_a_key_nor_a_stack_trace_is_passed_on(status: int, body: object) -> None:
    message = said(status, body).message
    assert KEY not in message
    assert "/srv" not in message
    assert "Traceback" not in message


def test_another_server_is_asked_for_what_this_one_failed_at_and_not_for_what_all_would_refuse() -> None:
    assert all(map(another_may, [Unavailable(""), EngineFault(""), DeadlineExceeded(""), Throttled(""), Busy("")]))
    assert not any(map(another_may, [Unsupported(""), Refused("")]))


def test_of_several_failures_the_one_is_told_that_says_when_the_engine_is_back() -> None:
    hopeless, gone = Unavailable("", retry_after_s=300), Unavailable("")
    late, soon = Throttled("", retry_after_s=30), Throttled("", retry_after_s=2)
    assert mildest([hopeless, gone]) is gone
    assert mildest([gone, late, soon, hopeless]) is soon
    assert mildest([soon, Busy("", retry_after_s=9)]).code == "busy"


def test_what_the_other_servers_met_is_told_with_it_each_thing_once() -> None:
    refused, gone = judge(401, {}, b"", KEY), Unavailable("the engine's server cannot be reached: connection refused")
    found = mildest([refused, gone, gone, refused])
    assert isinstance(found, Unavailable)
    assert found.retry_after_s is None
    assert found.message == (
        "the engine's server cannot be reached: connection refused; "
        "another refuses the key: see api_key_env in engines.yaml"
    )


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_wants_a_key_where_none_is_set_says_which_option_names_one(status: int) -> None:
    for key, told in (("", "none is set: name its variable by `api_key_env`"), (KEY, "refuses the key")):
        assert told in judge(status, {}, b"", key).message
