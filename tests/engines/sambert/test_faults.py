"""The fault table: each documented code and status, and what it does to a request and to the engine."""

from __future__ import annotations

import json

import pytest

from engines.errors import EngineFault, Refused, SpeechError, Throttled, Unavailable, Unsupported
from engines.sambert.faults import FAULTS, MEND_S, failed, turned_away

ACCOUNT = (
    *("InvalidApiKey", "AccessDenied", "AccessDenied.Unpurchased", "Arrearage", "AllocationQuota.FreeTierOnly"),
    *("PrepaidBillOverdue", "PostpaidBillOverdue", "CommodityNotPurchased", "WorkSpaceNotFound"),
)
THROTTLED = (
    *("Throttling", "Throttling.RateQuota", "Throttling.BurstRate", "Throttling.AllocationQuota"),
    *("RateQuota", "BurstRate", "AllocationQuota"),
)
SERVER = (
    *("InternalError", "InternalError.Algo", "InternalError.Timeout", "SystemError", "ModelServiceFailed"),
    *("ModelUnavailable", "ModelServingError", "RequestTimeOut", "RequestTimeout", "CLIENT_ERROR"),
    *("SomethingNew", "", "418"),
)


@pytest.mark.parametrize("code", ACCOUNT)
def test_a_key_or_account_that_is_refused_opens_the_breaker_for_minutes(code: str) -> None:
    error = failed(code, "Access denied")
    assert type(error) is Unavailable
    assert (error.try_next, error.health, error.retry_after_s) == (True, "hurt", MEND_S)


@pytest.mark.parametrize("code", ["ModelNotFound", "Model.NotExist", "Model.AccessDenied", "model_not_found"])
def test_an_unknown_voice_is_not_the_engines_illness(code: str) -> None:
    error = failed(code, "Model not found (sambert-zhiyan-v1)!")
    assert type(error) is Unsupported
    assert (error.param, error.retry_after_s) == ("voice", MEND_S)
    assert (error.try_next, error.retry_same, error.health) == (True, False, "unhurt")


@pytest.mark.parametrize("code", ["InvalidParameter", "InvalidParameter.DataInspection", "BadRequest.TooLarge"])
def test_a_text_that_it_cannot_speak_goes_to_the_next_engine_and_says_why(code: str) -> None:
    error = failed(code, "[tts:]Engine return error code: 418")
    assert type(error) is Unsupported
    assert (error.param, error.retry_same, error.health) == (None, False, "unhurt")
    assert "418" in error.message
    assert code in error.message


@pytest.mark.parametrize("code", ["DataInspectionFailed", "data_inspection_failed"])
def test_content_that_is_refused_goes_to_nobody_else(code: str) -> None:
    error = failed(code, "Input data may contain inappropriate content.")
    assert type(error) is Refused
    assert (error.try_next, error.retry_same, error.health) == (False, False, "unhurt")


@pytest.mark.parametrize("code", THROTTLED)
def test_an_account_with_no_more_room_cools_down(code: str) -> None:
    error = failed(code, "Requests rate limit exceeded, please try again later.")
    assert type(error) is Throttled
    assert (error.try_next, error.retry_same, error.health) == (True, False, "cools")


@pytest.mark.parametrize("code", SERVER)
def test_a_failure_of_the_service_is_tried_once_more_and_counts(code: str) -> None:
    error = failed(code, "request timeout after 23 seconds.")
    assert type(error) is EngineFault
    assert (error.try_next, error.retry_same, error.health, error.retry_after_s) == (True, True, "hurt", None)


@pytest.mark.parametrize(
    ("status", "kind", "retry_after_s"),
    [
        (401, Unavailable, MEND_S),
        (403, Unavailable, MEND_S),
        (302, Unavailable, MEND_S),
        (404, Unavailable, MEND_S),
        (413, Unsupported, None),
        (429, Throttled, None),
        (500, EngineFault, None),
        (502, EngineFault, None),
        (503, EngineFault, None),
        (504, EngineFault, None),
        (200, Unavailable, MEND_S),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"code": 7}', b"\xff"])
def test_a_handshake_is_judged_by_its_status(
    status: int, kind: type[SpeechError], retry_after_s: float | None, body: bytes
) -> None:
    error = turned_away(status, body)
    assert (type(error), error.retry_after_s) == (kind, retry_after_s)
    assert f"HTTP {status}" in error.message


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(400, "Arrearage", Unavailable), (403, "Throttling.RateQuota", Throttled), (400, "InternalError", EngineFault)],
)
def test_a_code_that_is_known_says_more_than_the_status(status: int, code: str, kind: type[SpeechError]) -> None:
    assert type(turned_away(status, json.dumps({"code": code, "message": "…"}).encode())) is kind


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (None, None), ("soon", None), ("-1", None)])
def test_a_throttled_handshake_says_how_long(header: str | None, seconds: float | None) -> None:
    assert turned_away(429, b"", header).retry_after_s == seconds


def test_messages_hold_no_key_and_no_address_and_are_short() -> None:
    said = "Incorrect API key provided: sk-0123456789abcdef. See https://help.example.com/key?id=5\n" + "x" * 1000
    for code in [code for fault in FAULTS for code in fault.codes]:
        message = failed(code, said).message
        assert "sk-" not in message
        assert "example" not in message
        assert "\n" not in message
        assert len(message) < 400
    assert failed("sk-0123 https://a.b\n", "").message.endswith("(no code)")


def test_each_code_and_status_stands_for_one_fault() -> None:
    codes = [code for fault in FAULTS for code in fault.codes]
    statuses = [status for fault in FAULTS for status in fault.statuses]
    assert len(codes) == len(set(codes))
    assert len(statuses) == len(set(statuses))
