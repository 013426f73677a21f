"""The pipeline: prepare, plan, cache, failover, encode; and a record that tells what happened."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable

import pytest

from engines.contract import AudioChunk, Emotion
from engines.errors import EngineFault, Interrupted, InvalidRequest, SpeechError, Unavailable
from gateway import pipeline
from gateway.explain import explain
from gateway.pipeline import speak
from gateway.record import Served
from gateway.refusals import ModelNotFound, NoEngine, OutOfTime
from gateway.reply import Reply
from gateway.request import ClientRequest
from gateway.runtime import Runtime
from tests.engines_at_hand import Scripted, chunk, info
from tests.gateway.conftest import POLICIES, Bench
from tests.virtual import VirtualClock

TEXT = "One sentence. Two sentences. Three sentences."


def request(text: str = TEXT, **more: object) -> ClientRequest:
    return ClientRequest(text, format="pcm", sample_rate=8000, **more)  # type: ignore[arg-type]


async def say(runtime: Runtime, *args: str, **more: object) -> tuple[Served, bytes]:
    reply = await speak(request(*args, **more), runtime, "an-id")
    return reply.served, await reply.whole()


def samples(pcm: bytes) -> list[int]:
    """The values of the constant chunks that were heard, in their order."""
    values = [int.from_bytes(pcm[at : at + 2], "little", signed=True) for at in range(0, len(pcm), 2)]
    return [value for at, value in enumerate(values) if at == 0 or values[at - 1] != value]


async def test_every_clause_is_spoken_in_order_with_the_voice_of_its_language(bench: Bench) -> None:
    engine = Scripted([chunk(value=1)], [chunk(value=2)], [chunk(value=3)])
    served, pcm = await say(await bench.runtime({"b": engine}), "你好。Hello there. 再见。")
    assert samples(pcm) == [1, 2, 3]
    assert [(one.text, one.language, one.voice) for one in engine.requests] == [
        ("你好。", "zh", "b-zh"),
        ("Hello there.", "en", "b-en"),
        ("再见。", "zh", "b-zh"),
    ]
    assert (served.outcome, served.engine, served.engine_voice) == ("complete", "b", "b-zh")
    assert served.audio_s == pytest.approx(0.06)


async def test_audio_is_streamed_from_the_first_clause_on(bench: Bench) -> None:
    gate = asyncio.Event()

    class Gated(Scripted):
        async def synthesize(self, request):  # type: ignore[no-untyped-def]
            if self.requests:
                await gate.wait()
            async for one in super().synthesize(request):
                yield one

    reply = await speak(request(), await bench.runtime({"a": Gated([chunk(value=5)])}), "id")
    assert reply.stream is not None
    assert samples(await anext(reply.stream)) == [5]
    assert reply.served.outcome == "running"
    gate.set()
    rest = b"".join([piece async for piece in reply.stream])
    assert len(rest) == 2 * len(chunk().pcm)
    assert reply.served.outcome == "complete"


async def test_the_second_time_a_clip_comes_whole_from_the_cache(bench: Bench) -> None:
    engine = Scripted([chunk(value=7)])
    runtime = await bench.runtime({"a": engine})
    first, made = await say(runtime)
    spoken = len(engine.requests)
    reply = await speak(request(), runtime, "second")
    assert (reply.stream, reply.body) == (None, made)
    assert (first.cache, reply.served.cache) == ("miss", "hit")
    assert reply.served.engine_voice == "a-voice"
    assert len(engine.requests) == spoken


@pytest.mark.parametrize(
    "different",
    [
        {"text": "Another text."},
        {"voice": "other"},
        {"speed": 2.0},
        {"language": "fr"},
        {"instructions": "whisper"},
        {"seed": 1},
        {"cache": "bypass"},
    ],
)
async def test_a_different_request_is_not_answered_with_that_clip(bench: Bench, different: dict[str, str]) -> None:
    runtime = await bench.runtime({"b": Scripted([chunk()])})
    await say(runtime)
    served, _ = await say(runtime, different.pop("text", TEXT), **different)
    assert served.cache != "hit"


async def test_a_voice_that_differs_by_its_gender_alone_has_clips_of_its_own(bench: Bench) -> None:
    voices = """version: 1
default: she
voices:
  she: {languages: [en], gender: female}
  he: {languages: [en], gender: male}
"""
    engine = Scripted([chunk(value=1)], [chunk(value=2)], info=info("en"))
    policies = POLICIES + "last_resort: a\n"
    runtime = await bench.runtime({"a": engine}, voices=voices, policies=policies)
    heard = [samples((await say(runtime, "Hello.", voice=voice))[1]) for voice in ("she", "he", "she")]
    assert heard == [[1], [2], [1]]
    assert [(one.voice, one.gender) for one in engine.requests] == [("", "female"), ("", "male")]


async def test_a_document_has_a_clip_for_each_voice_of_the_language_it_says_it_is_in(bench: Bench) -> None:
    voices = """version: 1
default: one
voices:
  one: {languages: [en, zh], engines: {a: {zh: zh, en: en-one}}}
  two: {languages: [en, zh], engines: {a: {zh: zh, en: en-two}}}
"""
    engine = Scripted([chunk(value=1)], [chunk(value=2)], info=info("en", "zh", ssml=True))
    runtime = await bench.runtime({"a": engine}, voices=voices)
    document = '<speak xml:lang="en"><s xml:lang="zh">你好</s></speak>'
    heard = [samples((await say(runtime, document, voice=v, input_type="ssml"))[1]) for v in ("one", "two")]
    assert heard == [[1], [2]]


async def test_a_clip_is_not_kept_when_its_engine_became_another_one_meanwhile(bench: Bench) -> None:
    class Renewed(Scripted):
        async def synthesize(self, request):  # type: ignore[no-untyped-def]
            async for one in super().synthesize(request):
                yield one
            self.info = dataclasses.replace(self.info, version="2")

    engine = Renewed([chunk(value=1)], [chunk(value=2)])
    runtime = await bench.runtime({"a": engine})
    await say(runtime, "Hello.")
    runtime.board.row("a").set_info(engine.info)
    served, pcm = await say(runtime, "Hello.")
    assert (served.cache, samples(pcm)) == ("miss", [2])


async def test_a_reply_that_must_be_whole_is_not_gathered_beyond_all_bounds(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "LARGEST_WHOLE_BYTES", len(chunk().pcm) * 2)
    engine = Scripted([chunk()])
    runtime = await bench.runtime({"a": engine})
    with pytest.raises(InvalidRequest, match="take it as a stream"):
        await say(runtime, stream=False)
    assert engine.open == 0
    outcome = await runtime.outcomes.get("an-id")
    assert outcome is not None
    assert (outcome.outcome, outcome.error) == ("interrupted", "invalid_request")
    served, _ = await say(runtime)
    assert served.outcome == "complete"


async def test_only_small_requests_are_remembered(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted([chunk()])})
    for more in ({"instructions": "x" * 10_000}, {"emotion": Emotion(tuple((f"{n}", 0.5) for n in range(1000)))}):
        prepared = runtime.era.preparing.prepare(request("Hello.", **more))
        assert runtime.era.preparing.prepare(request("Hello.", **more)) is not prepared
    assert runtime.era.preparing.prepare(request("Hello.")) is runtime.era.preparing.prepare(request("Hello."))


async def test_the_preferred_engines_clip_is_heard_even_while_it_is_down(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted([chunk(value=1)]), "b": Scripted([chunk(value=2)])})
    await say(runtime)
    runtime.board.row("a").set_state("down", "gone")
    served, pcm = await say(runtime)
    assert (served.cache, served.engine, samples(pcm)) == ("hit", "a", [1])


async def test_a_fallbacks_clip_never_hides_a_healthy_first_choice(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted([chunk(value=1)]), "b": Scripted([chunk(value=2)])})
    runtime.board.row("a").set_state("down", "gone")
    served, _ = await say(runtime)
    assert (served.engine, served.degraded) == ("b", "a: down since 12:00:00: gone") or served.degraded.startswith(
        "a: "
    )
    runtime.board.row("a").set_state("up")
    served, pcm = await say(runtime)
    assert (served.cache, served.engine, samples(pcm)) == ("miss", "a", [1])


async def test_a_clip_of_two_engines_is_not_kept(bench: Bench) -> None:
    dying = Scripted([chunk(value=1)], [EngineFault("died")], [chunk(value=1)])
    runtime = await bench.runtime(
        {"a": dying, "b": Scripted([chunk(value=2)])}, policies=POLICIES + "defaults: {retries: 0}\n"
    )
    served, pcm = await say(runtime)
    assert samples(pcm) == [1, 2]
    assert served.clause_engines == ["a", "b", "b"]
    again, _ = await say(runtime)
    assert again.cache == "miss"


async def test_a_cut_speech_is_never_whole_and_never_kept(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted([chunk(value=1)], [EngineFault("died")])})
    reply = await speak(request(), runtime, "cut")
    with pytest.raises(Interrupted):
        await reply.whole()
    assert (reply.served.outcome, reply.served.error) == ("interrupted", "interrupted")
    assert reply.served.clause_engines == ["a"]
    found = await runtime.outcomes.get("cut")
    assert found is not None
    assert found.outcome == "interrupted"
    with pytest.raises(SpeechError):
        await say(runtime)


async def test_a_failure_before_the_first_audio_has_a_status_and_says_who_was_tried(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted([Unavailable("a is gone")]), "b": Scripted([EngineFault("b broke")])})
    with pytest.raises(NoEngine, match=r"a is gone.*b broke") as caught:
        await say(runtime)
    assert caught.value.status == 502
    found = await runtime.outcomes.get("an-id")
    assert found is not None
    assert (found.outcome, found.error) == ("failed", "engine_fault")
    assert [one.engine for one in found.attempts] == ["a", "a", "b", "b"]  # one retry each


async def test_what_failed_is_told_as_degraded(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted([Unavailable("gone for lunch")]), "b": Scripted([chunk()])})
    served, _ = await say(runtime)
    assert (served.engine, served.degraded) == ("b", "a: gone for lunch")


async def test_a_listener_that_leaves_closes_the_engine_and_is_recorded(bench: Bench) -> None:
    began = asyncio.Event()

    class Slow(Scripted):
        async def synthesize(self, request):  # type: ignore[no-untyped-def]
            if self.requests:
                began.set()
            async for one in super().synthesize(request):
                yield one

    engine = Slow([chunk()], [1000.0])
    runtime = await bench.runtime({"a": engine})
    reply = await speak(request(), runtime, "left")
    await reply.aclose()
    assert engine.open == 0
    assert reply.served.outcome == "cancelled"
    assert runtime.board.snapshot().engines["a"].busy == 0

    waiting = asyncio.create_task(speak(request("Nobody hears this."), runtime, "left early"))
    await began.wait()
    await asyncio.sleep(0)
    assert engine.open == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert engine.open == 0
    assert runtime.board.snapshot().engines["a"].busy == 0
    early = await runtime.outcomes.get("left early")
    assert early is not None
    assert early.outcome == "cancelled"


async def test_a_reply_that_was_never_read_can_be_closed(bench: Bench) -> None:
    engine = Scripted([chunk(), chunk()])
    reply = await speak(request(), await bench.runtime({"a": engine}), "id")
    await reply.aclose()
    assert engine.open == 0


async def test_on_served_is_called_once_and_its_errors_reach_nobody(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await bench.runtime({"a": Scripted([chunk()])})
    heard: list[Served] = []

    def broken(record: Served) -> None:
        raise RuntimeError("a plugin's own trouble")

    hooks = [("bad", broken), ("good", lambda record: heard.append(record))]
    monkeypatch.setattr(runtime.registry, "served_hooks", lambda: iter(hooks))
    await say(runtime)
    assert [one.outcome for one in heard] == ["complete"]
    assert "a plugin's own trouble" in caplog.text


async def test_two_requests_at_once_never_hear_each_other(bench: Bench) -> None:
    class Echo(Scripted):
        """Speaks the number in the text as the value of its samples."""

        async def synthesize(self, request) -> AsyncIterator[AudioChunk]:  # type: ignore[no-untyped-def, override]
            for _ in range(5):
                await asyncio.sleep(0)
                yield chunk(value=int(request.text.strip(".")))

    runtime = await bench.runtime({"a": Echo(info=info("en", any_voice=True, slots=30))})
    texts = [str(1000 + n) for n in range(20)]
    replies = await asyncio.gather(*(say(runtime, text) for text in texts))
    assert [samples(pcm) for _, pcm in replies] == [[int(text)] for text in texts]


async def test_an_engine_named_as_model_or_voice_speaks_alone(bench: Bench) -> None:
    first, second = Scripted([Unavailable("gone")]), Scripted([chunk()])
    runtime = await bench.runtime({"a": first, "b": second})
    for only in ({"model": "a"}, {"model": "best"}, {"voice": "a:a-voice"}):
        with pytest.raises(NoEngine):
            await say(runtime, **only)
    assert not second.requests
    served, _ = await say(runtime, voice="b:its own")
    assert (served.engine, second.requests[-1].voice) == ("b", "its own")


async def test_unknown_names_are_refused_with_near_ones(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted([chunk()])})
    with pytest.raises(InvalidRequest, match="unknown voice 'narator'; near names: narrator"):
        await say(runtime, voice="narator")
    with pytest.raises(ModelNotFound, match="unknown model 'tts-2'; near names: tts-1"):
        await say(runtime, model="tts-2")
    with pytest.raises(ModelNotFound, match="switched off"):
        await say(runtime, model="b")
    with pytest.raises(InvalidRequest, match="two different engines"):
        await say(runtime, model="a", voice="b:x")


async def test_a_voice_that_an_engine_lacks_is_not_substituted_by_it(bench: Bench) -> None:
    voices = [["a-voice"], ["b-zh", "b-en", "b-other"]]
    a, b = (Scripted([chunk()], info=info("zh", "en", voices=own)) for own in voices)
    runtime = await bench.runtime({"a": a, "b": b})
    served, _ = await say(runtime, voice="other")
    assert (served.engine, b.requests[-1].voice) == ("b", "b-other")
    assert not a.requests
    last = await bench.runtime({"a": a, "b": b}, policies=POLICIES.replace("[a, b]", "[a]") + "last_resort: a\n")
    served, _ = await say(last, voice="other")
    assert (served.engine, a.requests[-1].voice) == ("a", "a-voice")


async def test_a_rule_may_forbid_or_demand_the_cache(bench: Bench) -> None:
    engines = {"a": Scripted([chunk()])}
    bypass = await bench.runtime(engines, policies=POLICIES + "defaults: {cache: bypass}\n")
    assert [(await say(bypass))[0].cache for _ in range(2)] == ["bypass", "bypass"]
    only = await bench.runtime(engines, policies=POLICIES + "defaults: {cache: only}\n")
    with pytest.raises(NoEngine):
        await say(only)


async def test_a_clients_deadline_ends_the_request_and_hurts_no_engine(bench: Bench) -> None:
    engine = Scripted([1000.0])
    runtime = await bench.runtime({"a": engine, "b": Scripted([chunk()])})
    for _ in range(6):
        with pytest.raises(SpeechError) as caught:
            await say(runtime, deadline_ms=5)
        assert caught.value.code == "deadline_exceeded"
    assert runtime.board.snapshot().engines["a"].state == "up"


async def test_explain_gives_the_same_plan_and_speaks_nothing(bench: Bench) -> None:
    engine = Scripted([chunk()])
    runtime = await bench.runtime({"a": engine, "b": Scripted([chunk()])})
    plan = explain(request("你好。Hello."), runtime.config, runtime.board.snapshot())
    assert (plan["rule"], plan["voice"], plan["chars"]) == ("everything", "narrator", 9)
    assert plan["clauses"] == [{"text": "你好。", "language": "zh"}, {"text": "Hello.", "language": "en"}]
    assert [(step["engine"], step["voice"]) for step in plan["steps"]] == [("a", "a-voice"), ("b", "b-en")]
    assert not engine.requests


async def test_every_format_gives_whole_audio(bench: Bench) -> None:
    import io

    import soundfile

    runtime = await bench.runtime({"a": Scripted([chunk(200, 8000), chunk(300, -8000)])})
    for format in ("mp3", "opus", "flac", "wav"):
        reply: Reply = await speak(ClientRequest("Hello.", format=format), runtime, "id")  # type: ignore[arg-type]
        data, rate = soundfile.read(io.BytesIO(await reply.whole()))
        assert rate == 24000
        assert len(data) / rate == pytest.approx(0.5, abs=0.06)
        assert abs(data).max() > 0.1


async def test_a_request_waits_for_the_only_engine_while_it_is_started_again(bench: Bench) -> None:
    engine = Scripted([chunk(value=3)])
    runtime = await bench.runtime({"a": engine})
    member = runtime.fleet.members["a"]
    member.up.clear()
    runtime.board.row("a").set_state("down", "its process ended")
    asyncio.get_running_loop().call_later(0.05, lambda: (runtime.board.row("a").set_state("up"), member.up.set()))
    served, pcm = await say(runtime)
    assert (samples(pcm), served.outcome) == ([3], "complete")


@pytest.mark.parametrize(("total_ms", "deadline_ms"), [(5000, 6000), (5000, None), (0, 5000)])
async def test_the_wait_for_an_engine_is_part_of_the_time_allowed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, total_ms: int, deadline_ms: int | None
) -> None:
    policies = f"version: 1\nrules:\n  - {{name: all, use: [a], total_ms: {total_ms}}}\n"
    runtime = await bench.runtime({"a": Scripted([0.01, chunk()])}, policies=policies)
    clock, allowed = VirtualClock(), list[float]()
    runtime.clock = clock

    async def at_the_last_moment(names: Iterable[str], within_s: float) -> bool:
        allowed.append(within_s)
        clock.advance(within_s)
        runtime.board.row("a").set_state("up")
        return True

    monkeypatch.setattr(runtime.era, "somebody_returns", at_the_last_moment)
    runtime.board.row("a").set_state("down", "its process ended")
    with pytest.raises(OutOfTime):
        await say(runtime, deadline_ms=deadline_ms)
    assert allowed == [5.0]


async def test_an_engine_named_without_a_voice_of_it_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidRequest, match="names an engine and no voice"):
        await say(await bench.runtime({"a": Scripted([chunk()])}), voice="a:")


@pytest.mark.parametrize(("stream", "underruns"), [(True, 2), (False, 0)])
async def test_a_stream_that_runs_dry_says_how_often_and_for_how_long(
    bench: Bench, stream: bool, underruns: int
) -> None:
    clock = VirtualClock()

    class Slow(Scripted):
        async def synthesize(self, request):  # type: ignore[no-untyped-def]
            clock.advance(1.0)
            async for one in super().synthesize(request):
                yield one

    runtime = await bench.runtime({"a": Slow([chunk(ms=400)])})
    runtime.clock = clock
    reply = await speak(request(stream=stream), runtime, "id")
    await reply.whole()
    assert reply.served.underruns == underruns
    assert reply.served.underrun_s == pytest.approx(underruns * 0.6)
