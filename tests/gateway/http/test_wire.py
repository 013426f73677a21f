"""What clients send, and what is understood of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engines.contract import Emotion
from engines.errors import InvalidRequest, SpeechError, Unsupported
from gateway.http.docs import SPEECH_SCHEMA
from gateway.http.wire import SpeechBody, parse_speech
from gateway.request import ClientRequest


def parse(**fields: Any) -> ClientRequest:
    return parse_speech(json.dumps({"input": "hello"} | fields).encode(), 100)[0]


def test_only_input_is_required() -> None:
    assert parse() == ClientRequest(input="hello")


def test_null_means_absent() -> None:
    assert parse(**dict.fromkeys(set(SpeechBody.__struct_fields__) - {"input"})) == ClientRequest(input="hello")


def test_a_text_is_refused_above_its_limit_and_taken_at_it_markup_and_white_space_counted() -> None:
    assert len(parse(input="**你好**\n\n" + "😀" * 92).input) == 100
    with pytest.raises(InvalidRequest, match="input has 101 characters; 100 are allowed") as caught:
        parse(input="<speak>你好</speak>" + " " * 84, input_type="ssml")
    assert caught.value.param == "input"


def test_text_and_speaker_are_other_names() -> None:
    request, ignored = parse_speech(b'{"text": "hello", "speaker": {"id": "alloy"}}', 100)
    assert (request.input, request.voice, ignored) == ("hello", "alloy", [])


def test_a_name_given_beside_its_alias_wins_and_the_alias_is_named() -> None:
    request, ignored = parse_speech(b'{"input": "a", "text": "b", "voice": "c", "speaker": "d"}', 100)
    assert (request.input, request.voice, ignored) == ("a", "c", ["text", "speaker"])


def test_unknown_fields_and_those_of_later_versions_are_named() -> None:
    body = b'{"input": "a", "volume_multiplier": 2, "timestamps": true}'
    assert parse_speech(body, 100)[1] == ["volume_multiplier", "timestamps"]


@pytest.mark.parametrize("sent", ["zh", "en-US", "zh_CN", "zh-Hans-CN"])
def test_languages_are_passed_on(sent: str) -> None:
    assert parse(language=sent).language == sent


def test_language_auto_means_find_it_out() -> None:
    assert parse(language="Auto").language == ""


def test_stream_false_asks_for_the_whole_clip() -> None:
    assert parse().stream
    assert not parse(stream=False).stream


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("happy", Emotion(weights=(("happy", 1.0),))),
        ({"happy": 0.6, "sad": 1}, Emotion(weights=(("happy", 0.6), ("sad", 1.0)))),
        ({"vector": [1, 0, 0, 0, 0, 0, 0, 0.5], "alpha": 0.8}, Emotion(vector=(1, 0, 0, 0, 0, 0, 0, 0.5), alpha=0.8)),
        ({"voice": "narrator", "alpha": 0.5}, Emotion(voice="narrator", alpha=0.5)),
        ("", None),
        ({}, None),
    ],
)
def test_an_emotion_has_four_forms(sent: Any, meant: Emotion | None) -> None:
    assert parse(emotion=sent).emotion == meant


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 3}, "input"),
        ({"input": None}, "input"),
        ({"input": "x" * 101}, "input"),
        ({"speed": "fast"}, "speed"),
        ({"speed": 4.01}, "speed"),
        ({"speed": 0.24}, "speed"),
        ({"voice": 3}, "voice"),
        ({"voice": {"id": 3}}, "voice.id"),
        ({"voice": {}}, "voice"),
        ({"model": "x" * 201}, "model"),
        ({"response_format": "mp5"}, "response_format"),
        ({"response_format": ["mp3"]}, "response_format"),
        ({"stream": "yes"}, "stream"),
        ({"stream_format": "json"}, "stream_format"),
        ({"language": "zh; rm"}, "language"),
        ({"sample_rate": 24001}, "sample_rate"),
        ({"sample_rate": 24000.5}, "sample_rate"),
        ({"emotion": 1}, "emotion"),
        ({"emotion": {"happy": 1.5}}, "emotion"),
        ({"emotion": {"happy": "very"}}, "emotion"),
        ({"emotion": {"happy": 0.5, "voice": "x"}}, "emotion"),
        ({"emotion": {"vector": [1, 2]}}, "emotion.vector"),
        ({"emotion": {"voice": 1}}, "emotion.voice"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"input_type": "html"}, "input_type"),
        ({"tags": ["a", 1]}, "tags[1]"),
        ({"tags": [""]}, "tags"),
        ({"tags": ["x"] * 17}, "tags"),
        ({"deadline_ms": 0}, "deadline_ms"),
        ({"cache": "maybe"}, "cache"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert caught.value.param == param
    assert param.partition(".")[0].partition("[")[0] in caught.value.message


def test_a_wrong_type_is_told_in_plain_words() -> None:
    with pytest.raises(InvalidRequest, match="speed must be a number, not a string"):
        parse(speed="fast")
    with pytest.raises(InvalidRequest, match="voice must be a string or an object, not an integer"):
        parse(voice=3)
    with pytest.raises(InvalidRequest, match="the body must be an object, not a list"):
        parse_speech(b"[]", 100)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"hello", b'{"input": "\xff"}', b'{"input": "\\ud800"}', b'{"a":' + b"[" * 100_000, b"\x00"]
)
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_speech(body, 100)
    assert caught.value.code == "invalid_json"


def test_text_that_is_cut_inside_a_character_is_told_as_such() -> None:
    for body in (rb'{"input": "hi \ud83d"}', rb'{"input": "\ude00 and more text than the parser looks ahead"}'):
        with pytest.raises(InvalidRequest, match="half a character"):
            parse_speech(body, 100)
    with pytest.raises(InvalidRequest, match="not UTF-8"):
        parse_speech(b'{"input": "\xc4\xe3\xba\xc3"}', 100)  # GBK
    with pytest.raises(InvalidRequest, match="truncated"):
        parse_speech(rb'{"input": "\ud83d\ude00 \\ud83d', 100)
    assert parse_speech(rb'{"input": "\ud83d\ude00 hi"}', 100)[0].input == "😀 hi"


def test_sse_is_unsupported_and_the_message_says_what_is() -> None:
    with pytest.raises(Unsupported, match="streams audio") as caught:
        parse(stream_format="sse")
    assert caught.value.param == "stream_format"


_json = some.recursive(
    some.none()
    | some.booleans()
    | some.floats(allow_nan=False, allow_infinity=False)
    | some.integers()
    | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
bodies = some.dictionaries(some.sampled_from(SpeechBody.__struct_fields__) | some.text(max_size=10), _json)


@given(bodies)
def test_any_json_object_is_a_request_or_a_clear_error(fields: dict[str, Any]) -> None:
    refused: SpeechError | None = None
    try:
        request, ignored = parse_speech(json.dumps(fields).encode(), 100)
    except SpeechError as error:
        refused = error
    if refused is None:
        assert isinstance(request, ClientRequest)
        assert set(ignored) >= set(fields) - set(SpeechBody.__struct_fields__)
    else:
        assert refused.status == 400
        assert refused.message


@given(some.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_clear_error(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_speech(body, 100)


def test_the_schema_describes_every_field_that_is_read() -> None:
    assert SPEECH_SCHEMA.properties is not None
    assert set(SPEECH_SCHEMA.properties) == set(SpeechBody.__struct_fields__)
