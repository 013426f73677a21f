"""The protocol alone: frames that are sent, and what frames mean that come. No socket, no clock."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import EngineFault, SpeechError, Unsupported
from engines.sambert.faults import Lost
from engines.sambert.protocol import (
    LEAST_S_PER_CHAR,
    MOST_WORDS,
    MOST_WORDS_PER_CHAR,
    PIECE_CHARS,
    Audio,
    Duplex,
    Event,
    Finished,
    OneShot,
    Sentence,
    Started,
    Task,
    Word,
    exchange_for,
)

TEXT = "床前明月光。"
PCM = {"format": "pcm", "sample_rate": 16000, "text_type": "PlainText"}
TASK = Task("sambert-zhichu-v1", TEXT, PCM)


def started(task: Task = TASK) -> OneShot:
    exchange = exchange_for(task)
    assert exchange.receive(event(exchange, "task-started", {})) == Started()
    return exchange


def event(of: OneShot, name: str, payload: Any = None, **header: Any) -> str:
    return json.dumps(
        {"header": {"task_id": of.task_id, "event": name, "attributes": {}, **header}, "payload": payload}
    )


def sentence(of: OneShot, words: Any, usage: Any = None, **more: Any) -> str:
    return event(of, "result-generated", {"output": {"sentence": {"words": words, **more}}, "usage": usage})


def word(text: str, begin_ms: int, end_ms: int) -> dict[str, Any]:
    return {"text": text, "begin_time": begin_ms, "end_time": end_ms, "phonemes": []}


def test_sambert_is_asked_with_all_its_text_in_one_frame() -> None:
    exchange = exchange_for(TASK)
    assert json.loads(exchange.begin()) == {
        "header": {"action": "run-task", "task_id": exchange.task_id, "streaming": "out"},
        "payload": {
            "model": "sambert-zhichu-v1",
            "task_group": "audio",
            "task": "tts",
            "function": "SpeechSynthesizer",
            "parameters": PCM,
            "input": {"text": TEXT},
        },
    }
    assert list(exchange.text()) == []
    assert len(exchange.task_id) == 32
    assert int(exchange.task_id, 16)


def test_cosyvoice_is_asked_without_text_which_follows_in_pieces_and_has_an_end() -> None:
    text = "好" * (2 * PIECE_CHARS + 1)
    exchange = exchange_for(Task("cosyvoice-v3-flash", text, {**PCM, "voice": "longanyang"}, duplex=True))
    assert isinstance(exchange, Duplex)
    begin = json.loads(exchange.begin())
    assert (begin["header"]["streaming"], begin["payload"]["input"]) == ("duplex", {})
    frames = [json.loads(frame) for frame in exchange.text()]
    assert [frame["header"]["action"] for frame in frames] == [*["continue-task"] * 3, "finish-task"]
    assert {(frame["header"]["task_id"], frame["header"]["streaming"]) for frame in frames} == {
        (exchange.task_id, "duplex")
    }
    assert max(len(frame["payload"]["input"].get("text", "")) for frame in frames) == PIECE_CHARS
    assert "".join(frame["payload"]["input"].get("text", "") for frame in frames) == text
    assert frames[-1]["payload"] == {"input": {}}


def test_no_two_tasks_have_the_same_id() -> None:
    assert exchange_for(TASK).task_id != exchange_for(TASK).task_id


@pytest.mark.parametrize(
    ("payload", "characters"),
    [
        ({"output": None, "usage": {"characters": 6}}, 6),
        ({"usage": {"characters": 6}}, 6),
        ({"output": {}, "usage": {"characters": 6, "images": 0}}, 6),
        ({"output": None, "usage": None}, None),
        ({"usage": {"characters": "6"}}, None),
        ({"usage": {"characters": float("inf")}}, None),
        ({}, None),
        (None, None),
    ],
)
def test_every_shape_of_the_end_is_taken(payload: Any, characters: int | None) -> None:
    exchange = started()
    assert exchange.receive(bytes(16000)) == Audio(bytes(16000))
    assert not exchange.finished
    assert exchange.receive(event(exchange, "task-finished", payload)) == Finished(characters)
    assert exchange.finished


def test_characters_are_the_last_that_were_told() -> None:
    exchange = started()
    exchange.receive(sentence(exchange, [], {"characters": 3}, begin_time=0))
    exchange.receive(sentence(exchange, [], {"characters": 6}, begin_time=0))
    exchange.receive(bytes(16000))
    assert exchange.receive(event(exchange, "task-finished", {"output": None, "usage": None})) == Finished(6)


def test_a_sentence_that_grows_tells_each_word_once() -> None:
    exchange = started()
    words = [word("床", 0, 200), word("前", 200, 400), word("明", 400, 600)]
    assert exchange.receive(sentence(exchange, words[:2], begin_time=0)) == Sentence(
        (Word("床", 0, 200), Word("前", 200, 400))
    )
    assert exchange.receive(sentence(exchange, words[:2], begin_time=0)) is None
    assert exchange.receive(sentence(exchange, words, begin_time=0)) == Sentence((Word("明", 400, 600),))
    assert exchange.receive(sentence(exchange, [word("疑", 700, 900)], begin_time=700)) == Sentence(
        (Word("疑", 700, 900),)
    )


def test_words_without_end_are_a_fault() -> None:
    exchange = started()
    words = [word("床", 0, 200)] * (MOST_WORDS + MOST_WORDS_PER_CHAR * len(TEXT))
    assert isinstance(exchange.receive(sentence(exchange, words, begin_time=0)), Sentence)
    assert exchange.receive(sentence(exchange, words, begin_time=0)) is None
    with pytest.raises(EngineFault, match="more words"):
        exchange.receive(sentence(exchange, words[:1], begin_time=700))


def test_cosyvoice_tells_words_at_a_sentence_end_under_its_index() -> None:
    exchange = started(Task("cosyvoice-v3-flash", TEXT, {**PCM, "voice": "x"}, duplex=True))
    for kind in ("sentence-begin", "sentence-synthesis"):
        output = {"output": {"type": kind, "sentence": {"index": 0, "words": []}, "original_text": TEXT}}
        assert exchange.receive(event(exchange, "result-generated", output)) is None
    for index in range(2):
        output = {"type": "sentence-end", "sentence": {"index": index, "words": [word("床", 0, 200)]}}
        told = exchange.receive(event(exchange, "result-generated", {"output": output, "usage": {"characters": 12}}))
        assert told == Sentence((Word("床", 0, 200),))


@pytest.mark.parametrize(
    "words",
    [
        None,
        {},
        "床",
        [None],
        ["床"],
        [{"text": "床"}],
        [word("床", None, 5)],  # type: ignore[arg-type]
        [word(None, 0, 5)],  # type: ignore[arg-type]
        [word("床", True, "5")],  # type: ignore[arg-type]
        [word("床", float("nan"), float("inf"))],  # type: ignore[arg-type]
        [word("床", -1, 10**400)],
    ],
)
def test_a_word_without_its_times_is_passed_over(words: Any) -> None:
    exchange = started()
    assert exchange.receive(sentence(exchange, words, begin_time=0)) is None


def test_events_and_fields_that_are_not_documented_are_passed_over() -> None:
    exchange = exchange_for(TASK)
    assert exchange.receive(event(exchange, "task-queued", [1])) is None
    assert exchange.receive(event(exchange, "result-generated", {"output": "much"})) is None  # before its time
    assert exchange.receive(event(exchange, "task-started", {"news": 1}, extra={"a": 1})) == Started()
    assert exchange.receive(event(exchange, "task-started")) is None  # again
    assert exchange.receive(event(exchange, "audio-enhanced", {"output": {"sentence": 5}})) is None


@pytest.mark.parametrize("name", ["task-started", "result-generated", "task-finished", "task-failed", "audio-enhanced"])
@pytest.mark.parametrize("task_id", ["0" * 32, 7])
def test_an_event_of_another_task_is_a_fault(name: str, task_id: Any) -> None:
    exchange = started()
    exchange.receive(bytes(16000))
    with pytest.raises(EngineFault, match="another task"):
        exchange.receive(event(exchange, name, {}, task_id=task_id))
    assert not exchange.finished


def test_a_failure_may_come_without_an_id_and_nothing_else_may() -> None:
    exchange = exchange_for(TASK)
    with pytest.raises(Unsupported):
        exchange.receive(event(exchange, "task-failed", {}, task_id="", error_code="InvalidParameter"))
    with pytest.raises(EngineFault, match="another task"):
        exchange.receive(event(exchange, "task-started", {}, task_id=""))


def test_a_failure_in_the_middle_is_raised() -> None:
    exchange = started()
    exchange.receive(bytes(16000))
    with pytest.raises(EngineFault, match="ModelServingError"):
        exchange.receive(event(exchange, "task-failed", {}, error_code="ModelServingError", error_message="…"))
    assert not exchange.finished


_STRANGE = ["", "{", "[]", "null", '"text"', '{"payload": {}}', '{"header": []}', "[" * 100_000]


@pytest.mark.parametrize("frame", _STRANGE, ids=lambda frame: frame[:20])
def test_a_frame_that_is_not_of_the_protocol_is_a_fault(frame: str) -> None:
    with pytest.raises(EngineFault, match="not of its protocol"):
        started().receive(frame)


def test_audio_before_the_start_is_that_of_another_task() -> None:
    with pytest.raises(Lost, match="not started"):
        exchange_for(TASK).receive(bytes(2))


@pytest.mark.parametrize("frames", [[], [b""], [b"", b""]])
def test_an_end_without_audio_is_a_fault(frames: list[bytes]) -> None:
    exchange = started()
    assert [exchange.receive(frame) for frame in frames] == [None] * len(frames)
    with pytest.raises(EngineFault, match="without their audio"):
        exchange.receive(event(exchange, "task-finished", {"usage": {"characters": 6}}))
    assert not exchange.finished


def test_an_end_with_absurdly_little_audio_is_a_fault_and_with_a_little_more_is_not() -> None:
    chars, rate = 40, 16000
    task = Task("sambert-zhichu-v1", "好，" * chars, PCM)
    least = round(chars * LEAST_S_PER_CHAR * rate * 2)
    for audio_bytes, well in ((least - 2, False), (least, True)):
        exchange = started(task)
        exchange.receive(bytes(audio_bytes))
        if well:
            assert exchange.receive(event(exchange, "task-finished")) == Finished(None)
        else:
            with pytest.raises(EngineFault, match="40 letters without their audio"):
                exchange.receive(event(exchange, "task-finished"))


def test_tags_of_ssml_need_no_audio() -> None:
    pauses = '<break time="100ms"/>' * 99
    exchange = started(Task("sambert-zhichu-v1", f"<speak>{pauses}好</speak>", PCM))
    exchange.receive(bytes(200))
    assert exchange.receive(event(exchange, "task-finished")) == Finished(None)


def test_a_text_with_nothing_to_speak_is_not_the_services_fault() -> None:
    exchange = started(Task("sambert-zhichu-v1", "🙂…", PCM))
    with pytest.raises(Unsupported):
        exchange.receive(event(exchange, "task-finished"))


def test_audio_of_other_formats_has_no_length_to_judge() -> None:
    exchange = started(Task("sambert-zhichu-v1", TEXT * 100, {**PCM, "format": "mp3"}))
    exchange.receive(b"ID3")
    assert exchange.receive(event(exchange, "task-finished")) == Finished(None)


def test_an_end_of_the_connection_before_task_finished_is_a_fault() -> None:
    exchange = started()
    assert "before any audio" in exchange.lost().message
    exchange.receive(bytes(32000))
    assert isinstance(exchange.lost(), Lost)
    assert "32000 bytes" in exchange.lost().message


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["output", "sentence", "words", "usage", "characters", "text", "begin_time", "end_time"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(["task-started", "result-generated", "task-finished", "task-failed", "?"]), _JSON, _JSON)
def test_whatever_a_payload_holds_is_an_event_or_an_error_of_ours(name: str, payload: Any, code: Any) -> None:
    exchange = started()
    exchange.receive(bytes(16000))
    try:
        got = exchange.receive(event(exchange, name, payload, error_code=code, error_message=code))
    except SpeechError:
        assert name == "task-failed"
    else:
        assert got is None or isinstance(got, Event)
