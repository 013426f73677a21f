"""Many streams at once, each as slow as speech: how much later than the engine's own does their first byte come."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from bench.client import Listener, post
from bench.configuration import write_configuration
from bench.report import Figure
from bench.server import start_gateway
from engines.contract import Engine, Instance, SpeechRequest
from engines.registry import Registry

T = TypeVar("T")

STREAMS = 64
#: milliseconds that the first byte may come later than the engine's own first chunk, median
LATER_AIM_MS = 5.0
OPTIONS = {"first_audio_ms": 200, "real_time_factor": 1.0, "chunk_ms": 100}
FILES = {
    "engines.yaml": """\
version: 1
engines:
  tone: {kind: tone, slots: 64, first_audio_ms: 200, real_time_factor: 1.0, chunk_ms: 100}
""",
    # chunks go out as the engine gives them: under `continue` a clause would be finished first
    "policies.yaml": """\
version: 1
defaults: {on_interruption: abort}
rules: [{name: streams, use: [tone]}]
""",
}
WORDS = 25  # 3 s of speech
#: seconds within which the streams begin: speech is asked for by people; all in one instant is measured beside it
WITHIN_S = 1.0


def measure_streams(folder: Path) -> list[Figure]:
    """64 streams through the gateway as PCM, and 64 of the engine itself in this process."""
    config = write_configuration(folder / "streams", FILES)
    figures: list[Figure] = []
    with start_gateway(config, folder) as gateway:
        asyncio.run(_through(gateway.port, "warm", 0.0))
        ways = ((WITHIN_S, f"begun within {WITHIN_S:g} s", LATER_AIM_MS), (0.0, "begun in one instant", None))
        for within_s, words, aim in ways:
            cpu_s = gateway.cpu_s()
            through_ms, last_s = asyncio.run(_through(gateway.port, f"in{within_s:g}", within_s))
            cpu_s = gateway.cpu_s() - cpu_s
            own_ms = asyncio.run(_own(folder, within_s))
            group = f"{STREAMS} real-time streams at once, {words}"
            later_ms = statistics.median(through_ms) - statistics.median(own_ms)
            figures += [
                Figure(group, "first byte through HTTP, p50", statistics.median(through_ms), "ms"),
                Figure(group, "first chunk from the engine itself, p50", statistics.median(own_ms), "ms"),
                Figure(group, "first byte later than the engine's own, p50", later_ms, "ms", aim),
                Figure(group, "first byte later, slowest over slowest", max(through_ms) - max(own_ms), "ms"),
                Figure(group, "a stream of 3 s takes, slowest", last_s, "s"),
                Figure(group, "CPU a stream of 3 s", 1000 * cpu_s / STREAMS, "ms"),
            ]
    return figures


def _text(prefix: str, number: int) -> str:
    return " ".join([f"{prefix}{number}"] * WORDS)


async def _through(port: int, prefix: str, within_s: float) -> tuple[list[float], float]:
    """Milliseconds to each stream's first byte, and seconds that the slowest took."""
    requests = [
        post("/v1/speech", {"input": _text(prefix, number), "response_format": "pcm"}) for number in range(STREAMS)
    ]
    listeners = [Listener(port) for _ in requests]
    try:
        for listener in listeners:
            await listener.connect()
        answers = await asyncio.gather(
            *(
                later(within_s * number / STREAMS, one.ask(request))
                for number, (one, request) in enumerate(zip(listeners, requests, strict=True))
            )
        )
    finally:
        for listener in listeners:
            await listener.close()
    return [1000 * answer.first_byte_s for answer in answers], max(answer.last_byte_s for answer in answers)


async def later(delay_s: float, what: Coroutine[None, None, T]) -> T:
    await asyncio.sleep(delay_s)
    return await what


async def _own(folder: Path, within_s: float) -> list[float]:
    kinds = Registry.load().kinds
    options = kinds["tone"].options.model_validate(OPTIONS)
    engine = kinds["tone"].create(Instance("tone", slots=STREAMS, data_dir=folder, kinds=kinds), options)
    await engine.start()
    return await asyncio.gather(
        *(later(within_s * number / STREAMS, _first_ms(engine, _text("own", number))) for number in range(STREAMS))
    )


async def _first_ms(engine: Engine, text: str) -> float:
    began_s, first_s = time.perf_counter(), 0.0
    async with aclosing(engine.synthesize(SpeechRequest(text, "en"))) as chunks:
        async for _ in chunks:
            first_s = first_s or time.perf_counter() - began_s
    return 1000 * first_s
