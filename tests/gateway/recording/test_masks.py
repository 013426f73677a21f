"""What a recording hides, and what it leaves as it is."""

from __future__ import annotations

import pytest

from gateway.recording.masks import Masks

KEY = "0123456789abcdef"


def test_values_of_the_environment_under_telling_names_are_hidden_everywhere() -> None:
    masks = Masks({"MY_API_KEY": KEY, "HOME": "/home/someone", "A_TOKEN": "short"}, ["named-by-an-option"])
    assert masks.text(f"{KEY} in /home/someone is short, named-by-an-option") == "*** in /home/someone is short, ***"


def test_what_stands_in_a_header_of_credentials_is_hidden_from_then_on() -> None:
    masks = Masks({})
    head = {
        "headers": {"Authorization": f"Bearer {KEY}", "X-DashScope-WorkSpace": "llm-abcdef", "User-Agent": "voxgate"}
    }
    told = masks.fields(head)
    assert told == {"headers": {"Authorization": "***", "X-DashScope-WorkSpace": "***", "User-Agent": "voxgate"}}
    assert masks.text(f"no key {KEY} in llm-abcdef") == "no key *** in ***"
    assert masks.first(b"\x00" + KEY.encode() + bytes(8), 6) == b"\x00***\x00\x00"


def test_fields_keep_their_types_and_what_identifies_nobody() -> None:
    message = {"uid": 1234567, "request_uuid": "6f-11", "usage": {"input_tokens": 5}, "ok": True, "of": [1.5, None]}
    assert Masks({}).fields(message) == message | {"uid": 0}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "wss://llm-abc.cn-beijing.maas.aliyuncs.com/api-ws/v1/inference",
            "wss://***.aliyuncs.com/api-ws/v1/inference",
        ),
        (
            "http://me:secret@10.0.0.5:8000/v1/audio/speech?api_key=abc&n=1",
            "http://***/v1/audio/speech?api_key=***&n=1",
        ),
        ("http://localhost/v1", "http://***/v1"),
    ],
)
def test_an_address_does_not_tell_whose_it_is(url: str, told: str) -> None:
    assert Masks({}).fields({"url": url}) == {"url": told}


@pytest.mark.parametrize("host", ["10.0.0.5", "gpu-box.internal", "[fd00::5]"])
def test_where_a_server_stands_is_told_nowhere_once_it_was_asked(host: str) -> None:
    masks = Masks({})
    told = masks.fields({"method": "POST", "url": f"http://{host}:8000/v1/audio/speech", "headers": {}})
    told |= masks.fields({"headers": {"Location": f"http://{host}:8000/v2/", "x-served-by": f"{host}:8000"}})
    told |= masks.fields({"error": {"message": f"no http://{host}:8000/v1 (see {host}:8000, {host.strip('[]')})"}})
    assert host.strip("[]") not in str(told)
    assert "8000" not in str(told)
    assert masks.text("models tts-1 and tts-1-hd") == "models tts-1 and tts-1-hd"


@pytest.mark.parametrize("url", ["http://[bad", "http://host:99999999/v1", "//", ""])
def test_an_address_that_is_none_does_not_stop_a_recording(url: str) -> None:
    assert Masks({}).fields({"url": url, "text": f"see {url}"})["url"] in ("***", url, "http://***/v1")


@pytest.mark.parametrize(
    "text", ["Incorrect API key provided: sk-proj-********wxyz.", "use `Bearer abcdefgh`", '{"key": "sk-0a1b2c3d"}']
)
def test_what_looks_like_a_key_is_hidden(text: str) -> None:
    told = Masks({}).text(text)
    assert "***" in told
    assert not any(piece in told for piece in ("wxyz", "abcdefgh", "0a1b"))
