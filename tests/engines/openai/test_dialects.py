"""Every preset of kind `openai` with a server that speaks as the real ones do: what is asked, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engines.contract import Engine, Instance, SpeechRequest
from engines.errors import DeadlineExceeded, EngineFault, SpeechError, Throttled, Unavailable, Unsupported
from engines.registry import Registry
from engines.testing import count_beeps, seconds, speak_all
from gateway.audio.wav import HEADER_BYTES
from tests.engines.openai.servers import (
    CosyVoice,
    IndexTtsVllm,
    KokoroFastAPI,
    LocalAI,
    OpenAI,
    Server,
    Speaches,
    VllmOmni,
    faults,
)
from tests.engines.openai.servers.dialect import Dialect

KEY = "sk-stand-in"
TEXT = "one two three"
#: of three beeps and the gaps after them, at `tone`'s 120 ms each
TEXT_S = 0.36


@dataclass(frozen=True)
class Case:
    """A preset, the server for it, and what that is to be asked for `TEXT` in `voice`."""

    preset: str
    dialect: Callable[[], Dialect]
    voice: str
    asked: Mapping[str, object]
    model: str = ""
    key: str = ""
    speeds: bool = True
    streams: bool = True
    more: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.preset


PCM, WAV = ({"input": TEXT, "response_format": form} for form in ("pcm", "wav"))
OPENAI = Case("openai", OpenAI, "coral", {**PCM, "model": "tts-1", "voice": "coral"}, "tts-1", KEY)
VLLM_OMNI = Case(
    "vllm-omni",
    lambda: VllmOmni(KEY),
    "vivian",
    {**WAV, "model": VllmOmni.model, "voice": "vivian", "language": "English", "stream_format": "audio"},
    key=KEY,
)
KOKORO = Case(
    "kokoro-fastapi",
    KokoroFastAPI,
    "am_adam",
    {**PCM, "model": "kokoro", "voice": "am_adam", "stream": True},
    model="kokoro",
)
SPEACHES = Case(
    "speaches",
    lambda: Speaches(KEY),
    "am_adam",
    {**PCM, "model": Speaches.model, "voice": "am_adam", "sample_rate": 24000},
    key=KEY,
)
LOCALAI = Case(
    "localai",
    lambda: LocalAI(KEY),
    "en-us-amy",
    {**WAV, "model": LocalAI.model, "voice": "en-us-amy", "language": "en"},
    key=KEY,
    streams=False,
    more={"voices": {"en-us-amy": ["en"], "zh-huayan": ["zh"]}},
)
INDEX_TTS = Case(
    "index-tts-vllm", IndexTtsVllm, "jay_klee", {"input": TEXT, "voice": "jay_klee"}, speeds=False, streams=False
)
COSYVOICE = Case("cosyvoice", CosyVoice, "英文女", {"tts_text": TEXT, "spk_id": "英文女"}, speeds=False)
CASES = [OPENAI, VLLM_OMNI, KOKORO, SPEACHES, LOCALAI, INDEX_TTS, COSYVOICE]

every_case = pytest.mark.parametrize("case", CASES, ids=str)
Speaking = Callable[..., AbstractAsyncContextManager[Engine]]


@pytest.fixture
def speaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Speaking:
    """`speaking(case, server)` is a started engine of that preset in front of that server."""

    @asynccontextmanager
    async def one(case: Case, *servers: Server, **options: object) -> AsyncIterator[Engine]:
        kinds = Registry.load().kinds
        kind = kinds["openai"]
        given: dict[str, object] = {"preset": case.preset, "urls": [one.url for one in servers], **case.more, **options}
        if case.model:
            given.setdefault("model", case.model)
        if case.key:
            monkeypatch.setenv("STAND_IN_KEY", case.key)
            given["api_key_env"] = "STAND_IN_KEY"
        validated = kind.options.model_validate(given, context={"kinds": kinds})
        engine = kind.create(Instance("remote", slots=4, data_dir=tmp_path, kinds=kinds), validated)
        try:
            await engine.start()
            yield engine
        finally:
            await engine.close()

    return one


def request(case: Case, **fields: Any) -> SpeechRequest:
    return SpeechRequest(TEXT, "en", voice=case.voice, **fields)


async def until_set(event: Any) -> bool:
    """Wait for an event of the server's thread."""
    return await asyncio.to_thread(event.wait, 20)


@every_case
async def test_it_is_asked_as_it_wants_to_be_and_its_speech_is_heard(case: Case, speaking: Speaking) -> None:
    with Server(case.dialect()) as server:
        async with speaking(case, server) as engine:
            chunks = await speak_all(engine, request(case))
        asked = server.speech()
        assert (asked.json or asked.form) == case.asked
        assert asked.headers.get("authorization") == (f"Bearer {case.key}" if case.key else None)
    pcm = b"".join(chunk.pcm for chunk in chunks)
    assert {chunk.sample_rate for chunk in chunks} == {server.dialect.rate_hz}
    assert count_beeps(pcm, server.dialect.rate_hz) == 3
    assert seconds(chunks) == pytest.approx(TEXT_S, abs=0.001)
    assert all(len(chunk.pcm) % 2 == 0 and chunk.pcm for chunk in chunks)


@every_case
async def test_the_rate_that_it_declares_is_the_rate_that_it_speaks(case: Case, speaking: Speaking) -> None:
    with Server(case.dialect()) as server:
        async with speaking(case, server) as engine:
            chunks = await speak_all(engine, request(case))
            declared = {voice.sample_rate for voice in engine.info.voices if voice.id == case.voice}
    assert declared <= {chunks[0].sample_rate}


@pytest.mark.parametrize("case", [VLLM_OMNI, KOKORO, SPEACHES, INDEX_TTS], ids=str)
async def test_the_voices_that_it_lists_are_known(case: Case, speaking: Speaking) -> None:
    with Server(case.dialect()) as server:
        async with speaking(case, server) as engine:
            assert {voice.id for voice in engine.info.voices} == set(server.dialect.voices)


async def test_what_it_tells_of_a_voice_is_known(speaking: Speaking) -> None:
    with Server(Speaches()) as server:
        async with speaking(SPEACHES, server) as engine:
            voices = {voice.id: voice for voice in engine.info.voices}
    assert [voices[name].gender for name in Speaches.voices] == ["female", "male", "female"]
    assert [voices[name].languages[0] for name in Speaches.voices] == ["en", "en", "zh"]


@every_case
async def test_a_speed_is_heard_or_refused(case: Case, speaking: Speaking) -> None:
    """Never ignored: who asks for double speed and gets single waits twice as long as he thinks."""
    with Server(case.dialect()) as server:
        async with speaking(case, server) as engine:
            if not case.speeds:
                with pytest.raises(Unsupported):
                    await speak_all(engine, request(case, speed=2.0))
                assert not server.speeches
                return
            assert seconds(await speak_all(engine, request(case, speed=2.0))) == pytest.approx(TEXT_S / 2, abs=0.001)


@pytest.mark.parametrize("case", [case for case in CASES if case.streams], ids=str)
async def test_audio_goes_on_as_it_comes(case: Case, speaking: Speaking) -> None:
    with Server(case.dialect()) as server:
        server.then(faults.held(5000))
        async with speaking(case, server) as engine, aclosing(engine.synthesize(request(case))) as chunks:
            got = 0
            while got < 5000 - HEADER_BYTES:
                got += len((await anext(chunks)).pcm)
            assert not server.speech().answered.is_set()
            server.go_on()
            got += sum([len(chunk.pcm) async for chunk in chunks])
            assert got == round(2 * server.dialect.rate_hz * TEXT_S)


@every_case
async def test_a_closed_stream_is_a_closed_connection(case: Case, speaking: Speaking) -> None:
    with Server(case.dialect()) as server:
        server.then(faults.held(5000))
        async with speaking(case, server) as engine:
            chunks = engine.synthesize(request(case))
            begun = asyncio.ensure_future(anext(chunks))
            await asyncio.to_thread(server.speech)
            await asyncio.wait({begun}, timeout=None if case.streams else 0)
            begun.cancel()
            await asyncio.gather(begun, return_exceptions=True)
            await chunks.aclose()
            assert await until_set(server.speech().left)
            assert (
                count_beeps(b"".join(c.pcm for c in await speak_all(engine, request(case))), server.dialect.rate_hz)
                == 3
            )


@every_case
async def test_a_connection_is_used_again(case: Case, speaking: Speaking) -> None:
    with Server(case.dialect()) as server:
        async with speaking(case, server) as engine:
            before = server.connections
            for _ in range(3):
                await speak_all(engine, request(case))
            assert server.connections - before <= 1
        assert len(server.speeches) == 3


BROKEN: Mapping[str, faults.Fault] = {
    "cut": faults.cut(5000),
    "cut before any audio": faults.cut(0),
    "cut at the end": faults.cut(1_000_000),
    "short of its length": faults.cut(5000, sized=True),
    "reset": faults.cut(5000, "reset"),
    "hangs up": faults.hanging_up(),
    "hangs up by reset": faults.hanging_up("reset"),
    "gibberish": faults.gibberish(),
    "empty": faults.empty(),
    "half a sample": faults.half_a_sample(),
    "an error with 200": faults.error_with_200(),
    "an error as audio": faults.error_as_audio(),
    "a page with 200": faults.page(),
    "a page with 502": faults.page(502),
    "500": faults.failing(500),
    "502": faults.failing(502),
    "503": faults.failing(503),
    "504": faults.failing(504),
}
SILENT = {"before the head": faults.silent(), "after the head": faults.held(0), "in the middle": faults.held(5000)}


async def fails_and_recovers(case: Case, fault: faults.Fault, speaking: Speaking, **times: float) -> SpeechError:
    """What the fault is told as; whatever it is, the next request is not touched by it."""
    with Server(case.dialect()) as server:
        async with speaking(case, server, **times) as engine:
            server.always(fault)
            with pytest.raises((EngineFault, Unavailable, DeadlineExceeded)) as caught:
                await speak_all(engine, request(case))
            shown_to_a_client(caught.value, server)
            server.always(None)
            server.go_on()
            assert seconds(await speak_all(engine, request(case))) == pytest.approx(TEXT_S, abs=0.001)
    return caught.value


ALL_READING = [(case, fault) for case in (OPENAI, VLLM_OMNI, INDEX_TTS) for fault in BROKEN]
THE_REST = [(case, fault) for case in (KOKORO, SPEACHES, LOCALAI, COSYVOICE) for fault in ("cut", "empty", "500")]


@pytest.mark.parametrize(("case", "fault"), ALL_READING + THE_REST, ids=str)
async def test_a_fault_is_never_taken_for_speech(case: Case, fault: str, speaking: Speaking) -> None:
    """It hurts the engine's health, and another may try."""
    error = await fails_and_recovers(case, BROKEN[fault], speaking)
    assert (error.health, error.try_next) == ("hurt", True)


@pytest.mark.parametrize("case", [OPENAI, INDEX_TTS], ids=str)
@pytest.mark.parametrize("where", SILENT)
async def test_silence_has_an_end(case: Case, where: str, speaking: Speaking) -> None:
    error = await fails_and_recovers(case, SILENT[where], speaking, first_byte_s=0.2, gap_s=0.2)
    assert (error.health, error.try_next) == ("hurt", True)
    assert "0.2 s" in error.message


@every_case
async def test_a_key_that_is_refused_is_a_matter_of_minutes(case: Case, speaking: Speaking) -> None:
    with Server(case.dialect()) as server:
        async with speaking(case, server) as engine:
            for status in (401, 403):
                server.then(faults.failing(status, f"Incorrect API key provided: {KEY}", "invalid_api_key"))
                with pytest.raises(Unavailable) as caught:
                    await speak_all(engine, request(case))
                assert (caught.value.retry_after_s or 0) >= 60
                shown_to_a_client(caught.value, server)


@every_case
async def test_a_server_that_says_when_to_come_back_is_left_alone_so_long(case: Case, speaking: Speaking) -> None:
    with Server(case.dialect()) as server:
        async with speaking(case, server) as engine:
            server.then(faults.failing(429, "Rate limit reached", "rate_limit_exceeded", retry_after="7"))
            with pytest.raises(Throttled) as caught:
                await speak_all(engine, request(case))
            assert caught.value.retry_after_s == 7


@every_case
async def test_a_request_that_it_does_not_take_goes_to_another_engine(case: Case, speaking: Speaking) -> None:
    with Server(case.dialect()) as server:
        async with speaking(case, server) as engine:
            for status in (400, 413, 422):
                server.then(faults.failing(status, "Input text too long"))
                with pytest.raises(Unsupported) as caught:
                    await speak_all(engine, request(case))
                shown_to_a_client(caught.value, server)


@every_case
async def test_a_redirect_to_another_host_is_not_followed(case: Case, speaking: Speaking) -> None:
    """A key must not follow, nor a text."""
    with Server(case.dialect()) as server, Server(case.dialect()) as other:
        async with speaking(case, server) as engine:
            server.then(faults.redirect(other.url + other.dialect.speech_path))
            with pytest.raises(Unavailable) as caught:
                await speak_all(engine, request(case))
            shown_to_a_client(caught.value, other)
        assert not other.heard


async def test_the_rate_that_a_reply_tells_is_believed(speaking: Speaking) -> None:
    """16 kHz for what was taken for 24: a voice like a child's, and no error anywhere."""
    for fault in (faults.labelled(x_sample_rate="16000"), faults.typed("audio/pcm;rate=16000")):
        with Server(OpenAI()) as server:
            async with speaking(OPENAI, server) as engine:
                server.then(fault)
                chunks = await speak_all(engine, request(OPENAI))
        assert {chunk.sample_rate for chunk in chunks} == {16000}


async def test_an_account_without_credit_is_a_matter_of_minutes_though_it_is_told_as_a_rate(speaking: Speaking) -> None:
    with Server(OpenAI()) as server:
        async with speaking(OPENAI, server) as engine:
            server.then(faults.failing(429, "You exceeded your current quota", "insufficient_quota"))
            with pytest.raises(Unavailable) as caught:
                await speak_all(engine, request(OPENAI))
    assert (caught.value.retry_after_s or 0) >= 60


async def test_a_stack_trace_is_never_told(speaking: Speaking) -> None:
    with Server(IndexTtsVllm()) as server:
        async with speaking(INDEX_TTS, server) as engine:
            server.then(faults.failing(500, "CUDA out of memory"))
            with pytest.raises(EngineFault) as caught:
                await speak_all(engine, request(INDEX_TTS))
    assert "Traceback" not in caught.value.message
    assert "api_server.py" not in caught.value.message


def shown_to_a_client(error: SpeechError, server: Server) -> None:
    """What a message must not hold."""
    assert KEY not in error.message
    assert str(server.port) not in error.message
    assert "10.0.0.1" not in error.message
