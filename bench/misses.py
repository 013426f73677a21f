"""Misses: how long until the first audio through HTTP, beside the engine called directly, and what one costs in CPU."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

from bench.client import BadAnswer, Listener, post
from bench.report import Figure
from bench.server import Server
from engines.contract import Engine, Instance, SpeechRequest
from engines.registry import Registry

#: milliseconds from the request to the first byte of audio, median
FIRST_AUDIO_AIM_MS = {"espeak": 15.0}

OPTIONS: dict[str, dict[str, float]] = {
    "tone": {"beep_ms": 300, "gap_ms": 100},
    "light": {"beep_ms": 10, "gap_ms": 165, "chunk_ms": 2000},
    "espeak": {},
}


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
    direct: list[tuple[float, float]] = []
    texts = sentences()
    try:
        await _until_up(listener, _request(name, next(texts)))
        for _ in range(5):  # warm up
            await listener.ask(_request(name, next(texts)))
            await _times_ms(engine, next(texts))
        cpu_s, workers_cpu_s = gateway.cpu_s(), gateway.workers_cpu_s()
        audio_bytes = 0
        for _ in range(count):
            answer = await listener.ask(_request(name, next(texts)))
            through.append(answer.first_byte_s * 1000)
            audio_bytes += len(answer.body)
            direct.append(await _times_ms(engine, next(texts)))
        cpu_ms = 1000 * (gateway.cpu_s() - cpu_s) / count
        workers_cpu_ms = 1000 * (gateway.workers_cpu_s() - workers_cpu_s) / count
    finally:
        await listener.close()
        await engine.close()
    group = f"Misses, {name}, mp3"
    http_ms = statistics.median(through)
    first_ms, whole_ms = (statistics.median(times) for times in zip(*direct, strict=True))
    return [
        Figure(group, "first audio through HTTP, p50", http_ms, "ms", FIRST_AUDIO_AIM_MS.get(name)),
        Figure(group, "first audio through HTTP, p95", statistics.quantiles(through, n=20)[18], "ms"),
        Figure(group, "first chunk from the engine itself, p50", first_ms, "ms"),
        Figure(group, "whole sentence from the engine itself, p50", whole_ms, "ms"),
        Figure(group, "added to the engine's whole sentence, p50", http_ms - whole_ms, "ms"),
        Figure(group, "CPU a miss, gateway", cpu_ms, "ms"),
        Figure(group, "CPU a miss, engine's worker", workers_cpu_ms, "ms"),
        Figure(group, "audio a miss", audio_bytes / count / 8000, "s"),  # mp3 of 64 kbit/s
    ]


async def _until_up(listener: Listener, request: bytes) -> None:
    """The gateway is ready as soon as one engine is; this one may still be starting."""
    for _ in range(200):
        try:
            await listener.ask(request)
            return
        except BadAnswer:
            await asyncio.sleep(0.1)
    await listener.ask(request)


def sentences() -> Iterator[str]:
    """5,000 sentences of some nine words, no two alike: two to three seconds of speech."""
    subjects = ("the old captain", "my young sister", "a tired driver", "their good doctor", "the new teacher")
    verbs = ("watched", "painted", "carried", "forgot", "finished")
    things = ("a small boat", "the green door", "every last letter", "his winter coat", "the long story")
    times = ("today", "yesterday", "slowly", "again", "alone", "twice", "early", "late", "outside", "upstairs")
    every = list(itertools.product(("so", "then", "here", "now"), subjects, verbs, things, times))
    for turn in range(len(every)):
        yield " ".join(every[turn * 1237 % len(every)]).capitalize() + "."  # 1237 is prime: each comes once


def _request(name: str, text: str) -> bytes:
    return post("/v1/speech", {"input": text, "model": name, "response_format": "mp3"})


async def _times_ms(engine: Engine, text: str) -> tuple[float, float]:
    """Milliseconds until the engine's first chunk, and until the end of its sentence."""
    began_s = time.perf_counter()
    async with aclosing(engine.synthesize(SpeechRequest(text, "en"))) as chunks:
        await anext(chunks)
        first_s = time.perf_counter() - began_s
        async for _ in chunks:
            pass
    return first_s * 1000, (time.perf_counter() - began_s) * 1000
