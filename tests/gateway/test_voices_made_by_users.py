"""Voices that the users of an engine make, as far as names and clips go: they come, change and are missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engines.contract import EngineInfo, Voice
from engines.errors import SpeechError
from gateway.pipeline import speak
from gateway.record import Served
from gateway.request import ClientRequest
from gateway.runtime import Runtime
from tests.engines_at_hand import RATE_HZ, Scripted, chunk
from tests.gateway.conftest import Bench


def cloning(**voices: str) -> EngineInfo:
    """An engine with these voices, by name, each with its version."""
    made = tuple(Voice(name, ("en",), RATE_HZ, version=version) for name, version in voices.items())
    return EngineInfo(voices=made, languages=frozenset({"en"}), cloning=True, version="model")


async def say(runtime: Runtime, **more: str) -> Served:
    reply = await speak(ClientRequest("Hello there.", format="pcm", sample_rate=RATE_HZ, **more), runtime, "id")  # type: ignore[arg-type]
    await reply.whole()
    return reply.served


def learn(runtime: Runtime, info: EngineInfo) -> None:
    """What the keeper of an engine does when its worker tells of new voices."""
    runtime.era.members["a"].row.set_info(info)


async def test_a_voice_that_is_not_there_gives_way_unless_it_was_asked_for(bench: Bench) -> None:
    engine = Scripted([chunk()], info=cloning(bob="1"))
    runtime = await bench.runtime({"a": engine})
    await say(runtime)  # voices.yaml names a-voice for narrator
    assert [one.voice for one in engine.requests] == ["bob"]
    with pytest.raises(SpeechError, match="has no voice 'a-voice' yet"):
        await say(runtime, voice="narrator")


async def test_a_voice_is_used_as_soon_as_it_was_made(bench: Bench) -> None:
    engine = Scripted([chunk()], info=cloning(bob="1"))
    runtime = await bench.runtime({"a": engine})
    learn(runtime, cloning(**{"bob": "1", "a-voice": "1"}))
    await say(runtime, voice="narrator")
    assert [one.voice for one in engine.requests] == ["a-voice"]


async def test_a_voice_that_was_made_anew_has_other_clips_and_the_others_keep_theirs(bench: Bench) -> None:
    before = cloning(**{"a-voice": "1", "bob": "1"})
    runtime = await bench.runtime({"a": Scripted([chunk()], info=before)})
    await say(runtime, voice="narrator")
    await say(runtime, voice="a:bob")
    learn(runtime, replace(before, voices=cloning(**{"a-voice": "2", "bob": "1"}).voices))
    assert (await say(runtime, voice="a:bob")).cache == "hit"
    assert (await say(runtime, voice="narrator")).cache == "miss"
