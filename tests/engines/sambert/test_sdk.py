"""The service's official SDK as a client of the stand-in: what it can do with the one it can do with the other.

So these tests are of the stand-in, not of our client. Where a fault is looked at, the SDK is known to answer so.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engines.sambert import speech
from tests.engines.sambert.scene import TEXT
from tests.engines.sambert.service import KEY, Act, Service

dashscope = pytest.importorskip("dashscope", reason="the official SDK is not there: pip install dashscope")

#: the SDK leaves sockets to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The SDK keeps key and address in its module."""
    monkeypatch.setattr(dashscope, "api_key", KEY)
    monkeypatch.setattr(dashscope, "base_websocket_api_url", dashscope.base_websocket_api_url)
    yield
    gc.collect()  # while what it finds is expected


async def sambert(service: Service, text: str = TEXT, **options: Any) -> Any:
    dashscope.base_websocket_api_url = service.endpoint
    speaker = importlib.import_module("dashscope.audio.tts").SpeechSynthesizer
    wanted = {"model": "sambert-zhichu-v1", "text": text, "format": "pcm", "sample_rate": 16000, **options}
    return await asyncio.to_thread(lambda: speaker.call(**wanted))


def cosyvoice(service: Service, **options: Any) -> Any:
    v2 = importlib.import_module("dashscope.audio.tts_v2")
    form = v2.AudioFormat.PCM_16000HZ_MONO_16BIT
    return v2.SpeechSynthesizer("cosyvoice-v3-flash", "longanyang", format=form, url=service.endpoint, **options)


@pytest.mark.parametrize("rate", [16000, 48000])
async def test_sambert_speaks(rate: int) -> None:
    async with Service() as service:
        result = await sambert(service, sample_rate=rate, rate=1.5)
    assert result.get_audio_data() == speech.pcm(TEXT, rate, 1.5)
    assert result.get_response().status_code == 200
    assert result.get_response().usage == {"characters": len(TEXT)}
    assert service.tasks[0].payload["parameters"]["rate"] == 1.5


async def test_sambert_speaks_wav_unless_it_is_told() -> None:
    async with Service() as service:
        result = await sambert(service, format="wav")
    assert result.get_audio_data() == speech.wav(speech.pcm(TEXT, 16000), 16000)


async def test_sambert_tells_times_of_sentences_and_words() -> None:
    async with Service() as service:
        told = (await sambert(service, word_timestamp_enabled=True)).get_timestamps()
    assert len(told) == 2  # sentences: those that grew are told whole
    assert [word["text"] for one in told for word in one["words"]] == speech.units(TEXT)


async def test_sambert_speaks_to_a_callback_as_it_comes() -> None:
    heard: list[Any] = []

    class Listener(importlib.import_module("dashscope.audio.tts").ResultCallback):  # type: ignore[misc]
        def on_event(self, result: Any) -> None:
            heard.append(result.get_audio_frame() or result.get_timestamp())

        def on_complete(self) -> None:
            heard.append("complete")

        def on_error(self, response: Any) -> None:
            heard.append(response.code)

    async with Service() as service:
        await sambert(service, word_timestamp_enabled=True, callback=Listener())
        frames = [one for one in heard if isinstance(one, bytes)]
        assert b"".join(frames) == speech.pcm(TEXT, 16000)
        assert len(frames) > 1
        assert heard[-1] == "complete"
        assert any(isinstance(one, dict) for one in heard)
        service.acts.append(Act("failed", "half", code="ModelServingError"))
        await sambert(service, callback=Listener())
        assert heard[-1] == "ModelServingError"


@pytest.mark.parametrize("at", ["first", "half"])
async def test_a_failed_task_is_a_status_and_keeps_half_of_the_audio(at: Any) -> None:
    async with Service(usual=Act("failed", at, code="InternalError.Algo", said="broken")) as service:
        result = await sambert(service)
    response = result.get_response()
    assert (response.status_code, response.code, response.message) == (44, "InternalError.Algo", "broken")
    half = result.get_audio_data() or b""
    assert speech.pcm(TEXT, 16000).startswith(half)
    assert bool(half) == (at == "half")


@pytest.mark.parametrize("fault", ["reset", "close", "bad_json"])
async def test_a_broken_connection_has_no_code(fault: Any) -> None:
    async with Service(usual=Act(fault, "half")) as service:
        result = await sambert(service)
    assert (result.get_response().status_code, result.get_response().code) == (-1, "Unknown")
    assert result.get_audio_data()


async def test_a_wrong_key_is_refused_at_the_handshake() -> None:
    async with Service(key="sk-another") as service:
        assert (await sambert(service)).get_response().status_code == 401
    assert service.tasks == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"model": "sambert-nobody1-v1"}, "ModelNotFound"),
        ({"sample_rate": 96000}, "InvalidParameter"),
        ({"text": "好" * 10_001}, "InvalidParameter"),
        ({"text": "🙂"}, "InvalidParameter"),
    ],
)
async def test_what_is_not_offered_is_refused(options: dict[str, Any], code: str) -> None:
    async with Service() as service:
        result = await sambert(service, **options)
    assert result.get_response().code == code
    assert not result.get_audio_data()


async def test_tags_are_not_billed_and_a_han_character_counts_twice_for_cosyvoice() -> None:
    async with Service() as service:
        result = await sambert(service, "<speak>你好，<break time='1s'/>hi</speak>")
        assert result.get_response().usage == {"characters": 5}
        speaker = cosyvoice(service)
        assert await asyncio.to_thread(speaker.call, "你好，hi") == speech.pcm("你好，hi", 16000)
        assert speaker.get_response()["payload"]["usage"] == {"characters": 7}


async def test_too_many_starts_are_throttled() -> None:
    async with Service(starts_per_s=1, clock=lambda: 0.0) as service:
        assert (await sambert(service)).get_response().status_code == 200
        assert (await sambert(service)).get_response().code == "Throttling.RateQuota"


class Listener(importlib.import_module("dashscope.audio.tts_v2").ResultCallback):  # type: ignore[misc]
    def __init__(self) -> None:
        self.audio, self.error = b"", ""

    def on_data(self, data: bytes) -> None:
        self.audio += data

    def on_error(self, message: Any) -> None:
        self.error = str(message)


async def test_cosyvoice_takes_text_in_pieces() -> None:
    listener = Listener()
    async with Service() as service:
        speaker = cosyvoice(service, callback=listener)

        def say() -> None:
            for piece in (TEXT[:5], TEXT[5:9], TEXT[9:]):
                speaker.streaming_call(piece)
            speaker.streaming_complete()

        await asyncio.to_thread(say)
    assert listener.audio == speech.pcm(TEXT, 16000)
    assert (service.tasks[0].pieces, service.tasks[0].state) == (3, "finished")


async def test_cosyvoice_waits_so_long_for_text_and_no_longer() -> None:
    listener = Listener()
    async with Service(patience_s=0.01) as service:
        speaker = cosyvoice(service, callback=listener)
        await asyncio.to_thread(speaker.streaming_call, TEXT[:5])
        await service.until(lambda: service.open == 0)
        await asyncio.to_thread(speaker.thread.join)
    assert "request timeout after 23 seconds" in listener.error


async def test_cosyvoice_raises_what_failed() -> None:
    failure = importlib.import_module("dashscope.common.error").RequestFailure
    async with Service(usual=Act("failed", "half", code="Throttling")) as service:
        speaker = cosyvoice(service)
        with pytest.raises(failure, match="Throttling"):
            await asyncio.to_thread(speaker.call, TEXT)
