"""Engines that each break one rule and no other, and the test of the kit that has to notice.

Not collected by itself: `test_testing.py` runs it and compares.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from engines.contract import AudioChunk, EngineInfo, EngineKind, Mark, Options, SpeechRequest, Voice
from engines.errors import EngineFault, InvalidRequest, Unsupported
from engines.testing import EngineConformance

RATE = 8000
PCM = b"\x00\x20\x00\xe0" * 400  # 0.1 s, loud
INFO = EngineInfo(
    (Voice("one", ("en",), RATE),),
    languages=frozenset({"en"}),
    max_chars=200,
    slots=2,
    marks=True,
    version="1",
)


class Good:
    """Keeps every rule. What breaks one overrides as little as it can."""

    info = INFO

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(self.info.slots)

    async def start(self) -> None: ...
    async def check(self) -> None: ...
    async def close(self) -> None: ...

    def look(self, request: SpeechRequest) -> None:
        if not self.info.speaks(request.language) or request.voice not in ("", "one") or len(request.text) > 200:
            raise Unsupported("not with this engine")
        if not any(char.isalnum() for char in request.text):
            raise InvalidRequest("no words")

    def chunk(self, index: int, request: SpeechRequest) -> AudioChunk:
        return AudioChunk(PCM, RATE, (Mark("word", "word", index * 0.1, index * 0.1 + 0.1),))

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        self.look(request)
        async with self.slots:
            for index in range(4):
                await asyncio.sleep(0)
                yield self.chunk(index, request)


BREACHES: dict[str, tuple[str, ...]] = {}


def kit_class(engine: type[Good], options: type[Any] = Options, **of_the_kind: Any) -> type[EngineConformance]:
    fields = {"summary": "broken", "licence": "Apache-2.0"} | of_the_kind
    kind = EngineKind("broken", options, lambda instance, options: engine(), **fields)
    return type(
        f"Test{engine.__name__}", (EngineConformance,), {"kind": kind, "patience_s": 2.0, "release_within_s": 0.3}
    )


def breaks(*tests: str, **of_the_kind: Any) -> Any:
    def register(engine: type[Good]) -> type[Good]:
        made = kit_class(engine, **of_the_kind)
        globals()[made.__name__] = made
        BREACHES[made.__name__] = tests
        return engine

    return register


breaks()(Good)


# --- the kind, its options and its info ---


@breaks("test_the_kind_is_described_without_loading_it", summary="")
class WithoutSummary(Good): ...


@breaks("test_the_kind_is_described_without_loading_it", describe=lambda instance, options: {"slots": 1})
class DescribedAsDict(Good): ...


class Changeable(Options, frozen=False):
    pitch: int = 0


@breaks("test_options_are_frozen", options=Changeable)
class WithChangeableOptions(Good): ...


class Permissive(Options, extra="ignore"):
    pitch: int = 0


@breaks("test_an_option_that_does_not_exist_is_refused", options=Permissive)
class WithPermissiveOptions(Good): ...


class Forgetful(Options):
    lock: Any = None

    def model_dump_json(self, **_: Any) -> str:
        return '{"lock": 1}'


@breaks("test_options_survive_the_way_to_a_worker", options=Forgetful)
class WithForgetfulOptions(Good): ...


@breaks("test_info_is_consistent")
class WithTwinVoices(Good):
    info = replace(INFO, voices=INFO.voices * 2)


@breaks("test_info_is_consistent")
class WithAVoiceOfAnUnknownLanguage(Good):
    info = replace(INFO, voices=(Voice("one", ("en", "fr"), RATE),))


@breaks("test_info_has_a_version")
class WithoutVersion(Good):
    info = replace(INFO, version="")


# --- start, check, close ---


@breaks("test_start_may_be_called_twice")
class StartsOnce(Good):
    started = False

    async def start(self) -> None:
        if self.started:
            raise RuntimeError("already started")
        self.started = True


@breaks("test_close_may_be_called_twice")
class ClosesTwiceAtMost(Good):
    """The kit itself closes once more at the end of each test: the second call is that one, the third is not."""

    closed = 0

    async def close(self) -> None:
        self.closed += 1
        if self.closed > 1:
            raise RuntimeError("already closed")


@breaks("test_close_before_start_is_harmless")
class ClosesWhatWasNeverStarted(Good):
    async def start(self) -> None:
        self.model = object()

    async def close(self) -> None:
        assert self.model


@breaks("test_a_started_engine_passes_its_check")
class FailsItsCheck(Good):
    async def check(self) -> None:
        raise EngineFault("not well")


# --- rule 1 ---


@breaks("test_nothing_happens_before_the_first_chunk_is_asked_for")
class ReadsTheRequestEarly(Good):
    def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        len(request.text)
        return super().synthesize(request)


@breaks("test_nothing_happens_before_the_first_chunk_is_asked_for")
class BeginsATaskEarly(Good):
    def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        self.task = asyncio.ensure_future(asyncio.sleep(0.01))
        return super().synthesize(request)


@breaks("test_a_stream_that_is_never_read_holds_no_slot")
class TakesASlotEarly(Good):
    waiting = 0

    def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        self.waiting += 1
        return self.later(request, in_time=self.waiting <= self.info.slots)

    async def later(self, request: SpeechRequest, in_time: bool) -> AsyncGenerator[AudioChunk, None]:
        try:
            if not in_time:
                await asyncio.Event().wait()
            async for chunk in super().synthesize(request):
                yield chunk
        finally:
            self.waiting -= 1


# --- rule 2 ---


@breaks("test_text_without_words_gives_audio_or_an_error")
class SwallowsTextWithoutWords(Good):
    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        if any(char.isalnum() for char in request.text):
            async for chunk in super().synthesize(request):
                yield chunk


@breaks("test_speech_has_at_least_one_chunk_that_is_not_empty")
class SilentInFrench(Good):
    info = replace(INFO, languages=frozenset({"en", "fr"}))

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        if request.language != "fr":
            async for chunk in super().synthesize(request):
                yield chunk


# --- rule 3 ---


@breaks("test_a_stream_has_one_sample_rate")
class ChangesItsRate(Good):
    def chunk(self, index: int, request: SpeechRequest) -> AudioChunk:
        return replace(super().chunk(index, request), sample_rate=RATE if index < 2 else RATE - 8)


@breaks("test_the_sample_rate_is_as_declared")
class SpeaksAtAnotherRate(Good):
    info = replace(INFO, voices=(Voice("one", ("en",), 16000),))


@breaks("test_chunks_hold_whole_samples")
class CutsSamples(Good):
    def chunk(self, index: int, request: SpeechRequest) -> AudioChunk:
        pcm = (PCM[:-1], PCM + b"\x00")[index % 2]
        return replace(super().chunk(index, request), pcm=pcm)


@breaks("test_the_speech_can_be_heard")
class Silent(Good):
    def chunk(self, index: int, request: SpeechRequest) -> AudioChunk:
        return replace(super().chunk(index, request), pcm=bytes(len(PCM)))


# --- rule 4 ---


class Leaky(Good):
    """Takes a slot and gives it back by hand, as `leaks` says."""

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        self.look(request)
        await self.slots.acquire()
        index, cancelled = -1, False
        try:
            await asyncio.sleep(0)
            for index in range(4):
                yield self.chunk(index, request)
            index = 4
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            if not self.leaks(index, cancelled):
                self.slots.release()

    def leaks(self, index: int, cancelled: bool) -> bool:
        return False


breaks()(Leaky)


@breaks("test_closing_at_the_first_chunk_releases_the_slot")
class LeaksAtTheFirstChunk(Leaky):
    def leaks(self, index: int, cancelled: bool) -> bool:
        return index == 0


@breaks("test_closing_in_the_middle_releases_the_slot")
class LeaksInTheMiddle(Leaky):
    def leaks(self, index: int, cancelled: bool) -> bool:
        return 0 < index < 4


@breaks("test_cancelling_the_wait_for_the_first_chunk_releases_the_slot")
class LeaksWhenCancelled(Leaky):
    def leaks(self, index: int, cancelled: bool) -> bool:
        return cancelled


@breaks("test_a_closed_stream_gives_nothing_more")
class GivesMoreAfterClosing(Good):
    """An iterator of its own making, which forgets that it was closed."""

    def synthesize(self, request: SpeechRequest) -> Any:
        stream = super().synthesize(request)
        chunk = self.chunk(0, request)

        class Stream:
            closed = False

            def __aiter__(self) -> Any:
                return self

            async def __anext__(self) -> AudioChunk:
                return chunk if self.closed else await anext(stream)

            async def aclose(self) -> None:
                self.closed = True
                await stream.aclose()

        return Stream()


@breaks("test_no_task_outlives_its_stream")
class LeavesATask(Good):
    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        task = asyncio.ensure_future(asyncio.sleep(3600))
        async for chunk in super().synthesize(request):
            yield chunk
        task.cancel()


# --- rule 5 ---


@breaks("test_a_consumer_may_pause_for_an_hour")
class HoldsATimeout(Good):
    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        async with asyncio.timeout(30):
            async for chunk in super().synthesize(request):
                yield chunk


@breaks("test_no_task_group_is_held_across_a_chunk")
class HoldsATaskGroup(Good):
    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        group = await asyncio.TaskGroup().__aenter__()
        try:
            async for chunk in super().synthesize(request):
                yield chunk
        finally:
            await group.__aexit__(None, None, None)  # `async with` would break most other rules besides


@breaks("test_each_chunk_may_be_asked_for_by_another_task")
class IsBoundToItsFirstTask(Good):
    """As a cancel scope of anyio is."""

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        first = asyncio.current_task()
        async for chunk in super().synthesize(request):
            yield chunk
            if asyncio.current_task() is not first:
                raise RuntimeError("exited in another task than it was entered in")


# --- rule 6 ---


@breaks("test_the_event_loop_runs_while_the_engine_speaks")
class BlocksTheLoop(Good):
    """Only where another task would want to run: the rest of the kit need not wait for it."""

    def chunk(self, index: int, request: SpeechRequest) -> AudioChunk:
        if index == 3 and len(asyncio.all_tasks()) > 2:
            time.sleep(0.3)
        return super().chunk(index, request)


# --- rule 7 ---


@breaks("test_an_unknown_language_is_unsupported")
class SpeaksAnyLanguageBadly(Good):
    def look(self, request: SpeechRequest) -> None:
        super().look(replace(request, language="en"))


@breaks("test_an_unknown_voice_is_unsupported")
class TakesAnyVoice(Good):
    def look(self, request: SpeechRequest) -> None:
        super().look(replace(request, voice=""))


@breaks("test_text_over_the_limit_is_unsupported")
class CutsLongText(Good):
    def look(self, request: SpeechRequest) -> None:
        super().look(replace(request, text=request.text[:200]))


@breaks("test_odd_requests_raise_nothing_but_speech_errors")
class StumblesOverEmoji(Good):
    def look(self, request: SpeechRequest) -> None:
        request.text.encode("gb2312", errors="strict" if "🙂" in request.text else "ignore")
        super().look(request)


# --- rule 8 ---


@breaks("test_as_many_requests_as_slots_speak_at_once")
class DropsAudioBesideOthers(Good):
    """Two at once share a buffer: what one takes, the other misses."""

    speaking = 0

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        self.speaking += 1
        try:
            async for chunk in super().synthesize(request):
                yield chunk
                if self.speaking > 1:
                    return
        finally:
            self.speaking -= 1


# --- marks ---


@breaks("test_marks_are_ordered_and_inside_the_audio")
class MarksBackwards(Good):
    def chunk(self, index: int, request: SpeechRequest) -> AudioChunk:
        return replace(super().chunk(index, request), marks=(Mark("word", "word", 0.3 - index / 10, 0.4),))


@breaks("test_marks_are_ordered_and_inside_the_audio")
class MarksBeyondTheEnd(Good):
    def chunk(self, index: int, request: SpeechRequest) -> AudioChunk:
        return replace(super().chunk(index, request), marks=(Mark("word", "word", index, index + 1),))
