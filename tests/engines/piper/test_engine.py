from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from engines.contract import AudioChunk, SpeechRequest
from engines.errors import InvalidRequest, Unavailable, Unsupported
from engines.piper import room
from engines.testing import rms, seconds, speak_all
from tests.engines.piper.conftest import Begin, Say
from tests.engines.piper.little import HOP, SAMPLE_RATE, make_voice

#: of what is spoken, -20 dB below full scale
SPOKEN_RMS = 32767 * 10 ** (-20 / 20)
TEXT = "The weather is fine today."


def sound(chunks: list[AudioChunk]) -> bytes:
    return b"".join(chunk.pcm for chunk in chunks)


def symbols(chunks: list[AudioChunk]) -> list[int]:
    """Of each chunk, how many the little voice has beeped."""
    return [chunk.samples // HOP for chunk in chunks]


async def test_each_sentence_is_a_chunk_at_the_voices_own_rate(say: Say) -> None:
    chunks = await say("Fine. Go home! Why?", voice="en_US-amy")
    assert len(chunks) == 3
    assert {chunk.sample_rate for chunk in chunks} == {SAMPLE_RATE}


async def test_ids_are_padded_as_the_type_of_phonemes_wants(say: Say) -> None:
    # begin and pad; each symbol and a pad; end
    assert symbols(await say("да, да.", "uk", voice="uk_UA-lada")) == [2 + 2 * len("да, да.") + 1]
    assert symbols(await say("Да", "uk", voice="uk_UA-lada")) == [2 + 2 * 2 + 1]
    # a pad after each syllable's three symbols and after each sign
    assert symbols(await say("你好，人。", "zh", voice="zh_CN-xiao")) == [2 + 3 * (3 + 1) + 2 * (1 + 1) + 1]


async def test_speed_and_length_change_the_duration(say: Say, begin: Begin) -> None:
    usual, quick = await say(TEXT), await say(TEXT, speed=2.0)
    assert seconds(quick) == pytest.approx(seconds(usual) / 2, rel=0.01)
    slow = await begin(length=1.5)
    assert seconds(await speak_all(slow, SpeechRequest(TEXT, "en"))) == pytest.approx(1.5 * seconds(usual), rel=0.01)


async def test_all_speakers_and_sentences_are_equally_loud(say: Say) -> None:
    for voice in ("en_US-amy", "en_GB-crowd:alice", "en_GB-crowd:bob"):
        for text in (TEXT, "Yes.", "A long one, with many words, and no haste at all."):
            assert rms(sound(await say(text, voice=voice))) == pytest.approx(SPOKEN_RMS, rel=0.1), voice


async def test_sentences_begin_and_end_in_silence(say: Say) -> None:
    for chunk in await say("Fine. Go home!"):
        samples = np.frombuffer(chunk.pcm, "<i2")
        assert samples[0] == 0
        assert abs(samples[-1]) < 200


async def test_speakers_are_named_or_numbered_and_the_default_is_the_voices(begin: Begin) -> None:
    engine = await begin()
    for voice in ("en_GB-crowd", "en_GB-crowd:bob", "en_GB-crowd:1"):
        assert await speak_all(engine, SpeechRequest(TEXT, "en", voice=voice))
    with pytest.raises(Unsupported, match=r"no voice 'en_GB-crowd:bo'.*en_GB-crowd:bob"):
        await speak_all(engine, SpeechRequest(TEXT, "en", voice="en_GB-crowd:bo"))


@pytest.mark.parametrize(
    ("text", "language", "voice", "reason"),
    [
        (TEXT, "en", "nobody", "no voice 'nobody'"),
        ("שלום", "he", "he_IL-motek", "type 'hebrew'"),
        (TEXT, "de", "en_US-amy", "speaks en, not 'de'"),
        (TEXT, "de", "", "speaks 'de'"),
        ("OK，好。", "zh", "zh_CN-xiao", "Han characters only"),
        ("Fine 好", "en", "en_US-amy", "does not read Han"),
        ("так shalom", "uk", "uk_UA-lada", "no letter 's'"),
        ("123", "uk", "uk_UA-lada", "nothing of this text"),
        ("人𪛖人", "zh", "zh_CN-xiao", "no reading"),
    ],
)
async def test_what_it_cannot_say_is_left_to_another_with_the_reason(
    say: Say, text: str, language: str, voice: str, reason: str
) -> None:
    with pytest.raises(Unsupported, match=reason):
        await say(text, language, voice=voice)


async def test_nothing_to_say_and_an_odd_speed_are_the_callers_faults(say: Say) -> None:
    with pytest.raises(InvalidRequest, match="nothing to say"):
        await say("…!")
    with pytest.raises(InvalidRequest, match="speed"):
        await say(TEXT, speed=9.0)


async def test_a_graph_that_is_none_of_pipers_is_refused_and_the_others_speak(begin: Begin, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "piper"
    make_voice(folder, "good")
    make_voice(folder, "other", inputs={"input": "tokens"})
    make_voice(folder, "torn").with_name("torn.onnx").write_bytes(b"no graph")
    engine = await begin(data=tmp_path)
    with pytest.raises(Unsupported, match=r"other is none for Piper.*tokens"):
        await speak_all(engine, SpeechRequest(TEXT, "en", voice="other"))
    with pytest.raises(Unsupported, match="torn cannot be loaded"):
        await speak_all(engine, SpeechRequest(TEXT, "en", voice="torn"))
    assert await speak_all(engine, SpeechRequest(TEXT, "en", voice="good"))


async def test_two_voices_speak_at_once_and_each_as_it_does_alone(begin: Begin) -> None:
    engine = await begin()
    requests = [SpeechRequest(f"{TEXT} {TEXT}", "en", voice="en_US-amy"), SpeechRequest("你好。再见。", "zh")]
    alone = [sound(await speak_all(engine, one)) for one in requests]
    assert [sound(one) for one in await asyncio.gather(*(speak_all(engine, one) for one in requests))] == alone
    assert set(engine.loaded) == {"en_US-amy", "zh_CN-xiao"}


async def test_a_budget_for_one_voice_has_them_take_turns(begin: Begin) -> None:
    engine = await begin(memory_mb=60)
    for voice, language, text in (("en_US-amy", "en", TEXT), ("zh_CN-xiao", "zh", "你好"), ("en_US-amy", "en", TEXT)):
        assert await speak_all(engine, SpeechRequest(text, language, voice=voice))
        assert engine.loaded == (voice,)
    pair = (SpeechRequest(TEXT, "en", voice="en_US-amy"), SpeechRequest("你好", "zh", voice="zh_CN-xiao"))
    assert all(await asyncio.gather(*(speak_all(engine, one) for one in pair)))


async def test_an_idle_voice_is_unloaded_and_comes_back(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, unloaded = asyncio.get_running_loop(), asyncio.Event()
    monkeypatch.setattr(room, "give_memory_back", lambda: loop.call_soon_threadsafe(unloaded.set))
    engine = await begin(voice_idle_s=0.01)
    for _ in range(2):
        assert await speak_all(engine, SpeechRequest(TEXT, "en"))
        async with asyncio.timeout(5):
            await unloaded.wait()
        assert engine.loaded == ()
        unloaded.clear()


async def test_a_voice_put_into_the_folder_can_speak_after_a_check(begin: Begin, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "piper"
    make_voice(folder, "amy")
    engine = await begin(data=tmp_path)
    make_voice(folder, "bea")
    await engine.check()
    assert engine.info.has_voice("bea")
    assert await speak_all(engine, SpeechRequest(TEXT, "en", voice="bea"))


async def test_closing_breaks_off_who_listens(begin: Begin) -> None:
    engine = await begin()
    async with aclosing(engine.synthesize(SpeechRequest("One. Two. Three. Four.", "en"))) as chunks:
        await anext(chunks)
        await engine.close()
        with pytest.raises(Unavailable, match="closed"):
            async for _ in chunks:
                pass
    with pytest.raises(Unavailable, match="not started"):
        await speak_all(engine, SpeechRequest(TEXT, "en"))
