"""What a speech costs: the characters of each clause that an engine began, as its service counts them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from engines.contract import EngineInfo
from engines.errors import EngineFault, Unavailable
from gateway.pipeline import speak
from gateway.record import Served
from gateway.request import ClientRequest
from gateway.runtime import Runtime
from tests.engines_at_hand import Scripted, chunk
from tests.gateway.conftest import POLICIES, Bench

ONCE = POLICIES + "defaults: {retries: 0}\n"
ABORTS = "defaults: {on_interruption: abort}\n"


def cloud(cost_per_1k_chars: float = 1000.0, **more: object) -> EngineInfo:
    facts = {"any_voice": True, "any_language": True, "slots": 8, "local": False} | more
    return EngineInfo(cost_per_1k_chars=cost_per_1k_chars, **facts)  # type: ignore[arg-type]


async def spoken(runtime: Runtime, text: str, **more: object) -> Served:
    request = ClientRequest(text, format="pcm", sample_rate=8000, **more)  # type: ignore[arg-type]
    reply = await speak(request, runtime, "an-id")
    await reply.whole()
    return reply.served


def costs(served: Served) -> list[tuple[str, float]]:
    assert served.cost == pytest.approx(sum(one.cost for one in served.attempts))
    return [(one.engine, round(one.cost, 6)) for one in served.attempts]


async def test_every_clause_costs_its_characters_and_a_clip_nothing(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted(info=cloud())})
    assert costs(await spoken(runtime, "One two. 三四五。")) == [("a", 8.0), ("a", 4.0)]
    again = await spoken(runtime, "One two. 三四五。")
    assert (again.cache, again.cost) == ("hit", 0)


async def test_a_start_that_failed_costs_nothing_and_one_that_broke_off_the_whole_clause(bench: Bench) -> None:
    dying = Scripted([chunk(), EngineFault("died")], info=cloud())
    runtime = await bench.runtime({"a": dying, "b": Scripted(info=cloud(10.0))}, policies=ONCE)
    assert costs(await spoken(runtime, "One two.")) == [("a", 8.0), ("b", 0.08)]
    absent = Scripted([Unavailable("gone")], info=cloud())
    runtime = await bench.runtime({"a": absent, "b": Scripted(info=cloud(10.0))}, policies=ONCE)
    assert costs(await spoken(runtime, "One two.")) == [("a", 0.0), ("b", 0.08)]


async def test_who_was_outrun_has_begun_all_the_same(bench: Bench) -> None:
    policies = POLICIES + "defaults: {hedge_after_ms: 1}\n"
    slow = Scripted([60.0], info=cloud())
    runtime = await bench.runtime({"a": slow, "b": Scripted(info=cloud(10.0))}, policies=policies)
    assert costs(await spoken(runtime, "One two.")) == [("a", 8.0), ("b", 0.08)]


async def test_han_characters_may_count_more_than_once(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted(info=cloud(han_counts=2))})
    assert costs(await spoken(runtime, "三四五 abc。")) == [("a", 11.0)]


async def test_tags_are_not_charged(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted(info=cloud(ssml=True, han_counts=2))})
    document = '<speak xml:lang="zh">三四 <break time="1s"/>a &amp; b</speak>'
    assert costs(await spoken(runtime, document, input_type="ssml")) == [("a", 10.0)]


async def test_a_client_that_leaves_pays_for_what_was_begun(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted([chunk(), 60.0], info=cloud())}, policies=POLICIES + ABORTS)
    told, over = list[Served](), asyncio.Event()
    runtime.listeners += [told.append, lambda _: over.set()]
    reply = await speak(ClientRequest("One two. Three.", format="pcm", sample_rate=8000), runtime, "left")
    assert reply.stream is not None
    async with aclosing(reply.stream) as pieces:
        await anext(pieces)
    await reply.aclose()
    await over.wait()
    assert costs(told[0]) == [("a", 8.0)]
