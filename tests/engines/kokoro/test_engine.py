"""The engine on tiny models: what arrives at the model is measured in the audio that comes back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.contract import Engine, SpeechRequest
from engines.errors import InvalidRequest, Unavailable, Unsupported
from engines.kokoro.model import Kokoro
from engines.kokoro.network import Network, Stop
from models.session import SessionError
from tests.engines.kokoro.tiny import (
    LEVELS,
    WIDTH,
    count_of,
    level_of,
    make_engine,
    make_home,
    row_of,
    say,
    write_graph,
)


@asynccontextmanager
async def started(home: Path, slots: int | None = None, **options: Any) -> AsyncIterator[Engine]:
    engine = make_engine(home, slots, **options)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def test_the_model_is_given_the_row_for_the_number_of_phonemes(home: Path) -> None:
    async with started(home) as engine:
        (chunk,) = await say(engine, "Hello world.", voice="am_adam")
    assert chunk.sample_rate == 24000
    assert level_of(chunk.pcm) == pytest.approx(LEVELS["am_adam"], abs=0.01)
    assert count_of(chunk.pcm) == len("həlˈO wˈɜɹld.") + 2
    assert row_of(chunk.pcm) == len("həlˈO wˈɜɹld.")


async def test_a_mix_arrives_as_the_weighed_style(home: Path) -> None:
    async with started(home, mixes={"mine": "af_heart+am_adam"}) as engine:
        (mixed,) = await say(engine, "Hello.", voice="af_heart(2)+am_adam(1)")
        (named,) = await say(engine, "Hello.", voice="mine")
        assert engine.info.has_voice("mine")
    assert level_of(mixed.pcm) == pytest.approx((2 * LEVELS["af_heart"] + LEVELS["am_adam"]) / 3, abs=0.005)
    assert level_of(named.pcm) == pytest.approx((LEVELS["af_heart"] + LEVELS["am_adam"]) / 2, abs=0.005)


async def test_the_newer_dialect_and_the_other_vocabulary(home_zh: Path) -> None:
    async with started(home_zh, bundle="kokoro-zh") as engine:
        (chunk,) = await say(engine, "你好。", "zh")
        assert {voice.id for voice in engine.info.voices} == {"zf_001", "zm_010", "af_maple"}
    assert level_of(chunk.pcm) == pytest.approx(0.4, abs=0.01)
    assert row_of(chunk.pcm) == len("ㄋㄧ2ㄏㄠ3.")


async def test_whole_speeds_only_where_the_graph_takes_whole_numbers(tmp_path: Path) -> None:
    async with started(make_home(tmp_path, tokens="input_ids", speed="int32")) as engine:
        (twice,) = await say(engine, "Hello.", speed=2.0)
        (once,) = await say(engine, "Hello.")
        with pytest.raises(Unsupported, match="whole speeds"):
            await say(engine, "Hello.", speed=1.5)
    assert len(once.pcm) == 2 * len(twice.pcm)


@pytest.mark.parametrize("speed", [0.5, 0.8, 2.0])
async def test_speed_arrives_at_the_model(home: Path, speed: float) -> None:
    async with started(home) as engine:
        (chunk,) = await say(engine, "Hello.", speed=speed)
        (once,) = await say(engine, "Hello.")
        assert count_of(chunk.pcm, speed) == count_of(once.pcm)
        for beyond in (0.25, 4.0):
            with pytest.raises(Unsupported, match="speed"):
                await say(engine, "Hello.", speed=beyond)


async def test_sentences_come_one_by_one_at_one_loudness(home: Path) -> None:
    async with started(home, gain_db=-6) as engine:
        chunks = await say(engine, "你好。Hello there, my friend! 再见。", "zh", voice="zf_xiaobei")
    assert len(chunks) == 3
    assert [level_of(one.pcm) for one in chunks] == [pytest.approx(LEVELS["zf_xiaobei"] * 10**-0.3, abs=0.01)] * 3


async def test_what_is_too_loud_is_cut_off_and_does_not_turn_round(home: Path) -> None:
    async with started(home, gain_db=12) as engine:
        (chunk,) = await say(engine, "你好。", "zh", voice="zm_yunjian")
    assert level_of(chunk.pcm) == pytest.approx(1.0, abs=0.001)


async def test_a_sentence_that_is_too_long_is_spoken_in_pieces_and_nothing_is_lost(home: Path) -> None:
    text = "so it went on and on, " * 60
    async with started(home) as engine:
        chunks = await say(engine, text)
        (once,) = await say(engine, "so it went on and on,")
    given = [count_of(one.pcm) - 2 for one in chunks]
    assert len(chunks) > 1
    assert max(given) <= 510
    assert [row_of(one.pcm) for one in chunks] == [min(count, 509) for count in given]
    # each of sixty times, and a space between them except where it was cut
    assert sum(given) + len(chunks) == 60 * (count_of(once.pcm) - 2 + 1)


async def test_two_voices_at_once_do_not_mix(home: Path) -> None:
    async with started(home, slots=2) as engine:
        text = "One sentence here. Another one there. And a third one. " * 3
        names = ["af_heart", "am_adam", "bf_emma", "am_adam"]
        heard = await asyncio.gather(*(say(engine, text, voice=name) for name in names))
    for name, chunks in zip(names, heard, strict=True):
        assert len(chunks) == 9
        assert [level_of(one.pcm) for one in chunks] == [pytest.approx(LEVELS[name], abs=0.01)] * 9


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (SpeechRequest("Hello.", "ja"), "ja"),
        (SpeechRequest("Hello.", "en", voice="nobody"), "no voice 'nobody'"),
        (SpeechRequest("Hello.", "en", voice="af_heart+nobody"), "no voice 'nobody'"),
        (SpeechRequest("你好。", "zh", voice="af_heart"), "speaks en"),
        (SpeechRequest("<speak>Hello.</speak>", "en", markup="ssml"), "markup"),
    ],
)
async def test_what_it_cannot_do_is_left_to_others(home: Path, request_: SpeechRequest, said: str) -> None:
    async with started(home) as engine:
        with pytest.raises(Unsupported, match=said):
            await anext(engine.synthesize(request_))


async def test_a_text_without_words_is_refused(home: Path) -> None:
    async with started(home) as engine:
        with pytest.raises(InvalidRequest, match="nothing to say"):
            await say(engine, "🙂")


async def test_closing_it_amid_a_speech_tells_its_listener(home: Path) -> None:
    engine = make_engine(home)
    await engine.start()
    stream = engine.synthesize(SpeechRequest("One. " * 30, "en"))
    await anext(stream)
    await engine.close()
    with pytest.raises(Unavailable, match="closed"):
        async for _ in stream:
            pass
    with pytest.raises(Unavailable, match="not started"):
        await engine.check()
    await engine.start()
    assert await say(engine, "Hello.")
    await engine.close()


async def test_closing_it_while_a_text_is_read_tells_its_listener(home: Path) -> None:
    engine = make_engine(home)
    await engine.start()
    listening = asyncio.ensure_future(say(engine, "One. " * 30))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(Unavailable, match="closed"):
        await listening


async def test_who_leaves_amid_a_speech_frees_the_thread(home: Path) -> None:
    async with started(home, slots=1) as engine:
        for _ in range(3):
            stream = engine.synthesize(SpeechRequest("One. " * 30, "en"))
            await anext(stream)
            await stream.aclose()
        assert await say(engine, "Hello.")


async def test_closing_a_stream_waits_for_what_was_begun_ahead(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def speak(self: Kokoro, piece: str, voice: object, speed: float, stop: Stop) -> bytes | None:
        if piece.startswith("w"):
            return bytes(2)
        begun.set()
        while not stop.told:
            time.sleep(0.001)
        time.sleep(0.05)  # on its way out
        ended.set()
        return None

    async with started(home) as engine:
        monkeypatch.setattr(Kokoro, "speak", speak)
        stream = engine.synthesize(SpeechRequest("Walk. Hello. Hello.", "en"))
        await anext(stream)
        assert await asyncio.to_thread(begun.wait, 10)
        await stream.aclose()
        assert ended.is_set()


async def test_who_names_no_voice_hears_what_the_engine_says_beforehand(home_zh: Path) -> None:
    async with started(home_zh, bundle="kokoro-zh") as engine:
        (english,) = await say(engine, "Hello.")
        (mandarin,) = await say(engine, "好。", "zh")
        assert (engine.info.default_voice("en"), engine.info.default_voice("zh")) == ("af_maple", "zf_001")
    assert level_of(english.pcm) == pytest.approx(0.2, abs=0.01)
    assert level_of(mandarin.pcm) == pytest.approx(0.4, abs=0.01)


def test_what_is_no_kokoro_is_refused_by_its_inputs(tmp_path: Path) -> None:
    write_graph(tmp_path / "odd.onnx", speed="uint8")
    with pytest.raises(SessionError, match="speed is a"):
        Network(tmp_path / "odd.onnx", 1, "cpu")
    with pytest.raises(SessionError, match="missing"):
        Network(tmp_path / "none.onnx", 1, "cpu")


def test_what_was_stopped_does_not_begin(home: Path) -> None:
    network, stop = Network(home / "models" / "kokoro" / "model.onnx", 1, "cpu"), Stop()
    style = np.zeros((1, WIDTH), np.float32)
    assert network.speak([1, 2], style, 1.0, stop) is not None
    stop.now()
    assert network.speak([1, 2], style, 1.0, stop) is None


def test_what_is_under_way_is_told_to_stop() -> None:
    begun, stop = threading.Event(), Stop()

    class Session:
        def run(self, outputs: object, feeds: object, options: Any) -> list[object]:
            begun.set()
            until = time.monotonic() + 10
            while not options.terminate:
                assert time.monotonic() < until, "nobody stopped it"
                time.sleep(0.001)
            raise RuntimeError("Exiting due to terminate flag being set to true.")

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(stop.run, Session(), {}, "audio")
        assert begun.wait(10)
        stop.now()
        assert running.result(10) is None
