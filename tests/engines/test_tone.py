"""Kind `tone` keeps the contract, and its beeps can be counted."""

from __future__ import annotations

from pathlib import Path

import pytest

import engines.tone
from engines.contract import EngineKind, Instance, SpeechRequest
from engines.errors import InvalidRequest
from engines.testing import EngineConformance, count_beeps, seconds, speak_all
from engines.tone import ToneEngine, ToneOptions


class TestTone(EngineConformance):
    kind = "tone"


class TestTonePaced(EngineConformance):
    kind = "tone"
    options = {"real_time_factor": 0.02, "first_audio_ms": 5, "chunk_ms": 50, "sample_rate": 16000}  # noqa: RUF012
    voice = "anyone"


async def beeps(text: str, *, speed: float = 1.0, **options: float) -> int:
    engine = ToneEngine(Instance("tone"), ToneOptions.model_validate(options))
    chunks = await speak_all(engine, SpeechRequest(text, "zh", speed=speed))
    return count_beeps(b"".join(chunk.pcm for chunk in chunks), chunks[0].sample_rate)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, world!", 2),
        ("It's 3.5 of 1,000 at 12:30, don't you think?", 9),
        ("你好，世界。", 4),
        ("用GPT4写3.5行代码", 7),
        ("きょうは、カナ。", 6),
        ("안녕, 세상", 4),
        ("हिन्दी में बात", 3),
        ("Привет, мир", 2),
        ("“quoted”…and—dashed (so)", 4),
        ("the end.Next", 3),
        ("one 🙂 two", 2),
        ("e\u0301tude", 1),
    ],
)
async def test_there_is_one_beep_per_word_or_character(text: str, expected: int) -> None:
    assert await beeps(text) == expected


@pytest.mark.parametrize("options", [{"sample_rate": 8000}, {"sample_rate": 48000}, {"chunk_ms": 7}, {"gap_ms": 15}])
async def test_beeps_can_be_counted_at_every_rate_and_chunk(options: dict[str, float]) -> None:
    assert await beeps("one two three 四五", **options) == 5


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
async def test_speed_divides_the_length_and_keeps_the_count(speed: float) -> None:
    engine = ToneEngine(Instance("tone"), ToneOptions())
    chunks = await speak_all(engine, SpeechRequest("one two three", "en", speed=speed))
    assert seconds(chunks) == pytest.approx(0.36 / speed, rel=0.001)
    assert await beeps("one two three", speed=speed) == 3


@pytest.mark.parametrize("text", ["", "…", "!?", "🙂", " \n"])
async def test_a_text_without_words_is_an_invalid_request(text: str) -> None:
    with pytest.raises(InvalidRequest):
        await beeps(text)


async def test_voices_sound_different_and_each_like_itself() -> None:
    engine = ToneEngine(Instance("tone"), ToneOptions())
    heard = {
        (voice, chunk.pcm)
        for voice in ("narrator", "中文女", "narrator")
        for chunk in await speak_all(engine, SpeechRequest("one", "en", voice=voice))
    }
    assert len(heard) == 2
    assert len({pcm for _, pcm in heard}) == 2


async def test_a_mark_gives_each_word_its_time() -> None:
    engine = ToneEngine(Instance("tone"), ToneOptions(beep_ms=80, gap_ms=20, chunk_ms=70))
    chunks = await speak_all(engine, SpeechRequest("one two, three", "en"))
    marks = [mark for chunk in chunks for mark in chunk.marks]
    assert [mark.text for mark in marks] == ["one", "two", "three"]
    assert [mark.start_s for mark in marks] == pytest.approx([0.0, 0.1, 0.2])
    assert [mark.end_s for mark in marks] == pytest.approx([0.08, 0.18, 0.28])


def test_the_version_follows_the_sound_and_not_the_pace() -> None:
    def version(**options: float) -> str:
        return engines.tone.describe(Instance("tone"), ToneOptions.model_validate(options)).version

    assert version() == version(real_time_factor=2, chunk_ms=50, first_audio_ms=9)
    assert len({version(), version(beep_ms=90), version(sample_rate=16000), version(frequency_hz=500)}) == 4


def test_slots_are_what_the_instance_says() -> None:
    assert ToneEngine(Instance("tone", slots=3), ToneOptions()).info.slots == 3


def test_the_example_to_copy_stays_short() -> None:
    (kind,) = engines.tone.engine_kinds()
    assert isinstance(kind, EngineKind)
    assert len(Path(engines.tone.__file__).read_text().splitlines()) < 100
