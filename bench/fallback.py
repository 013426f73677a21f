"""How much later the first audio comes when the preferred engine refuses at once."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

from bench.client import Listener, post
from bench.configuration import write_configuration
from bench.misses import sentences
from bench.report import Figure
from bench.server import start_gateway

#: milliseconds from the refusal to the other engine's first audio, over that engine alone
AIM_MS = 10.0
#: an engine that refused five times in a row is not tried any more, so there are many, each asked four times
REFUSING, EACH = 20, 4


def measure_fallback(folder: Path) -> list[Figure]:
    """Requests that fall back and requests that need not, in turn."""
    names = [f"refusing{number}" for number in range(REFUSING)]
    engines = "".join(
        f"  {name}: {{kind: fault, of: {{kind: tone}}, mode: refuse, isolation: inline}}\n" for name in names
    )
    rules = "".join(f"  - {{name: {name}, when: {{tags: [{name}]}}, use: [{name}, tone]}}\n" for name in names)
    files = {
        "engines.yaml": f"version: 1\nengines:\n  tone: {{kind: tone}}\n{engines}",
        "policies.yaml": f"version: 1\ndefaults: {{retries: 0}}\nrules:\n{rules}  - {{name: alone, use: [tone]}}\n",
    }
    with start_gateway(write_configuration(folder / "fallback", files), folder) as gateway:
        back_ms, alone_ms = asyncio.run(_times_ms(gateway.port, names))
    group = "Fallback, an engine that refuses"
    return [
        Figure(group, "first audio without, p50", statistics.median(alone_ms), "ms"),
        Figure(group, "later, p50", statistics.median(back_ms) - statistics.median(alone_ms), "ms", AIM_MS),
        Figure(group, "later, slowest over slowest", max(back_ms) - max(alone_ms), "ms"),
    ]


async def _times_ms(port: int, names: list[str]) -> tuple[list[float], list[float]]:
    listener, texts = Listener(port), sentences()
    back: list[float] = []
    alone: list[float] = []
    try:
        for name in ["warm up", *names * EACH]:
            for tags, times in (([name], back), ([], alone)):
                body = {"input": next(texts), "response_format": "pcm", "tags": tags}
                answer = await listener.ask(post("/v1/speech", body))
                expected = "2" if tags and name != "warm up" else "1"
                if answer.headers["x-voxgate-attempts"] != expected:
                    raise RuntimeError(f"{answer.headers['x-voxgate-attempts']} attempts, not {expected}")
                if name != "warm up":
                    times.append(1000 * answer.first_byte_s)
    finally:
        await listener.close()
    return back, alone
