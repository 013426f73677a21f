from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engines.contract import AudioChunk, Instance, Mark, SpeechRequest
from engines.errors import Refused, SpeechError, Throttled, Unavailable, Unsupported
from engines.sambert import SambertOptions
from engines.sambert.engine import SambertEngine
from engines.sambert.faults import MEND_S
from engines.sambert.pieces import MOST_CHARS
from engines.sambert.protocol import Event, Task
from engines.testing import seconds, speak_all
from tests.engines.sambert import speech
from tests.engines.sambert.service import KEY, Act, Door, Service

TEXT = "床前明月光，疑是地上霜。举头望明月。"
VARIABLE = "VOXGATE_TEST_KEY"
Make = Callable[..., Awaitable[SambertEngine]]


@pytest.fixture
async def service() -> AsyncGenerator[Service, None]:
    async with Service() as service:
        yield service


@pytest.fixture
async def make(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Make, None]:
    """Makes started engines in front of the stand-in, and closes them."""
    monkeypatch.setenv(VARIABLE, KEY)
    async with AsyncExitStack() as stack:

        async def make(
            instance: Instance | None = None, clock: Callable[[], float] | None = None, **options: Any
        ) -> SambertEngine:
            place = {} if "api_key_file" in options else {"api_key_env": VARIABLE}
            typed = SambertOptions(endpoint=service.endpoint, **place, **options)
            engine = SambertEngine(instance or Instance("cloud"), typed, **({"clock": clock} if clock else {}))
            stack.push_async_callback(engine.close)
            await engine.start()
            return engine

        yield make


def ask(text: str = TEXT, **changes: Any) -> SpeechRequest:
    return SpeechRequest(**({"text": text, "language": "zh", "voice": "sambert-zhiqi-v1"} | changes))


async def error_of(engine: SambertEngine, request: SpeechRequest) -> SpeechError:
    try:
        await speak_all(engine, request)
    except SpeechError as error:
        return error
    raise AssertionError("spoke")


def pcm(chunks: list[AudioChunk]) -> bytes:
    return b"".join(chunk.pcm for chunk in chunks)


# --- speech ---


async def test_it_speaks_what_the_service_says_at_the_voice_s_own_rate(make: Make, service: Service) -> None:
    engine = await make()
    for voice, rate in (("sambert-zhiqi-v1", 48000), ("sambert-zhihao-v1", 16000)):
        chunks = await speak_all(engine, ask(voice=voice))
        assert {chunk.sample_rate for chunk in chunks} == {rate}
        assert pcm(chunks) == speech.pcm(TEXT, rate)
        assert service.tasks[-1].payload["model"] == voice
    assert service.accepted == 1  # on one connection


async def test_frames_that_end_inside_a_sample_become_whole_samples(make: Make, service: Service) -> None:
    service.usual = Act(frame_bytes=333)
    chunks = await speak_all(await make(), ask())
    assert all(len(chunk.pcm) % 2 == 0 for chunk in chunks)
    assert pcm(chunks) == speech.pcm(TEXT, 48000)


async def test_audio_that_ends_inside_a_sample_is_a_fault(make: Make, service: Service) -> None:
    service.usual = Act(audio=bytes(20_001))
    error = await error_of(await make(), ask())
    assert (error.code, "inside a sample" in error.message) == ("engine_fault", True)


async def test_audio_is_heard_while_the_service_still_speaks(make: Make, service: Service) -> None:
    service.usual = Act(fault="silence", at="half")
    engine = await make()
    async with aclosing(engine.synthesize(ask())) as chunks:
        assert (await anext(chunks)).pcm
    await service.until(lambda: service.tasks[0].state == "left")  # and closing cancels


async def test_options_and_speed_are_asked_for(make: Make, service: Service) -> None:
    engine = await make(volume=70, pitch=1.2, sample_rate=24000, timestamps=False)
    chunks = await speak_all(engine, ask(speed=2.0))
    assert service.tasks[0].payload["parameters"] == {
        "text_type": "PlainText", "format": "pcm", "sample_rate": 24000, "volume": 70, "rate": 2.0, "pitch": 1.2,
        "word_timestamp_enabled": False,
    }  # fmt: skip
    assert seconds(chunks) == pytest.approx(len(speech.units(TEXT)) * speech.UNIT_S / 2, abs=0.01)
    assert not [mark for chunk in chunks for mark in chunk.marks]


async def test_without_a_voice_the_language_and_gender_choose_one(make: Make, service: Service) -> None:
    engine = await make()
    await speak_all(engine, ask(voice="", gender="male"))
    await speak_all(engine, ask("Guten Tag.", voice="", language="de"))
    assert [task.payload["model"] for task in service.tasks] == ["sambert-zhichu-v1", "sambert-hanna-v1"]


async def test_words_are_marked_on_the_audio_in_which_they_are_said(make: Make) -> None:
    chunks = await speak_all(await make(), ask("你好。Good day."))
    marks = [mark for chunk in chunks for mark in chunk.marks]
    assert [mark.text for mark in marks] == ["你", "好", "Good", "day"]
    assert marks[2] == Mark("word", "Good", 0.12, 0.18)
    heard_s = 0.0
    for chunk in chunks:
        heard_s += chunk.seconds
        assert all(mark.end_s <= heard_s + 1e-9 for mark in chunk.marks)


async def test_a_voice_that_tells_no_times_is_not_asked_for_them(make: Make, service: Service) -> None:
    chunks = await speak_all(await make(), ask("Guten Tag.", voice="sambert-hanna-v1", language="de"))
    assert service.tasks[0].payload["parameters"]["word_timestamp_enabled"] is False
    assert not [mark for chunk in chunks for mark in chunk.marks]


async def test_a_text_that_is_too_long_for_one_task_is_cut_at_a_sentence_and_heard_as_one(
    make: Make, service: Service
) -> None:
    sentence = "很长的一句话" * 10 + "。"
    text = sentence * (MOST_CHARS // len(sentence) + 2)
    service.usual = Act(frame_bytes=1_000_000)
    chunks = await speak_all(await make(sample_rate=8000), ask(text, speed=2.0))
    first, second = service.tasks
    assert first.text + second.text == text
    assert len(first.text) <= MOST_CHARS
    assert first.text.endswith("。")
    assert len(pcm(chunks)) == len(speech.pcm(first.text, 8000, 2.0) + speech.pcm(second.text, 8000, 2.0))
    marks = [mark for chunk in chunks for mark in chunk.marks]
    assert len(marks) == len(speech.units(text))
    assert marks[-1].end_s == pytest.approx(seconds(chunks), abs=0.01)
    assert marks[-1].start_s == pytest.approx(seconds(chunks) - speech.UNIT_S / 2, abs=0.01)
    assert [mark.start_s for mark in marks] == sorted(mark.start_s for mark in marks)


async def test_ssml_goes_through_as_it_is(make: Make, service: Service) -> None:
    document = '<speak>你好<break time="50ms"/>。</speak>'
    await speak_all(await make(), ask(f'<?xml version="1.0"?>\n{document}', markup="ssml"))
    assert service.tasks[0].text == document
    assert service.tasks[0].payload["parameters"]["text_type"] == "SSML"
    too_long = f"<speak>{'长' * (MOST_CHARS + 1)}</speak>"
    assert isinstance(await error_of(await make(), ask(too_long, markup="ssml")), Unsupported)


async def test_cosyvoice_takes_the_voice_as_a_parameter_and_the_text_behind(make: Make, service: Service) -> None:
    engine = await make(model="cosyvoice-v3-flash")
    chunks = await speak_all(engine, ask(voice="longanyang", seed=2**40 + 7))
    (task,) = service.tasks
    assert (task.payload["model"], task.payload["input"], task.text) == ("cosyvoice-v3-flash", {}, TEXT)
    parameters = task.payload["parameters"]
    assert (parameters["voice"], parameters["seed"], parameters["sample_rate"]) == ("longanyang", 7, 24000)
    assert pcm(chunks) == speech.pcm(TEXT, 24000)
    assert engine.info.default_voice("yue") == "longjiaxin_v3"


# --- what it does not do ---


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"voice": "sambert-zhiyan-v1"}, r"no voice 'sambert-zhiyan-v1'; near names: .*sambert-zhi"),
        ({"voice": "sambert-hanna-v1"}, "speaks de, not 'zh'"),
        ({"language": "tlh"}, "language 'tlh'"),
        ({"speed": 2.5}, "0.5 to 2.0 times"),
        ({"text": "😀 …"}, "nothing to speak"),
    ],
)
async def test_what_it_cannot_speak_never_reaches_the_service(
    make: Make, service: Service, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(Unsupported, match=told):
        await speak_all(await make(), ask(**changes))
    assert not service.handshakes


async def test_a_voice_that_the_service_does_not_have_is_left_alone_for_a_while_and_no_other(
    make: Make, service: Service
) -> None:
    now_s = 0.0
    engine = await make(clock=lambda: now_s, voices={"sambert-nobody-v1": {"languages": ["zh"]}})
    first = await error_of(engine, ask(voice="sambert-nobody-v1"))
    assert (first.code, first.retry_after_s) == ("unsupported", MEND_S)
    now_s = MEND_S - 1
    assert (await error_of(engine, ask(voice="sambert-nobody-v1"))).retry_after_s == 1
    assert len(service.tasks) == 1
    await speak_all(engine, ask())
    now_s = MEND_S
    await error_of(engine, ask(voice="sambert-nobody-v1"))
    assert len(service.tasks) == 3


async def test_a_text_that_the_service_cannot_speak_says_nothing_of_the_voice(make: Make, service: Service) -> None:
    service.acts.append(
        Act(fault="failed", at="started", code="InvalidParameter", said="Engine return error code: 418")
    )
    engine = await make()
    assert isinstance(await error_of(engine, ask()), Unsupported)
    assert seconds(await speak_all(engine, ask())) > 0


@pytest.mark.parametrize(
    ("code", "error"),
    [("DataInspectionFailed", Refused), ("Throttling.RateQuota", Throttled), ("Arrearage", Unavailable)],
)
async def test_what_the_service_refuses_is_the_error_that_it_stands_for(
    make: Make, service: Service, code: str, error: type[SpeechError]
) -> None:
    service.acts.append(Act(fault="failed", at="started", code=code))
    assert type(await error_of(await make(), ask())) is error


# --- the account ---


class Counted:
    """A quota that notes what is begun, and turns away once it is full."""

    def __init__(self) -> None:
        self.starts: list[tuple[str, str, int, int]] = []
        self.held = 0
        self.full = False

    def start(self, account: str, what: str, per_s: int, at_once: int) -> AbstractAsyncContextManager[None]:
        @asynccontextmanager
        async def place() -> AsyncGenerator[None, None]:
            if self.full:
                raise Throttled("the account is busy", retry_after_s=1.0)
            self.starts.append((account, what, per_s, at_once))
            self.held += 1
            try:
                yield
            finally:
                self.held -= 1

        return place()


async def test_each_task_is_counted_for_the_account_and_holds_its_place_to_the_end(
    make: Make, service: Service
) -> None:
    quota = Counted()
    here = Instance("cloud", quota=quota)
    sambert = await make(here, at_once=7)
    async with aclosing(sambert.synthesize(ask())) as chunks:
        await anext(chunks)
        assert quota.held == 1
    assert quota.held == 0
    await speak_all(await make(here, model="cosyvoice-v3-flash"), ask(voice="longanyang"))
    (account, *first), second = quota.starts
    assert (first, second) == (["sambert", 20, 7], (account, "cosyvoice", 3, 0))
    assert KEY not in account
    quota.full = True
    assert isinstance(await error_of(sambert, ask()), Throttled)
    assert len(service.tasks) == 2


async def test_a_renewed_key_counts_from_the_next_task_on(make: Make, service: Service, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    engine = await make(api_key_file=str(file))
    await speak_all(engine, ask())
    service.key = "st-renewed"
    file.write_text(service.key)
    await speak_all(engine, ask())
    assert [one["Authorization"] for one in service.handshakes] == [f"Bearer {KEY}", "Bearer st-renewed"]


async def test_a_wrong_key_is_not_tried_again_for_minutes_unless_it_was_renewed_meanwhile(
    make: Make, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.key = "another"
    engine = await make()
    error = await error_of(engine, ask())
    assert (error.code, error.retry_after_s) == ("unavailable", MEND_S)

    class Renewed:
        async def run(self, task: Task) -> AsyncGenerator[Event, None]:
            monkeypatch.setitem(os.environ, VARIABLE, "sk-renewed")
            raise Unavailable("refused", retry_after_s=MEND_S)
            yield

        async def close(self) -> None: ...

    engine._pool = Renewed()  # type: ignore[assignment]
    assert (await error_of(engine, ask())).retry_after_s is None


async def test_a_refused_key_that_was_replaced_is_told_once_so_that_the_engine_is_started_anew(
    make: Make, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.key = "sk-renewed"
    engine = await make()
    await error_of(engine, ask())
    await engine.check()  # the same key still
    monkeypatch.setenv(VARIABLE, service.key)
    with pytest.raises(Unavailable, match="key was replaced"):
        await engine.check()
    await engine.start()
    await engine.check()
    assert seconds(await speak_all(engine, ask())) > 0


async def test_a_key_that_was_refused_and_then_taken_may_be_replaced_without_a_start(
    make: Make, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.doors.append(Door(403))
    engine = await make()
    await error_of(engine, ask())
    await speak_all(engine, ask())
    monkeypatch.setenv(VARIABLE, "sk-renewed")
    await engine.check()


async def test_a_key_that_is_gone_is_told_and_may_come_back(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await make()
    await engine.check()
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(Unavailable, match="key is missing"):
        await engine.check()
    error = await error_of(engine, ask())
    assert (error.code, VARIABLE in error.message) == ("unavailable", False)
    monkeypatch.setenv(VARIABLE, KEY)
    assert seconds(await speak_all(engine, ask())) > 0


async def test_the_key_is_neither_logged_nor_told(
    make: Make, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    engine = await make()
    await speak_all(engine, ask())
    service.acts.append(Act(fault="failed", at="started", code="InvalidParameter", said=f"bad key {KEY}"))
    error = await error_of(engine, ask())
    service.key = "another"
    await engine.close()
    await engine.start()
    refused = await error_of(engine, ask())
    logged = "".join(
        one.getMessage() for one in caplog.records if one.name != "websockets.server"
    )  # the stand-in's own
    for told in (logged, repr(error), repr(refused), repr(vars(engine)), engine.info.version):
        assert KEY not in told
    assert service.endpoint not in refused.message + error.message


# --- start and close ---


async def test_it_does_not_start_without_a_key_or_connect_without_a_request(
    make: Make, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await make()).check()
    assert not service.handshakes
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(Unavailable, match="key"):
        await make()


async def test_closing_it_breaks_off_who_still_speaks(make: Make, service: Service) -> None:
    service.usual = Act(fault="silence", at="half")
    engine = await make()
    stream = engine.synthesize(ask())
    await anext(stream)
    await engine.close()
    with pytest.raises(SpeechError):
        _ = [chunk async for chunk in stream]
    assert (await error_of(engine, ask())).code == "unavailable"
    await service.until(lambda: service.open == 0)
