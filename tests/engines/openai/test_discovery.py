from __future__ import annotations

import json

import pytest

from engines.openai.dialects import PRESETS, Listed
from engines.openai.discovery import read_models, read_voices


def names(told: object) -> list[str] | None:
    voices = read_voices(json.dumps(told, ensure_ascii=False).encode())
    return None if voices is None else [voice.name for voice in voices]


@pytest.mark.parametrize(
    "told",
    [
        {"voices": ["one", "two"], "uploaded_voices": [{"name": "two"}]},
        {"voices": [{"id": "one", "name": "One"}, {"id": "two", "name": "Two"}]},
        {"object": "list", "data": [{"id": "one"}, {"name": "two"}]},
        {"voices": {"one": {}, "two": {}}},
        {"one": ["assets/one.wav"], "two": ["assets/two.wav"]},
        ["one", "two"],
        {"voices": ["one", "two", "one", "", None, 7, {"id": ""}, {"gender": "female"}]},
    ],
)
def test_a_list_of_voices_is_read_in_every_shape_that_is_about(told: object) -> None:
    assert names(told) == ["one", "two"]


@pytest.mark.parametrize("told", [{"detail": "Not Found"}, {"error": {"message": "no"}}, {"voices": 3}, "one", 7, None])
def test_what_is_no_list_is_none(told: object) -> None:
    assert names(told) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 10_000])
def test_what_is_no_json_is_no_list(body: bytes) -> None:
    assert read_voices(body) is None
    assert read_models(body) is None


def test_what_is_told_of_a_voice_is_kept() -> None:
    told = [
        {"id": "af", "language": "en-us", "gender": "female"},
        {"id": "zm", "languages": ["cmn", "zh_CN", "multilingual"], "gender": "Male"},
        {"id": "x", "language": 3, "gender": "robot"},
    ]
    assert read_voices(json.dumps(told).encode()) == (
        Listed("af", ("en",), "female"),
        Listed("zm", ("zh",), "male"),
        Listed("x"),
    )


def test_where_only_the_name_tells_more_the_name_is_read() -> None:
    about = PRESETS["kokoro-fastapi"].about_voice
    told = {"voices": [{"id": "zf_xiaobei", "name": "zf_xiaobei"}, "bm_daniel", "mine", "q_what"]}
    assert read_voices(json.dumps(told).encode(), about) == (
        Listed("zf_xiaobei", ("zh",), "female"),
        Listed("bm_daniel", ("en",), "male"),
        Listed("mine"),
        Listed("q_what"),
    )


def test_models_are_read_as_openai_and_as_speaches_list_them() -> None:
    assert read_models(b'{"object": "list", "data": [{"id": "a"}, {"id": "b"}, {"id": "a"}, {}]}') == ("a", "b")
    assert read_models(b'{"object": "list", "models": [{"id": "a"}]}') == ("a",)
    assert read_models(b'{"data": "a"}') is None
