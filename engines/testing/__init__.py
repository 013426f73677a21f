"""The conformance kit: every rule of `engines.contract.Engine` as a test. Subclass it, name your kind, run pytest.

    class TestChime(EngineConformance):
        kind = "chime"                      # an installed kind's name, or an EngineKind
        options = {"decay_s": 0.2}          # as they would stand in engines.yaml

What else a subclass may set stands in `engines.testing.stage.Stage`. A failure says what the rule is for. Knows
nothing about any particular engine. pytest is needed to run the tests, and for nothing else here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import aclosing
from typing import Any
from unittest import mock

from pydantic import ValidationError

from engines.contract import Engine, EngineInfo
from engines.errors import SpeechError
from engines.testing.listening import count_beeps, rms, seconds, speak_all
from engines.testing.stage import SENTENCES, Stage, WatchedRequest, finish_all, next_or_none, on_stage

__all__ = ["SENTENCES", "EngineConformance", "count_beeps", "rms", "seconds", "speak_all"]


class EngineConformance(Stage):
    """Subclass as `Test…`, and set `kind`. Every test makes an engine of its own."""

    # --- the kind, its options and its info ---

    def test_the_kind_is_described_without_loading_it(self) -> None:
        """`voxgate check` and the policies know what an engine can do before it starts."""
        kind, instance, options = self.kind_instance_options()
        assert kind.name, "a kind needs a name"
        assert kind.summary, "a kind needs a summary: `voxgate engines list` shows it"
        assert kind.licence, "a kind needs a licence: operators have to know"
        if kind.describe:
            described = kind.describe(instance, options)
            assert isinstance(described, EngineInfo), f"describe() gave {described!r}, which is no EngineInfo"

    def test_options_are_frozen(self) -> None:
        """Options are shared by all requests: subclass `engines.contract.Options`, which freezes them."""
        _, _, options = self.kind_instance_options()
        name = next(iter(type(options).model_fields), None)
        if name is not None:
            try:
                setattr(options, name, getattr(options, name))
            except ValidationError:
                return
            raise AssertionError(f"option {name!r} can be changed after validation")

    def test_an_option_that_does_not_exist_is_refused(self) -> None:
        """A misspelled option is an error with a line and column, never silently ignored."""
        kind, instance, _ = self.kind_instance_options()
        try:
            kind.options.model_validate({**self.options, "no_such_option": 1}, context={"kinds": instance.kinds})
        except ValidationError:
            return
        raise AssertionError("an unknown option is accepted; leave `extra` at forbid")

    def test_options_survive_the_way_to_a_worker(self) -> None:
        """They travel as JSON and are validated again there."""
        kind, instance, options = self.kind_instance_options()
        there = json.loads(options.model_dump_json())
        again = kind.options.model_validate(there, context={"kinds": instance.kinds})
        assert again == options, f"options change on the way through JSON: {options!r} became {again!r}"

    @on_stage
    async def test_info_is_consistent(self, engine: Engine) -> None:
        """Routing believes `info`."""
        info = engine.info
        assert isinstance(info, EngineInfo), f"info is {info!r}, which is no EngineInfo"
        assert isinstance(engine, Engine), "an engine has info, start, check, synthesize and close"
        assert info.slots >= 1, "an engine without slots can never speak"
        assert info.max_chars is None or info.max_chars > 0, "max_chars is None or positive"
        assert info.any_language or info.languages, "info names no language"
        names = [voice.id for voice in info.voices]
        assert len(names) == len(set(names)), f"voices of equal names: {sorted(names)}"
        for voice in info.voices:
            unknown = [language for language in voice.languages if not info.speaks(language)]
            assert not unknown, f"voice {voice.id!r} has languages that info lacks: {unknown}"
            assert voice.sample_rate > 0, f"voice {voice.id!r} has no sample rate"

    @on_stage
    async def test_info_has_a_version(self, engine: Engine) -> None:
        """The version is part of the cache key: without one, a changed model is answered with its old clips."""
        assert engine.info.version, "info.version is empty: name the model and whatever changes its sound"

    # --- start, check, close ---

    @on_stage
    async def test_start_may_be_called_twice(self, engine: Engine) -> None:
        """After a reload or a recovery the gateway starts without asking."""
        await engine.start()
        await self.speaks(engine)

    @on_stage
    async def test_close_may_be_called_twice(self, engine: Engine) -> None:
        """Shutting down happens along several paths."""
        await engine.close()
        await engine.close()

    def test_close_before_start_is_harmless(self) -> None:
        """An engine whose start failed is closed too."""
        self.skip_if_missing()
        asyncio.run(self.make_engine().close())

    @on_stage
    async def test_a_started_engine_passes_its_check(self, engine: Engine) -> None:
        """The breaker lets an engine back in when `check` returns."""
        await engine.check()
        await self.speaks(engine)
        await engine.check()

    # --- rule 1 ---

    @on_stage
    async def test_nothing_happens_before_the_first_chunk_is_asked_for(self, engine: Engine) -> None:
        """Rule 1: a plan may make a stream and never read it. Write `synthesize` as an async generator."""
        request = WatchedRequest(self.request(engine))
        tasks = asyncio.all_tasks()
        stream = engine.synthesize(request)
        try:
            await asyncio.sleep(0)
            assert hasattr(stream, "__anext__"), f"synthesize() gave {stream!r}, which is no async generator"
            assert hasattr(stream, "aclose"), "the stream cannot be closed"
            read = request.read_fields()
            assert not read, f"these were read before the first anext: {read}"
            begun = asyncio.all_tasks() - tasks
            assert not begun, f"a task began before the first anext: {begun}"
        finally:
            if hasattr(stream, "aclose"):
                await stream.aclose()

    @on_stage
    async def test_a_stream_that_is_never_read_holds_no_slot(self, engine: Engine) -> None:
        """Rule 1, seen from the next request."""
        unread = [engine.synthesize(self.request(engine)) for _ in range(engine.info.slots + 1)]
        await self.all_slots_speak(engine)
        for stream in unread:
            await stream.aclose()

    # --- rule 2 ---

    @on_stage
    async def test_speech_has_at_least_one_chunk_that_is_not_empty(self, engine: Engine) -> None:
        """Rule 2: a clean end without audio looks like success and is heard as nothing."""
        for language, text in self.sentences.items():
            if engine.info.speaks(language):
                chunks = await speak_all(engine, self.request(engine, text=text, language=language))
                assert any(chunk.pcm for chunk in chunks), f"no audio and no error for {language!r}: {text}"

    @on_stage
    async def test_text_without_words_gives_audio_or_an_error(self, engine: Engine) -> None:
        """Rule 2 for the odd texts."""
        for text in ("…", "!?", "-", " "):
            with contextlib.suppress(SpeechError):
                chunks = await speak_all(engine, self.request(engine, text=text))
                assert any(chunk.pcm for chunk in chunks), f"neither audio nor an error for {text!r}"

    # --- rule 3 ---

    @on_stage
    async def test_a_stream_has_one_sample_rate(self, engine: Engine) -> None:
        """Rule 3: the encoder is opened once."""
        rates = {chunk.sample_rate for chunk in await self.speaks(engine)}
        assert len(rates) == 1, f"sample rates within one stream: {sorted(rates)}"

    @on_stage
    async def test_the_sample_rate_is_as_declared(self, engine: Engine) -> None:
        """Rule 3: what `info` says of a voice is what it sounds like, so that a sample rate is known beforehand."""
        request = self.request(engine)
        name = request.voice or engine.info.default_voice(request.language)
        declared = {voice.sample_rate for voice in engine.info.voices if voice.id == name}
        heard = {chunk.sample_rate for chunk in (await self.speaks(engine))[:1]}
        assert not declared or heard <= declared, f"voice {name!r} declares {declared} Hz and speaks at {heard}"

    @on_stage
    async def test_chunks_hold_whole_samples(self, engine: Engine) -> None:
        """Rule 3: an odd byte turns all that follows into noise."""
        for index, chunk in enumerate(await self.speaks(engine)):
            assert isinstance(chunk.pcm, bytes), f"chunk {index} holds {type(chunk.pcm).__name__}, not bytes"
            assert len(chunk.pcm) % 2 == 0, f"chunk {index} has {len(chunk.pcm)} bytes: half a sample too many"

    @on_stage
    async def test_the_speech_can_be_heard(self, engine: Engine) -> None:
        """Silence of the right length is no speech; -1 to 1 floats cast to integers sound like this."""
        loudness = rms(b"".join(chunk.pcm for chunk in await self.speaks(engine)))
        assert loudness > 30, f"the speech is silent: RMS {loudness:.1f} of 32768"

    # --- rule 4 ---

    @on_stage
    async def test_closing_at_the_first_chunk_releases_the_slot(self, engine: Engine) -> None:
        """Rule 4: a client that hangs up early costs nothing further."""
        await self.cancel_many(engine, after_chunks=1)

    @on_stage
    async def test_closing_in_the_middle_releases_the_slot(self, engine: Engine) -> None:
        """Rule 4: and one that hangs up later."""
        await self.cancel_many(engine, after_chunks=max(2, len(await self.speaks(engine)) // 2))

    @on_stage
    async def test_cancelling_the_wait_for_the_first_chunk_releases_the_slot(self, engine: Engine) -> None:
        """Rule 4: a deadline cancels the `anext` that waits, then closes. Clean up in `finally`."""
        for _ in range(engine.info.slots + 1):
            stream = engine.synthesize(self.request(engine))
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError, SpeechError):
                await waiting
            await self.closes(stream)
        await self.all_slots_speak(engine)

    @on_stage
    async def test_a_closed_stream_gives_nothing_more(self, engine: Engine) -> None:
        """Rule 4: a late chunk would be heard in the next engine's speech."""
        stream = engine.synthesize(self.request(engine))
        await anext(stream)
        await self.closes(stream)
        late = await anext(stream, None)
        assert late is None, "a chunk came after the stream was closed"

    @on_stage
    async def test_no_task_outlives_its_stream(self, engine: Engine) -> None:
        """Rule 4: what was begun for one request ends with it."""
        await self.speaks(engine)  # whatever an engine keeps for all requests is there now
        tasks = asyncio.all_tasks()
        stream = engine.synthesize(self.request(engine))
        await anext(stream)
        await self.closes(stream)
        if left := asyncio.all_tasks() - tasks:
            _, left = await asyncio.wait(left, timeout=self.release_within_s)
        assert not left, f"tasks that outlive a closed stream: {left}"

    # --- rule 5 ---

    @on_stage
    async def test_a_consumer_may_pause_for_an_hour(self, engine: Engine) -> None:
        """Rule 5: an `asyncio.timeout` held across a `yield` cancels whoever reads slowly."""
        loop = asyncio.get_running_loop()
        now_s = loop.time
        stream = engine.synthesize(self.request(engine))
        await anext(stream)
        loop.time = lambda: now_s() + 3600  # type: ignore[method-assign]  # the clock is turned; nobody really waits
        try:
            for _ in range(5):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            raise AssertionError("a timeout held across a yield cancelled the consumer between two chunks") from None
        with contextlib.suppress(SpeechError):  # a server that hung up meanwhile is no breach
            await self.closes(stream)

    @on_stage
    async def test_no_task_group_is_held_across_a_chunk(self, engine: Engine) -> None:
        """Rule 5: a task group cancels the task that entered it, which is the consumer's."""
        held: list[asyncio.TaskGroup] = []
        me = asyncio.current_task()
        enter, leave = asyncio.TaskGroup.__aenter__, asyncio.TaskGroup.__aexit__

        async def watched_enter(group: asyncio.TaskGroup) -> asyncio.TaskGroup:
            if asyncio.current_task() is me:  # tasks of the engine's own may do as they like
                held.append(group)
            return await enter(group)

        async def watched_leave(group: asyncio.TaskGroup, *error: Any) -> None:
            if group in held:
                held.remove(group)
            await leave(group, *error)

        with mock.patch.multiple(asyncio.TaskGroup, __aenter__=watched_enter, __aexit__=watched_leave):
            async with aclosing(engine.synthesize(self.request(engine))) as stream:
                async for _ in stream:
                    assert not held, "a task group is open while the consumer has the chunk"

    @on_stage
    async def test_each_chunk_may_be_asked_for_by_another_task(self, engine: Engine) -> None:
        """Rule 5: cancel scopes are bound to the task that entered them; a stream must not be."""
        stream = engine.synthesize(self.request(engine))
        while await asyncio.create_task(next_or_none(stream)) is not None:
            pass
        await asyncio.create_task(stream.aclose())

    # --- rule 6 ---

    @on_stage
    async def test_the_event_loop_runs_while_the_engine_speaks(self, engine: Engine) -> None:
        """Rule 6: blocking work goes to a thread or a process. The best of three: machines stall too."""
        stalls_s = [await self.longest_stall_s(engine) for _ in range(3)]
        assert min(stalls_s) < 0.25, f"speaking held up the event loop for {min(stalls_s):.2f} s each time"

    # --- rule 7 ---

    @on_stage
    async def test_an_unknown_language_is_unsupported(self, engine: Engine) -> None:
        """Rule 7: `Unsupported` lets the next engine try, and hurts nobody's health."""
        if not engine.info.any_language:
            await self.is_unsupported(engine, self.request(engine, language="tlh"))

    @on_stage
    async def test_an_unknown_voice_is_unsupported(self, engine: Engine) -> None:
        """Rule 7: another voice instead is the policy's decision, not the engine's."""
        if not engine.info.any_voice:
            await self.is_unsupported(engine, self.request(engine, voice="no such voice"))

    @on_stage
    async def test_text_over_the_limit_is_unsupported(self, engine: Engine) -> None:
        """Rule 7: `info.max_chars` is a promise; text is never cut off silently."""
        if engine.info.max_chars is not None:
            text = (self.request(engine).text * (engine.info.max_chars + 1))[: engine.info.max_chars + 1]
            await self.is_unsupported(engine, self.request(engine, text=text))

    @on_stage
    async def test_odd_requests_raise_nothing_but_speech_errors(self, engine: Engine) -> None:
        """Rule 7: any other exception counts as a fault of the engine and opens its breaker."""
        word = self.request(engine).text.split()[0]
        odd: list[dict[str, Any]] = [
            {"text": text} for text in ("", "\t\n", "🙂", "e\u0301 \u200b", "<b>&amp;", "1e9", "好good")
        ]
        odd += [{"text": word, "speed": speed} for speed in (0.25, 4.0)]
        odd += [
            {"text": word, "seed": 2**63},
            {"text": word, "instructions": "whisper"},
            {"text": word, "gender": "neutral"},
        ]
        for changes in odd:
            request = self.request(engine, **changes)
            try:
                await speak_all(engine, request)
            except SpeechError:
                continue
            except Exception as error:
                raise AssertionError(f"{changes} raised {error!r}, which is no SpeechError") from error

    # --- rule 8 ---

    @on_stage
    async def test_as_many_requests_as_slots_speak_at_once(self, engine: Engine) -> None:
        """Rule 8: and none hears another's audio or loses its own."""
        request = self.request(engine)
        alone_s = seconds(await speak_all(engine, request))
        together = await finish_all(*(speak_all(engine, request) for _ in range(engine.info.slots)))
        for chunks in together:
            heard_s = seconds(chunks)
            assert alone_s / 2 < heard_s < alone_s * 2, f"{heard_s:.2f} s of audio beside others, {alone_s:.2f} s alone"

    # --- marks ---

    @on_stage
    async def test_marks_are_ordered_and_inside_the_audio(self, engine: Engine) -> None:
        """Subtitles and interruption by word rely on them."""
        chunks = await self.speaks(engine)
        total_s, marks = seconds(chunks), [mark for chunk in chunks for mark in chunk.marks]
        assert marks or not engine.info.marks, "info promises marks, and none came"
        for kind in ("word", "sentence"):
            starts = [mark.start_s for mark in marks if mark.kind == kind]
            assert starts == sorted(starts), f"{kind} marks are not in the order of time"
        for mark in marks:
            inside = 0 <= mark.start_s <= mark.end_s <= total_s + 0.001
            assert inside, f"{mark} does not lie within {total_s:.3f} s of audio"
