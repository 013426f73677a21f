"""Voices that the users of an engine make, as far as names and clips go: they come, change and are missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engines.contract import Emotion, EngineInfo, Voice
from engines.errors import InvalidRequest, SpeechError
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


async def say(runtime: Runtime, **more: object) -> Served:
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


@pytest.mark.parametrize(
    ("named", "own"),
    [("narrator", "a-voice"), ("alloy", "a-voice"), ("a:bob", "bob"), ("b:bob", "b:bob"), ("other", "other")],
)
async def test_the_voice_of_an_emotion_has_the_engine_s_own_name(bench: Bench, named: str, own: str) -> None:
    engine = Scripted([chunk()], info=cloning(**{"a-voice": "1", "bob": "1"}))
    await say(await bench.runtime({"a": engine}), emotion=Emotion(voice=named, alpha=0.5))
    assert [one.emotion for one in engine.requests] == [Emotion(voice=own, alpha=0.5)]


@pytest.mark.parametrize("named", ["narator", "c:bob", "a:"])
async def test_an_emotion_of_a_voice_that_is_none_is_refused(bench: Bench, named: str) -> None:
    runtime = await bench.runtime({"a": Scripted([chunk()], info=cloning(bob="1"))})
    with pytest.raises(InvalidRequest, match="unknown voice") as caught:
        await say(runtime, emotion=Emotion(voice=named))
    assert caught.value.param == "emotion.voice"


async def test_a_voice_that_lends_its_emotion_and_was_made_anew_has_other_clips(bench: Bench) -> None:
    before = cloning(**{"a-voice": "1", "bob": "1"})
    runtime = await bench.runtime({"a": Scripted([chunk()], info=before)})
    emotion = Emotion(voice="a:bob")
    await say(runtime, voice="narrator", emotion=emotion)
    assert (await say(runtime, voice="narrator", emotion=emotion)).cache == "hit"
    learn(runtime, replace(before, voices=cloning(**{"a-voice": "1", "bob": "2"}).voices))
    assert (await say(runtime, voice="narrator", emotion=emotion)).cache == "miss"
