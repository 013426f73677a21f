from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.contract import AudioChunk, Engine, SpeechRequest
from engines.errors import InvalidRequest, SpeechError, Unavailable, Unsupported
from engines.testing import rms, seconds, speak_all

MANDARIN = "今天天气很好，我们去公园散步吧。银行行长说好。"
ENGLISH = "The quick brown fox jumps over the lazy dog, and then it sleeps."
Build = Callable[..., Engine]
Say = Callable[..., Coroutine[Any, Any, list[AudioChunk]]]

LONG = MANDARIN * 400  # about 40 minutes of speech: nothing ends by itself within a test


def pcm_of(chunks: list[AudioChunk]) -> bytes:
    return b"".join(chunk.pcm for chunk in chunks)


def pitch_hz(pcm: bytes, rate: int) -> float:
    """Fundamental of the loudest 50 ms: the lag between 60 and 400 Hz at which they are most like what follows."""
    samples = array("h")
    samples.frombytes(pcm)
    width = rate // 20
    starts = range(0, len(samples) - 2 * width, width)
    start = max(starts, key=lambda at: sum(sample * sample for sample in samples[at : at + width]))

    def difference(lag: int) -> int:
        return sum((samples[start + at] - samples[start + at + lag]) ** 2 for at in range(width))

    return rate / min(range(rate // 400, rate // 60), key=difference)


@pytest.mark.parametrize(
    ("language", "text", "least_s", "most_s"),
    [
        ("zh", MANDARIN, 5.5, 7.0),  # 20 characters; spelt in English it would be 9 s
        ("en", ENGLISH, 3.0, 4.8),
        ("yue", "今日天氣好好。", 1.0, 2.6),
        ("ja", "こんにちは せかい", 0.8, 1.8),
        ("ko", "안녕하세요", 0.6, 1.6),
    ],
)
async def test_speech_is_as_long_and_as_loud_as_people_speak(
    say: Say, language: str, text: str, least_s: float, most_s: float
) -> None:
    chunks = await say(text, language)
    assert least_s < seconds(chunks) < most_s
    assert rms(pcm_of(chunks)) > 1000
    assert {chunk.sample_rate for chunk in chunks} == {22050}
    assert chunks[0].seconds <= 0.1
    assert max(chunk.seconds for chunk in chunks) <= 0.3


async def test_mandarin_is_read_and_not_spelt(say: Say) -> None:
    """Read as English spelt pinyin it is half as long again as the same in pinyin with tones."""
    han, latin = await say("今天天气很好", "zh"), await say("jin1 tian1 tian1 qi4 hen3 hao3", "zh")
    assert seconds(han) == pytest.approx(seconds(latin), rel=0.25)


async def test_mandarin_with_latin_words_speaks_both(say: Say) -> None:
    assert seconds(await say("我喜欢 New York 的天气", "zh")) > seconds(await say("我喜欢的天气", "zh")) + 0.3


@pytest.mark.parametrize(("language", "text"), [("zh", MANDARIN), ("en", ENGLISH)])
async def test_speed_is_kept_from_a_quarter_to_four_times(say: Say, language: str, text: str) -> None:
    natural_s = seconds(await say(text, language))
    for speed in (0.25, 0.5, 2.0, 4.0):
        assert seconds(await say(text, language, speed=speed)) * speed == pytest.approx(natural_s, rel=0.25), speed


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf"), 0.01, 99.0])
async def test_a_speed_out_of_reason_is_an_invalid_request(say: Say, speed: float) -> None:
    with pytest.raises(InvalidRequest, match="speed"):
        await say("hello", "en", speed=speed)


async def test_the_pitch_option_changes_the_fundamental(build: Build) -> None:
    heard = {}
    for pitch in (10, 50, 90):
        engine = build(1, pitch=pitch)
        await engine.start()
        heard[pitch] = pitch_hz(pcm_of(await speak_all(engine, SpeechRequest("aaaa", "es", gender="female"))), 22050)
        await engine.close()
    assert heard[10] * 1.15 < heard[50] < heard[90] / 1.15


async def test_the_female_variant_is_higher(say: Say) -> None:
    plain, female = await say("aaaa", "es"), await say("aaaa", "es", gender="female")
    assert pitch_hz(pcm_of(female), 22050) > 1.2 * pitch_hz(pcm_of(plain), 22050)


async def test_volume_and_word_gap_options_are_heard(build: Build) -> None:
    quiet, slow = build(1, volume=20), build(1, word_gap_ms=300)
    plain = build(1)
    heard = []
    for engine in (plain, quiet, slow):
        await engine.start()
        heard.append(await speak_all(engine, SpeechRequest(ENGLISH, "en")))
        await engine.close()
    assert rms(pcm_of(heard[1])) < 0.5 * rms(pcm_of(heard[0]))
    assert seconds(heard[2]) > seconds(heard[0]) + 2.0


async def test_an_utterance_leaves_nothing_behind_for_the_next_one(say: Say) -> None:
    before = seconds(await say(ENGLISH, "en"))
    await say("<prosody rate='x-fast' volume='x-soft'>hello there</prosody>", "en", markup="ssml", speed=4.0)
    after = await say(ENGLISH, "en")
    assert seconds(after) == pytest.approx(before, rel=0.02)


async def test_ssml_breaks_are_heard_and_files_are_not(say: Say) -> None:
    plain = seconds(await say("<speak>one two</speak>", "en", markup="ssml"))
    paused = seconds(await say("<speak>one <break time='900ms'/> two</speak>", "en", markup="ssml"))
    assert 0.5 < paused - plain < 1.4
    with_file = await say("<speak>one <audio src='/etc/passwd'/> two</speak>", "en", markup="ssml")
    assert seconds(with_file) == pytest.approx(plain, abs=0.1)


async def test_plain_text_is_not_read_as_markup(say: Say) -> None:
    assert seconds(await say("one <break time='9s'/> two", "en")) > seconds(await say("one two", "en")) + 0.5


async def test_word_marks_are_the_words_in_order_within_the_audio(say: Say) -> None:
    for language, text, words in (
        ("en", "Hello 😀 big world. Yes!", ["Hello", "😀", "big", "world", "Yes"]),
        ("zh", "你好世界，今天 hello。", ["你", "世", "界", "今", "天", "hello"]),
        ("en", "I said 世界 to you.", ["I", "said", "世", "界", "to", "you"]),
    ):
        for speed in (1.0, 4.0):
            chunks = await say(text, language, speed=speed)
            marks = [mark for chunk in chunks for mark in chunk.marks]
            assert [mark.text for mark in marks] == words
            edges = [edge for mark in marks for edge in (mark.start_s, mark.end_s)]
            assert edges == sorted(edges)
            assert edges[0] >= 0
            assert edges[-1] <= seconds(chunks) + 0.01


@pytest.mark.parametrize("markup", ["plain", "ssml"])
async def test_chinese_words_in_an_english_sentence_are_read_and_not_named(
    say: Say, markup: Literal["plain", "ssml"]
) -> None:
    """Each would be "Chinese letter", 0.6 s, and a word is 0.3 s."""
    english, mixed = [
        seconds(await say(text, "en", markup=markup))
        for text in ("He said to me that", "He said 你好世界再见 to me that")
    ]
    assert 0.6 < mixed - english < 2.4


@pytest.mark.parametrize(
    ("text", "language"), [("今日はいい天気", "ja"), ("漢字です", "ja"), ("漢字 안녕", "ko"), ("hi", "tlh")]
)
async def test_what_it_cannot_read_is_unsupported_and_not_nonsense(say: Say, text: str, language: str) -> None:
    with pytest.raises(Unsupported):
        await say(text, language)


async def test_letters_that_the_voice_does_not_know_are_unsupported_and_not_silence(say: Say) -> None:
    with pytest.raises(Unsupported, match="nothing of this text"):
        await say("1 2 3", "sjn")


@pytest.mark.parametrize("text", ["", "……！？", "😀😀", "\0\x01"])
async def test_nothing_to_say_is_an_invalid_request(say: Say, text: str) -> None:
    with pytest.raises(InvalidRequest, match="nothing to say"):
        await say(text, "zh")


async def test_slots_speak_at_the_same_time_and_a_further_request_waits(build: Build) -> None:
    engine = build(3)
    await engine.start()
    streams = [engine.synthesize(SpeechRequest(LONG, "zh")) for _ in range(3)]
    order = [index for _ in range(30) for index, stream in enumerate(streams) if (await anext(stream)).pcm]
    assert order == [0, 1, 2] * 30
    fourth = engine.synthesize(SpeechRequest("hello", "en"))
    waiting = asyncio.ensure_future(anext(fourth))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    await streams[1].aclose()
    assert (await waiting).pcm
    for stream in (fourth, *streams):
        await stream.aclose()
    await engine.close()


async def test_closing_mid_way_frees_slot_and_thread_at_once(build: Build) -> None:
    engine = build(1)
    await engine.start()
    for turn in range(60):
        stream = engine.synthesize(SpeechRequest(LONG, "zh"))
        for _ in range(turn % 7 + 1):
            await anext(stream)
        await stream.aclose()
    assert seconds(await speak_all(engine, SpeechRequest("hello", "en"))) > 0.2
    await engine.close()


async def test_a_cancelled_task_frees_the_slot(build: Build) -> None:
    engine = build(1)
    await engine.start()
    for turn in range(40):
        task = asyncio.ensure_future(speak_all(engine, SpeechRequest(LONG, "zh")))
        for _ in range(turn):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seconds(await speak_all(engine, SpeechRequest("hello", "en"))) > 0.2
    await engine.close()


async def test_closing_the_engine_tells_who_speaks_and_who_waits_and_ends_the_threads(build: Build) -> None:
    engine = build(1)
    await engine.start()
    speaking = engine.synthesize(SpeechRequest(LONG, "zh"))
    await anext(speaking)
    waiting = [asyncio.ensure_future(speak_all(engine, SpeechRequest("hello", "en"))) for _ in range(3)]
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(Unavailable):
        async for _ in speaking:
            pass
    for one in waiting:
        with pytest.raises(Unavailable):
            await one
    with pytest.raises(Unavailable):
        await engine.check()
    for thread in threading.enumerate():
        if thread.name.startswith("espeak-0"):
            thread.join(10)
            assert not thread.is_alive()


async def test_it_can_be_started_again_after_closing(build: Build) -> None:
    engine = build(1)
    for _ in range(3):
        await engine.start()
        await engine.check()
        assert seconds(await speak_all(engine, SpeechRequest("hello", "en"))) > 0.2
        await engine.close()
        await engine.close()


async def test_hundreds_of_calls_over_four_slots_all_come_whole(build: Build) -> None:
    engine = build(4)
    await engine.start()
    texts = [("zh", MANDARIN), ("en", ENGLISH), ("ja", "こんにちは せかい"), ("yue", "今日天氣好好。")]
    expected = {language: seconds(await speak_all(engine, SpeechRequest(text, language))) for language, text in texts}

    async def one(turn: int) -> float:
        language, text = texts[turn % 4]
        return seconds(await speak_all(engine, SpeechRequest(text, language))) / expected[language]

    ratios = await asyncio.gather(*(one(turn) for turn in range(320)))
    assert all(ratio == pytest.approx(1.0, rel=0.02) for ratio in ratios)
    await engine.close()


NASTY = [
    "\0",
    "\x01 90P",
    "\ud800",
    "\u202e",
    "\u200b",
    "\u200d",
    "ש",
    "م",
    "[[",
    "]]",
    "<",
    "&",
    "😀",
    "\U0010ffff",
    "今",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    texts=st.lists(
        st.text(st.characters(), max_size=60) | st.lists(st.sampled_from(NASTY), max_size=60).map("".join), max_size=4
    ),
    language=st.sampled_from(["zh", "en", "yue", "ja", "ko", "ar", "hi", "ru", "th"]),
    markup=st.sampled_from(["plain", "ssml"]),
)
def test_no_text_breaks_it(build: Build, texts: list[str], language: str, markup: str) -> None:
    async def scenario() -> None:
        engine = build(2)
        await engine.start()
        results = await asyncio.gather(
            *(speak_all(engine, SpeechRequest(text, language, markup=markup)) for text in texts),  # type: ignore[arg-type]
            return_exceptions=True,
        )
        assert all(isinstance(one, SpeechError) or seconds(one) > 0 for one in results if one is not None)  # type: ignore[arg-type]
        assert seconds(await speak_all(engine, SpeechRequest("hello", "en"))) > 0.2
        await engine.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("text", ["a" * 10_000, "好" * 10_000, "1" * 10_000, "a\u0301" * 5_000, ("word " * 2_000)])
async def test_ten_thousand_characters_without_a_stop_are_spoken_to_their_end(say: Say, text: str) -> None:
    chunks = await say(text, "zh", speed=10.0)
    assert seconds(chunks) > 5
