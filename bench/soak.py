"""A long run with faults: `python -m bench.soak [--minutes M]`. Says whether anything was lost, or stayed behind.

Two gateways on one Redis get hits, misses, equal requests at once, requests that leave early and slow readers;
meanwhile the engine's process is killed, Redis is killed and started again, and the policy is edited. Every clip is
decoded, and must hold as many beeps as its text has words. At the end, what a gateway holds is compared with the end
of the first quarter, when everything that is made once has been made.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import BadAnswer, Listener, post
from bench.configuration import FILES, write_configuration
from bench.redis_server import NoRedis, RedisServer
from bench.report import Figure, as_json, table
from bench.server import NotStarted, Server, start_gateway

RATE_HZ, WORD_SAMPLES, BEEP_SAMPLES = 24000, 2880, 1920  # 80 ms of beep, 40 ms of silence
#: bytes a s of a slow reader
SLOW_BYTES_S = 200_000
#: resident MB and open files that may be more at the end than after the first quarter
MEMORY_AIM_MB, FILES_AIM = 10.0, 5
ENGINES = """\
version: 1
engines:
  beeps: {kind: tone, isolation: process, slots: 4, queue: 32}
  flaky: {kind: fault, of: {kind: tone}, mode: cut, after_s: 0.5, isolation: inline, slots: 4, queue: 32}
  spare: {kind: tone, slots: 8, queue: 64}
"""
POLICIES = """\
version: 1
rules:
  - {{name: flaky, when: {{tags: [flaky]}}, use: [flaky, beeps, spare]}}
  - {{name: "edit {edit}", use: [beeps, spare]}}
last_resort: spare
"""


@dataclass
class Tally:
    """What the clients saw."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def words_of(pcm: bytes) -> int:
    """The beeps in audio of the engine `tone`: rises from silence, looked for once in 10 ms."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    step = RATE_HZ // 100
    loud = [max(map(abs, samples[at : at + step]), default=0) > 2000 for at in range(0, len(samples), step)]
    return sum(now and not before for before, now in zip([False, *loud], loud, strict=False))


async def client(number: int, ports: list[int], until_s: float, tally: Tally) -> None:
    """One client after another, each of a random kind."""
    lot = random.Random(number)
    while time.monotonic() < until_s:
        port, kind = lot.choice(ports), lot.choice(("hit", "miss", "equal", "leaves", "slow", "flaky"))
        count = lot.randint(3, 30)
        text = " ".join(["word"] * count if kind == "hit" else [f"w{lot.randrange(10**9)}"] * count)
        body = {"input": text, "response_format": "pcm", "tags": ["flaky"] if kind == "flaky" else []}
        request = post("/v1/speech", body)
        try:
            if kind == "leaves":
                await leave(port, request, lot.random() * 0.05)
                tally.answers["left"] += 1
            elif kind == "equal":
                await asyncio.gather(*(counted(one(port, request, count, kind, tally), tally) for port in ports * 2))
            else:
                await counted(one(port, request, count, kind, tally), tally)
        except OSError as error:
            tally.answers[f"no connection: {error}"] += 1


async def counted(asking: Coroutine[None, None, None], tally: Tally) -> None:
    """An answer that was broken off, as its client sees it, is told as that."""
    try:
        await asking
    except (BadAnswer, OSError, EOFError) as error:
        tally.answers[f"broken off: {str(error)[:60]}"] += 1


async def one(port: int, request: bytes, count: int, kind: str, tally: Tally) -> None:
    listener = Listener(port)
    try:
        answer = await listener.ask(request, any_status=True, bytes_s=SLOW_BYTES_S if kind == "slow" else None)
    finally:
        await listener.close()
    tally.answers[str(answer.status)] += 1
    if answer.status == 200 and words_of(answer.body) != count:
        tally.wrong.append(f"{kind}: {words_of(answer.body)} beeps, not {count}: {dict(answer.headers)}")


async def leave(port: int, request: bytes, after_s: float) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await asyncio.sleep(after_s)
    writer.close()


async def trouble(gateways: list[Server], redis: RedisServer, config: Path, until_s: float) -> int:
    """Once in five seconds something breaks; the number of troubles."""
    lot, edit = random.Random(0), 0
    while time.monotonic() < until_s - 5:
        await asyncio.sleep(5)
        edit += 1
        what = lot.choice(("engine", "redis", "policy"))
        if what == "engine":
            workers = [one for gateway in gateways for one in gateway.workers()]
            if workers:
                lot.choice(workers).kill()
        elif what == "redis":
            redis.kill()
            await asyncio.sleep(1)
            await asyncio.to_thread(redis.start)
        else:
            (config / "policies.yaml").write_text(POLICIES.format(edit=edit))
    return edit


async def run(folder: Path, minutes: float) -> list[Figure]:
    """Raises NoRedis or NotStarted."""
    tally = Tally()
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder / "redis"))
        # little is kept, so that what is made once has been made soon
        gateway_yaml = (
            f"{FILES['gateway.yaml']}redis: {{url: '{redis.url}'}}\ncache: {{memory_mb: 16}}\noutcomes: {{keep: 500}}\n"
        )
        files = {"gateway.yaml": gateway_yaml, "engines.yaml": ENGINES, "policies.yaml": POLICIES.format(edit=0)}
        config = write_configuration(folder / "soak", files)
        gateways = [stack.enter_context(start_gateway(config, folder)) for _ in range(2)]
        began_s = time.monotonic()
        held: list[list[tuple[float, int]]] = []
        troubles = 0
        for part in (0.25, 1.0):
            until_s = began_s + 60 * minutes * part
            clients = [client(number, [one.port for one in gateways], until_s, tally) for number in range(8)]
            troubles += (await asyncio.gather(trouble(gateways, redis, config, until_s), *clients))[0]
            await asyncio.sleep(5)  # what was broken off is given up, connections are closed
            held.append([(gateway.rss_mb(), gateway.open_files()) for gateway in gateways])
    grown_mb = max(late[0] - early[0] for early, late in zip(*held, strict=True))
    grown_files = max(late[1] - early[1] for early, late in zip(*held, strict=True))
    group = f"Soak of {minutes:g} minutes"
    for line in tally.wrong[:5]:
        print(line, file=sys.stderr)
    return [
        Figure(group, "troubles made", troubles, ""),
        *(Figure(group, f"answers: {name}", count, "") for name, count in sorted(tally.answers.items())),
        Figure(group, "clips that are not their text", len(tally.wrong), "", 0),
        Figure(group, "memory grown since the first quarter, the worse gateway", grown_mb, "MB", MEMORY_AIM_MB),
        Figure(group, "open files grown since the first quarter", grown_files, "", FILES_AIM),
        *(Figure(group, f"memory at the end, gateway {n + 1}", mb, "MB") for n, (mb, _) in enumerate(held[-1])),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="voxgate-soak-") as name:
        try:
            figures = asyncio.run(run(Path(name), minutes))
        except (NotStarted, NoRedis) as error:
            print(f"soak: {error}", file=sys.stderr)
            return 1
    print(table(figures))
    print()
    print(as_json(figures, {"minutes": minutes}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
