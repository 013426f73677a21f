"""Two different requests never hear each other, however they come, wait, leave and fail at the same time."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.contract import AudioChunk, SpeechRequest
from engines.errors import EngineFault, SpeechError
from gateway.flight.claims import MemoryClaims
from gateway.pipeline import speak
from gateway.request import ClientRequest
from tests.engines_at_hand import RATE_HZ, Scripted, chunk, info
from tests.gateway.conftest import POLICIES, Bench

from .conftest import nothing_left

WORDS = ("one", "two", "three")
VOICES = """version: 1
default: low
voices:
  low: {languages: [en], engines: {a: low, b: low}}
  high: {languages: [en], engines: {a: high, b: high}}
"""
SPEEDS = (1.0, 2.0)


def tone(words: str, voice: str, speed: float, seed: int) -> int:
    """The sample value by which an engine says what it was asked for."""
    return 1000 + 1000 * WORDS.index(words) + 400 * (voice == "high") + 100 * SPEEDS.index(speed) + 10 * seed


class Recognisable(Scripted):
    """Speaks each sentence of a text as one tone that tells what was asked, and gives way to others all the time."""

    def __init__(self, fails: bool) -> None:
        super().__init__(info=info("en", any_voice=True, slots=16))
        self._fails = fails

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        self.requests.append(request)
        self.open += 1
        try:
            for number in range(4):
                await asyncio.sleep(0)
                if self._fails and number == 2 and len(self.requests) % 3 == 0:
                    raise EngineFault("broke")
                words = request.text.strip(".").lower()
                yield chunk(5, tone(words, request.voice, request.speed, request.seed or 0))
        finally:
            self.open -= 1


@st.composite
def requests(draw: st.DrawFn) -> tuple[ClientRequest, int, int, int | None]:
    """A request of few possible ones; at which gateway; after how many turns; and after how many pieces it leaves."""
    request = ClientRequest(
        f"{draw(st.sampled_from(WORDS)).capitalize()}. {draw(st.sampled_from(WORDS)).capitalize()}.",
        format=draw(st.sampled_from(("pcm", "wav", "flac"))),
        sample_rate=RATE_HZ,
        voice=draw(st.sampled_from(("low", "high"))),
        speed=draw(st.sampled_from(SPEEDS)),
        seed=draw(st.sampled_from((None, 1))),
        cache=draw(st.sampled_from(("use", "use", "use", "bypass"))),
        tenant=draw(st.sampled_from(("x", "y"))),
    )
    leaves = draw(st.one_of(st.none(), st.none(), st.integers(0, 3)))
    return request, draw(st.integers(0, 1)), draw(st.integers(0, 12)), leaves


def expected(request: ClientRequest) -> list[int]:
    words = [word.lower() for word in request.input.replace(".", "").split()]
    return [tone(word, request.voice, request.speed, request.seed or 0) for word in words]


def heard(request: ClientRequest, data: bytes) -> list[int]:
    """The tones of a reply, in order, as often as the engine says each for a sentence."""
    if request.format == "pcm":
        samples = np.frombuffer(data, "<i2")
    else:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
        assert rate == RATE_HZ
    sentence = 4 * len(chunk(5).pcm) // 2
    assert len(samples) % sentence == 0
    tones = samples.reshape(-1, sentence)
    assert (tones == tones[:, :1]).all()
    return [int(one) for one in tones[:, 0]]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(requests(), min_size=2, max_size=24), st.booleans())
def test_every_reply_is_its_own_requests_audio(asked: list[Any], fails: bool) -> None:
    async def ask(bench: Bench) -> None:
        board, engines = MemoryClaims(), [{"a": Recognisable(fails), "b": Recognisable(False)} for _ in range(2)]
        runtimes = []
        for each in engines:
            runtime = await bench.runtime(each, policies=POLICIES, voices=VOICES, gateway="cache: {scope: key}\n")
            runtime.flights.claims = board
            runtimes.append(runtime)

        async def one(number: int, request: ClientRequest, where: int, turns: int, leaves: int | None) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            try:
                reply = await speak(request, runtimes[where], f"{number}")
            except SpeechError:
                return
            if leaves is None or reply.stream is None:
                try:
                    assert heard(request, await reply.whole()) == expected(request)
                except SpeechError:
                    assert reply.served.outcome == "interrupted"
                return
            pieces = b""
            for _ in range(leaves):
                pieces += await anext(reply.stream, b"")
            await reply.aclose()
            if request.format == "pcm":
                whole = b"".join(chunk(20, value).pcm for value in expected(request))
                assert whole.startswith(pieces)

        await asyncio.gather(*(one(number, *each) for number, each in enumerate(asked)))
        for runtime, each in zip(runtimes, engines, strict=True):
            await nothing_left(runtime, *each.values())

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with AsyncExitStack() as stack:
                await ask(Bench(Path(folder), stack))

    asyncio.run(main())
