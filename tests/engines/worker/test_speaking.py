"""Speech through a real worker: what goes in comes out, and only what keeps the contract."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engines.contract import Emotion, EngineInfo, Mark, SpeechRequest
from engines.errors import EngineFault, InvalidRequest, SpeechError, Throttled, Unavailable
from engines.worker.client import WorkerEngine
from tests.engines.worker.workplace import Workplace, alive, eventually, request_of, say


async def test_a_worker_speaks_and_tells_its_own_info(place: Workplace) -> None:
    engine = await place.started(slots=3)
    assert isinstance(engine, WorkerEngine)
    assert engine.info == EngineInfo(any_voice=True, languages=frozenset({"en"}), slots=3, version="drill")
    chunks = await say(engine, "say 3")
    assert [chunk.pcm for chunk in chunks] == [b"\x01\x02" * 160] * 3
    assert {chunk.sample_rate for chunk in chunks} == {16000}
    await engine.check()


async def test_a_request_arrives_whole(place: Workplace) -> None:
    engine = await place.started()
    request = SpeechRequest(
        "echo 你好 \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
        "zh",
        voice="中文女",
        gender="female",
        markup="ssml",
        speed=1.5,
        instructions="softly",
        emotion=Emotion((("happy", 0.5),), (1.0, 2.0), "other", 0.3),
        seed=7,
    )
    (chunk,) = [chunk async for chunk in engine.synthesize(request)]
    assert chunk.pcm.decode("utf-16-le") == repr(request)


async def test_half_a_character_is_the_requests_own_fault(place: Workplace) -> None:
    with pytest.raises(InvalidRequest, match="half a character"):
        await say(await place.started(), "\ud800")


async def test_a_chunk_of_megabytes_arrives_whole_with_its_marks_once(place: Workplace) -> None:
    engine = await place.started()
    chunks = await say(engine, f"big {3 << 12}")
    assert b"".join(chunk.pcm for chunk in chunks) == bytes(range(256)) * (3 << 12)
    assert [chunk.marks for chunk in chunks] == [(Mark("word", "big", 0.0, 1.0),), (), ()]


async def test_a_chunk_of_one_megabyte_stays_one(place: Workplace) -> None:
    assert len(await say(await place.started(), f"big {1 << 12}")) == 1


async def test_marks_cross_the_border(place: Workplace) -> None:
    (chunk,) = await say(await place.started(), "marks")
    assert chunk.marks == (Mark("word", "你好", 0.0, 0.5),)


async def test_empty_chunks_are_left_out(place: Workplace) -> None:
    assert len(await say(await place.started(), "gaps")) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("odd", "half a sample"),
        ("rates", "changed the sample rate from 16000 to 8000"),
        ("nothing", "ended without audio"),
        ("say 0", "ended without audio"),
        ("array", "bytearray instead of bytes"),
        ("exit", "failed: SystemExit"),
        ("cancel", "cancelled itself"),
        ("fault", "the vocoder tripped"),
    ],
)
async def test_what_breaks_the_contract_is_an_engine_fault(place: Workplace, text: str, message: str) -> None:
    engine = await place.started()
    with pytest.raises(EngineFault, match=message):
        await say(engine, text)
    assert len(await say(engine, "say 2")) == 2


async def test_an_exception_becomes_a_fault_that_does_not_tell_its_text(place: Workplace) -> None:
    with pytest.raises(EngineFault, match=r"^failed: LookupError$"):  # "no such phoneme …" stands in the log
        await say(await place.started(), "bug")


async def test_a_speech_error_keeps_its_kind_and_its_hint(place: Workplace) -> None:
    with pytest.raises(Throttled, match="slow down") as raised:
        await say(await place.started(), "throttle")
    assert raised.value.retry_after_s == 7.5


@pytest.mark.parametrize("text", ["hold", "flood"])
async def test_closing_the_stream_ends_the_engines_work_and_frees_the_slot(place: Workplace, text: str) -> None:
    engine = await place.started(slots=1)
    stream = engine.synthesize(request_of(text))
    await anext(stream)
    await stream.aclose()
    await eventually(lambda: place.journal()[-1] == f"end {text}")
    assert len(await say(engine, "say 1")) == 1


async def test_cancelling_before_the_first_chunk_ends_the_engines_work(place: Workplace) -> None:
    engine = await place.started(slots=1)
    task = asyncio.create_task(say(engine, "mute"))
    await eventually(lambda: place.journal() == ["begin mute"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: place.journal() == ["begin mute", "end mute"])


async def test_a_slow_reader_holds_the_producer(place: Workplace) -> None:
    engine = await place.started()
    stream = engine.synthesize(request_of("flood"))
    await anext(stream)

    def made() -> int:
        return int((place.home / "made").read_text() or 0)

    await engine.check()
    before = -1
    while made() != before:  # until the producer stands still
        before = made()
        for _ in range(20):
            await engine.check()
    assert made() < 2 << 20
    for _ in range(40):
        await anext(stream)
    await eventually(lambda: made() > before)
    await stream.aclose()


async def test_check_asks_the_engine(place: Workplace) -> None:
    engine = await place.started()
    await engine.check()
    place.touch("ill")
    with pytest.raises(Unavailable, match="feels ill"):
        await engine.check()


async def test_a_change_of_info_reaches_the_gateway(place: Workplace) -> None:
    engine = await place.started()
    await say(engine, "learn zh")
    await eventually(lambda: engine.info.languages == {"en", "zh"})


async def test_nothing_happens_before_the_first_chunk_is_asked_for(place: Workplace) -> None:
    engine = await place.started()
    stream = engine.synthesize(request_of("say 1"))
    await engine.check()
    await stream.aclose()
    assert place.journal() == []


async def test_fifty_requests_and_cancellings_leave_nothing_behind(place: Workplace, no_leaks: None) -> None:
    engine = await place.started(slots=4)

    async def one(number: int) -> None:
        if number % 3 == 0:
            assert len(await say(engine, "say 5")) == 5
        elif number % 3 == 1:
            stream = engine.synthesize(request_of("hold"))
            await anext(stream)
            await stream.aclose()
        else:
            task = asyncio.create_task(say(engine, "mute"))
            await asyncio.sleep(0.001 * (number % 7))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    await asyncio.gather(*(one(number) for number in range(50)))
    await eventually(lambda: _begun(place) == _ended(place))
    assert engine.pid
    worker_fds = Path(f"/proc/{engine.pid}/fd")
    await eventually(lambda: sum(_is_socket(fd) for fd in worker_fds.iterdir()) <= 4)
    await place.leave()
    assert not place.lost


def _begun(place: Workplace) -> int:
    return sum(line.startswith("begin") for line in place.journal())


def _ended(place: Workplace) -> int:
    return sum(line.startswith("end") for line in place.journal())


def _is_socket(fd: Path) -> bool:
    try:
        return str(fd.readlink()).startswith("socket:")
    except FileNotFoundError:
        return False


async def test_a_closed_engine_breaks_off_and_refuses(place: Workplace) -> None:
    engine = await place.started()
    pid = engine.pid
    stream = engine.synthesize(request_of("hold"))
    await anext(stream)
    following = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(Unavailable, match="let go"):
        await following
    with pytest.raises(Unavailable, match="is closed"):
        await say(engine, "say 1")
    with pytest.raises(SpeechError):
        await engine.start()
    await engine.close()
    assert pid
    await eventually(lambda: not alive(pid))
