"""Misses: how long until the first audio through HTTP, beside the engine called directly, and what one costs in CPU."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

from bench.client import Listener, post
from bench.report import Figure
from bench.server import Server
from engines.contract import Engine, Instance, SpeechRequest
from engines.registry import Registry

#: milliseconds from the request to the first byte of audio, median
FIRST_AUDIO_AIM_MS = {"espeak": 15.0}

OPTIONS: dict[str, dict[str, float]] = {"tone": {"beep_ms": 300, "gap_ms": 100}, "espeak": {}}


async def measure_misses(gateway: Server, data_dir: Path, name: str, count: int) -> list[Figure]:
    """Ask for `count` texts never heard before, in turn with the engine itself, in this process."""
    kinds = Registry.load().kinds
    kind = kinds[name]
    options = kind.options.model_validate(OPTIONS[name], context={"kinds": kinds})
    instance = Instance(name, slots=1, data_dir=data_dir, in_worker=True, kinds=kinds)
    engine = kind.create(instance, options)
    await engine.start()
    listener = Listener(gateway.port)
    through: list[float] = []
    direct: list[float] = []
    texts = _texts(name)
    try:
        for _ in range(5):  # warm up
            await listener.ask(_request(name, next(texts)))
            await _first_chunk_ms(engine, next(texts))
        cpu_s, workers_cpu_s = gateway.cpu_s(), gateway.workers_cpu_s()
        audio_bytes = 0
        for _ in range(count):
            answer = await listener.ask(_request(name, next(texts)))
            through.append(answer.first_byte_s * 1000)
            audio_bytes += len(answer.body)
            direct.append(await _first_chunk_ms(engine, next(texts)))
        cpu_ms = 1000 * (gateway.cpu_s() - cpu_s) / count
        workers_cpu_ms = 1000 * (gateway.workers_cpu_s() - workers_cpu_s) / count
    finally:
        await listener.close()
        await engine.close()
    group = f"Misses, {name}, mp3"
    http_ms, direct_ms = statistics.median(through), statistics.median(direct)
    return [
        Figure(group, "first audio through HTTP, p50", http_ms, "ms", FIRST_AUDIO_AIM_MS.get(name)),
        Figure(group, "first audio through HTTP, p95", statistics.quantiles(through, n=20)[18], "ms"),
        Figure(group, "first chunk from the engine itself, p50", direct_ms, "ms"),
        Figure(group, "added, p50", http_ms - direct_ms, "ms"),
        Figure(group, "CPU a miss, gateway", cpu_ms, "ms"),
        Figure(group, "CPU a miss, engine's worker", workers_cpu_ms, "ms"),
        Figure(group, "audio a miss", audio_bytes / count / 8000, "s"),  # mp3 of 64 kbit/s
    ]


def _texts(name: str) -> Iterator[str]:
    """Sentences of one length, no two alike."""
    number = time.time_ns() % 1_000_000 * 1000
    while True:
        number += 1
        yield f"This is sentence number {number} for {name}."


def _request(name: str, text: str) -> bytes:
    return post("/v1/speech", {"input": text, "model": name, "response_format": "mp3"})


async def _first_chunk_ms(engine: Engine, text: str) -> float:
    began_s = time.perf_counter()
    async with aclosing(engine.synthesize(SpeechRequest(text, "en"))) as chunks:
        await anext(chunks)
        took_s = time.perf_counter() - began_s
        async for _ in chunks:  # to the end, as the gateway does: the next one begins with a free engine
            pass
    return took_s * 1000
