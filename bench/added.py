"""What the gateway adds to a miss: time at one connection, CPU at sixteen. As PCM, so that no encoder is measured."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import aclosing
from pathlib import Path

from bench.client import Listener, post
from bench.misses import OPTIONS, sentences
from bench.report import Figure
from bench.server import Server
from engines.contract import Engine, Instance, SpeechRequest
from engines.registry import Registry

#: milliseconds of the median at one connection, and of CPU a request at sixteen
TIME_AIM_MS, CPU_AIM_MS = 1.5, 0.8
CONNECTIONS = 16


async def measure_added(gateway: Server, folder: Path, count: int) -> list[Figure]:
    """Texts never heard before, spoken by `light`, in turn with the engine itself in this process."""
    kinds = Registry.load().kinds
    options = kinds["tone"].options.model_validate(OPTIONS["light"])
    engine = kinds["tone"].create(Instance("light", slots=1, data_dir=folder, kinds=kinds), options)
    await engine.start()
    texts = (f"Listen, {text}" for text in sentences())  # others than those that were made as mp3
    listeners = [Listener(gateway.port) for _ in range(CONNECTIONS)]
    through: list[float] = []
    direct: list[float] = []
    try:
        for turn in range(count + 5):
            answer = await listeners[0].ask(_request(next(texts)))
            own_ms = await _whole_ms(engine, next(texts))
            if turn >= 5:  # warm
                through.append(1000 * answer.first_byte_s)
                direct.append(own_ms)
        cpu_s = gateway.cpu_s()
        await asyncio.gather(*(_ask_in_turn(one, [next(texts) for _ in range(count // 4)]) for one in listeners))
        cpu_ms = 1000 * (gateway.cpu_s() - cpu_s) / (count // 4 * CONNECTIONS)
        own_s = time.process_time()
        for _ in range(count):
            await _whole_ms(engine, next(texts))
        own_cpu_ms = 1000 * (time.process_time() - own_s) / count
    finally:
        for one in listeners:
            await one.close()
        await engine.close()
    group = "Misses, an engine that hardly works, pcm"
    http_ms, engine_ms = statistics.median(through), statistics.median(direct)
    return [
        Figure(group, "first audio through HTTP, p50", http_ms, "ms"),
        Figure(group, "whole sentence from the engine itself, p50", engine_ms, "ms"),
        Figure(group, "added at one connection, p50", http_ms - engine_ms, "ms", TIME_AIM_MS),
        Figure(group, f"CPU a miss at {CONNECTIONS} connections", cpu_ms, "ms"),
        Figure(group, "CPU a sentence of the engine itself", own_cpu_ms, "ms"),
        Figure(group, f"CPU added at {CONNECTIONS} connections", cpu_ms - own_cpu_ms, "ms", CPU_AIM_MS),
    ]


def _request(text: str) -> bytes:
    return post("/v1/speech", {"input": text, "model": "light", "response_format": "pcm"})


async def _ask_in_turn(listener: Listener, texts: list[str]) -> None:
    for text in texts:
        await listener.ask(_request(text))


async def _whole_ms(engine: Engine, text: str) -> float:
    began_s = time.perf_counter()
    async with aclosing(engine.synthesize(SpeechRequest(text, "en"))) as chunks:
        async for _ in chunks:
            pass
    return 1000 * (time.perf_counter() - began_s)
