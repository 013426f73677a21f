"""A speech server over HTTP behind the gateway: what that adds to a bare application that passes on, and what it costs.

Everything is asked in turn in one run, so that other work on the machine meets all alike: the server itself, the bare
application with aiohttp and with httpx (so that the choice between them is measured too), and the gateway.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.client import Answer, Listener, post
from bench.configuration import write_configuration
from bench.hits import cores
from bench.misses import sentences
from bench.report import Figure
from bench.server import Server, free_port, start_gateway
from bench.streams import STREAMS, WITHIN_S, later
from bench.upstream import SLOWLY

#: milliseconds that the gateway may add to the bare application: at the median of one connection, and to the first byte
#: of many streams at the pace of speech
TIME_AIM_MS, LATER_AIM_MS = 1.5, 5.0
CONNECTIONS = 16
#: turns that are not counted
WARM = 5
#: what is spoken with, in the order of each turn; added figures are those of the last over the second
DIRECT, BARE, HTTPX, GATEWAY = "the server itself", "bare, aiohttp", "bare, httpx", "gateway"
ENGINES = """\
version: 1
engines:
  remote: {{kind: openai, preset: openai, urls: ["http://127.0.0.1:{port}/v1"], slots: 128}}
"""
#: pieces go out as the server gives them: under `continue` a clause would be finished first
POLICIES = "version: 1\ndefaults: {on_interruption: abort}\nrules: [{name: remote, use: [remote]}]\n"
VOICES = """\
version: 1
default: narrator
voices: {narrator: {languages: [en], engines: {remote: alloy}}}
aliases: {alloy: narrator}
"""


@dataclass(frozen=True)
class Way:
    """One of the things that are asked for speech."""

    name: str
    server: Server
    path: str = "/v1/speech"

    def request(self, text: str) -> bytes:
        model = "remote" if self.name == GATEWAY else "tts-1"
        return post(self.path, {"input": text, "model": model, "voice": "alloy", "response_format": "pcm"})


def measure_remote(folder: Path, count: int) -> list[Figure]:
    """`count` turns at one connection, many answers at sixteen, and streams. Nothing where aiohttp is not installed."""
    if find_spec("aiohttp") is None:
        print("a server over HTTP is not measured: aiohttp is not there: scripts/install openai")
        return []
    with ExitStack() as stack:
        ways = _started(folder, stack)
        server_core, load_core = cores()
        for way in ways:
            way.server.pin({load_core if way.name == DIRECT else server_core})
        texts = (f"{begin}, {text}" for begin in ("Listen", "Wait") for text in sentences())  # one lot is not enough
        figures = asyncio.run(_one_connection(ways, texts, count))
        figures += asyncio.run(_busy(ways, texts, count))
        return figures + asyncio.run(_streams(ways, texts))


def _started(folder: Path, stack: ExitStack) -> list[Way]:
    port = free_port()
    upstream = stack.enter_context(Server(["-m", "bench.upstream", str(port)], port, folder / "upstream.log", {}))
    ways = [Way(DIRECT, upstream, "/v1/audio/speech")]
    for name, client in ((BARE, "aiohttp"), (HTTPX, "httpx")):
        own = free_port()
        command = ["-m", "uvicorn", "bench.passing:app", "--port", str(own), "--loop", "uvloop", "--http", "httptools"]
        command += ["--no-access-log", "--log-level", "warning"]
        environment = {"BENCH_UPSTREAM": f"http://127.0.0.1:{port}/v1/audio/speech", "BENCH_CLIENT": client}
        ways.append(Way(name, stack.enter_context(Server(command, own, folder / f"{client}.log", environment))))
    files = {"engines.yaml": ENGINES.format(port=port), "policies.yaml": POLICIES, "voices.yaml": VOICES}
    config = write_configuration(folder / "remote", files)
    ways.append(Way(GATEWAY, stack.enter_context(start_gateway(config, folder))))
    return ways


async def _one_connection(ways: list[Way], texts: Iterator[str], count: int) -> list[Figure]:
    """Texts never heard before, one at a time, each way once a turn."""
    listeners = {way.name: Listener(way.server.port) for way in ways}
    answers: dict[str, list[Answer]] = {way.name: [] for way in ways}
    cpu_s: dict[str, float] = {}
    try:
        for turn in range(-WARM, count):
            if turn == 0:
                cpu_s = {way.name: way.server.cpu_s() for way in ways}
            for way in ways:
                answer = await listeners[way.name].ask(way.request(next(texts)))
                if turn >= 0:
                    answers[way.name].append(answer)
        cpu_ms = {way.name: 1000 * (way.server.cpu_s() - cpu_s[way.name]) / count for way in ways}
    finally:
        for listener in listeners.values():
            await listener.close()
    group = "A server over HTTP, 100 kB at once, one connection"
    first = {name: statistics.median(1000 * one.first_byte_s for one in some) for name, some in answers.items()}
    last = {name: statistics.median(1000 * one.last_byte_s for one in some) for name, some in answers.items()}
    return [
        *(Figure(group, f"first byte, {name}, p50", value, "ms") for name, value in first.items()),
        *(Figure(group, f"last byte, {name}, p50", value, "ms") for name, value in last.items()),
        *(Figure(group, f"CPU an answer, {name}", value, "ms") for name, value in cpu_ms.items()),
        Figure(group, "httpx over aiohttp, last byte, p50", last[HTTPX] - last[BARE], "ms"),
        Figure(
            group, "added to the bare application, first byte, p50", first[GATEWAY] - first[BARE], "ms", TIME_AIM_MS
        ),
        Figure(group, "added to the bare application, last byte, p50", last[GATEWAY] - last[BARE], "ms", TIME_AIM_MS),
        Figure(group, "CPU added to the bare application", cpu_ms[GATEWAY] - cpu_ms[BARE], "ms"),
    ]


async def _busy(ways: list[Way], texts: Iterator[str], count: int) -> list[Figure]:
    """Processor time of an answer at many connections, in rounds, each way once a round."""
    cpu_ms: dict[str, list[float]] = {way.name: [] for way in ways}
    rate: dict[str, list[float]] = {way.name: [] for way in ways}
    listeners = {way.name: [Listener(way.server.port) for _ in range(CONNECTIONS)] for way in ways}
    each = max(1, count // 20)
    loop = asyncio.get_running_loop()
    try:
        for turn in range(6):
            for way in ways:
                asked = [[way.request(next(texts)) for _ in range(each)] for _ in range(CONNECTIONS)]
                cpu_s, began_s = way.server.cpu_s(), loop.time()
                await asyncio.gather(*map(_ask_all, listeners[way.name], asked))
                if turn:  # warm
                    cpu_ms[way.name].append(1000 * (way.server.cpu_s() - cpu_s) / (each * CONNECTIONS))
                    rate[way.name].append(each * CONNECTIONS / (loop.time() - began_s))
    finally:
        for listener in itertools.chain(*listeners.values()):
            await listener.close()
    group = f"A server over HTTP, 100 kB at once, {CONNECTIONS} connections"
    middle = {name: statistics.median(some) for name, some in cpu_ms.items()}
    over = statistics.median(one / other for one, other in zip(cpu_ms[HTTPX], cpu_ms[BARE], strict=True))
    ratio = statistics.median(one / other for one, other in zip(cpu_ms[GATEWAY], cpu_ms[BARE], strict=True))
    return [
        *(Figure(group, f"CPU an answer, {name}", value, "ms") for name, value in middle.items()),
        *(Figure(group, f"answers/s, {name}", statistics.median(some), "1/s") for name, some in rate.items()),
        Figure(group, "CPU, httpx over aiohttp", over, "times"),
        Figure(group, "CPU, gateway over the bare application", ratio, "times"),
        Figure(group, "CPU added to the bare application", middle[GATEWAY] - middle[BARE], "ms"),
    ]


async def _ask_all(listener: Listener, requests: list[bytes]) -> None:
    for request in requests:
        await listener.ask(request)


async def _streams(ways: list[Way], texts: Iterator[str]) -> list[Figure]:
    """Many at the pace of speech, begun within a second."""
    group = f"A server over HTTP, {STREAMS} real-time streams begun within {WITHIN_S:g} s"
    figures: list[Figure] = []
    first_ms: dict[str, list[float]] = {}
    for way in ways:
        listeners = [Listener(way.server.port) for _ in range(STREAMS)]
        try:
            for listener in listeners:
                await listener.connect()
            cpu_s = way.server.cpu_s()
            asked = (one.ask(way.request(f"{SLOWLY}, {next(texts)}")) for one in listeners)
            answers = await asyncio.gather(*(later(WITHIN_S * n / STREAMS, ask) for n, ask in enumerate(asked)))
            cpu_ms = 1000 * (way.server.cpu_s() - cpu_s) / STREAMS
        finally:
            for listener in listeners:
                await listener.close()
        first_ms[way.name] = [1000 * one.first_byte_s for one in answers]
        figures += [
            Figure(group, f"first byte, {way.name}, p50", statistics.median(first_ms[way.name]), "ms"),
            Figure(group, f"CPU a stream of 3 s, {way.name}", cpu_ms, "ms"),
        ]
    middle = {name: statistics.median(some) for name, some in first_ms.items()}
    slowest = max(first_ms[GATEWAY]) - max(first_ms[BARE])
    return [
        *figures,
        Figure(group, "first byte later than the bare one's, p50", middle[GATEWAY] - middle[BARE], "ms", LATER_AIM_MS),
        Figure(group, "first byte later than the server's, p50", middle[GATEWAY] - middle[DIRECT], "ms", LATER_AIM_MS),
        Figure(group, "first byte later than the bare one's, slowest", slowest, "ms"),
    ]
