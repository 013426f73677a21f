"""A request stays in the era in which it began: its rules, voices and engines, whatever is reloaded meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from engines.errors import EngineFault, SpeechError
from gateway.configuration.load import Config
from gateway.pipeline import speak
from gateway.reply import Reply
from gateway.request import ClientRequest
from gateway.runtime import Runtime
from policies.policy import Policy
from tests.engines_at_hand import Scripted, chunk
from tests.gateway.conftest import Bench
from tests.redis_at_hand import until

TEXT = "One two three. Four five six. Seven eight nine."


async def begin(runtime: Runtime, text: str = TEXT) -> Reply:
    request = ClientRequest(text, format="pcm", sample_rate=8000, cache="bypass")
    return await speak(request, runtime, "0" * 32)


def without(config: Config, *engines: str, use: str) -> Config:
    """The same configuration with engines taken out and another rule."""
    left = {name: entry for name, entry in config.engines.items() if name not in engines}
    policy = Policy.model_validate({"version": 1, "rules": [{"name": "other", "use": [use]}]})
    return replace(config, engines=left, policy=policy)


async def test_a_speech_is_finished_by_the_engine_that_was_removed(bench: Bench) -> None:
    go = asyncio.Event()

    class Waiting(Scripted):
        async def synthesize(self, request):  # type: ignore[no-untyped-def]
            async for one in super().synthesize(request):
                yield one
            await go.wait()

    old, new = Waiting([chunk(value=1)]), Scripted([chunk(value=2)])
    runtime = await bench.runtime({"a": old, "b": new})
    member = runtime.fleet.members["a"]
    speaking = asyncio.create_task(begin(runtime))
    await until(lambda: len(old.requests) > 0)
    runtime.adopt(without(runtime.config, "a", use="b"))
    later = await begin(runtime)
    assert (later.served.engine, later.served.plan and later.served.plan.rule) == ("b", "other")
    await later.whole()
    go.set()
    reply = await speaking
    await reply.whole()
    assert reply.served.clause_engines == ["a", "a", "a"]
    assert reply.served.plan is not None
    assert reply.served.plan.rule == "everything"
    assert (len(old.requests), reply.served.outcome) == (3, "complete")
    await member.deserted.wait()


async def test_an_equal_request_is_decided_anew_after_a_reload(bench: Bench) -> None:
    """Nothing has changed on the board, which is all that the memory of a decision looks at within one era."""
    runtime = await bench.runtime({"a": Scripted([chunk(value=1)]), "b": Scripted([chunk(value=2)])})
    assert (await begin(runtime)).served.engine == "a"
    runtime.adopt(without(runtime.config, use="b"))
    assert (await begin(runtime)).served.engine == "b"


async def test_whoever_waits_for_an_engine_is_served_by_it_although_it_was_removed(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted([chunk(value=1)]), "b": Scripted([chunk(value=2)])})
    runtime.adopt(without(runtime.config, "b", use="a"))
    member = runtime.fleet.members["a"]
    member.row.set_state("down", "its process ended")
    member.up.clear()
    waiting = asyncio.create_task(begin(runtime))
    await until(lambda: member.users > 0)
    runtime.adopt(replace(without(runtime.config, "a", use="b"), engines={}))
    assert not waiting.done()
    member.row.set_state("up")
    member.up.set()
    reply = await waiting
    await reply.whole()
    assert (reply.served.engine, reply.served.outcome) == ("a", "complete")


@pytest.mark.parametrize("end", ["complete", "failed", "left"])
async def test_however_a_request_ends_its_engines_are_let_go(bench: Bench, end: str) -> None:
    script = [EngineFault("no")] if end == "failed" else [chunk()]
    runtime = await bench.runtime({"a": Scripted(script), "b": Scripted(script)})
    members = runtime.fleet.members
    try:
        reply = await begin(runtime)
        assert all(member.users == 1 for member in members.values())
        if end == "complete":
            await reply.whole()
        await reply.aclose()
    except SpeechError:
        assert end == "failed"
    async with asyncio.timeout(5):
        runtime.adopt(replace(runtime.config, engines={}))
        for member in members.values():
            await member.deserted.wait()
