"""Failover: the next engine goes on, each clause is heard exactly once, and a cut never looks whole."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from dataclasses import replace

import pytest

from engines.contract import AudioChunk, Mark, SpeechRequest
from engines.errors import (
    Busy,
    EngineFault,
    Interrupted,
    InvalidRequest,
    Refused,
    SpeechError,
    Throttled,
    Unavailable,
    Unsupported,
)
from engines.slots import Slots
from gateway.failover import Failover
from gateway.guards import Allowance, Guarded
from gateway.health.board import Board
from gateway.health.line import Visit
from gateway.record import Making
from gateway.refusals import NoEngine, OutOfTime
from gateway.text.script import Clause, Script
from policies.policy import Terms
from policies.types import Plan, Skip, Step
from tests.engines_at_hand import Scripted, chunk
from tests.virtual import VirtualClock, run


class Hearing:
    """What was heard of a speech, and what was recorded."""

    def __init__(self, engines: dict[str, Scripted], clauses: int = 1, skipped: tuple[Skip, ...] = (), **terms: object):
        self.engines = engines
        board = Board(VirtualClock())
        guarded = {}
        for name, engine in engines.items():
            row = board.add(name, Slots(1, 1))
            row.set_state("up")
            guarded[name] = Guarded(engine, row)
        steps = tuple(Step(name, "", None, "listed") for name in engines)
        plan = Plan("rule", steps, skipped, tuple(engines), Terms(**terms))  # type: ignore[arg-type]
        script = Script(tuple(Clause(f"clause {n}", "en") for n in range(clauses)), 8, ("en",), 1.0)
        self.making = Making()
        self.allowance = Allowance(math.inf)
        self.failover = Failover(
            plan, script, guarded, lambda _, clause: SpeechRequest(clause.text, "en"), self.making, lambda: 0.0,
            self.allowance, self.returns,
        )  # fmt: skip
        self.heard: list[tuple[str, int]] = []
        self.comes_back = False
        self.waited_for: list[tuple[str, float]] = []

    async def returns(self, engine: str, within_s: float) -> bool:
        self.waited_for.append((engine, within_s))
        return self.comes_back

    async def listen(self) -> None:
        async with aclosing(self.failover.speak()) as audio:
            async for spoken in audio:
                chunks = len(spoken.chunk.pcm) // len(chunk().pcm)  # as the engine gave them: all of 20 ms
                self.heard += [(spoken.engine, spoken.clause)] * chunks

    def all(self) -> list[tuple[str, int]]:
        run(self.listen())
        self.must_be_released()
        return self.heard

    def broken(self, error: type[SpeechError]) -> SpeechError:
        with pytest.raises(error) as caught:
            run(self.listen())
        self.must_be_released()
        return caught.value

    def must_be_released(self) -> None:
        assert [engine.open for engine in self.engines.values()] == [0] * len(self.engines)


GOOD = [chunk(), chunk()]


def test_the_first_engine_speaks_all_clauses() -> None:
    hearing = Hearing({"a": Scripted(GOOD), "b": Scripted(GOOD)}, clauses=3)
    assert hearing.all() == [("a", n) for n in (0, 0, 1, 1, 2, 2)]
    assert hearing.making.clause_engines == ["a", "a", "a"]
    assert not hearing.engines["b"].requests


def test_a_finished_clause_is_released_as_one_chunk_with_all_its_marks() -> None:
    marks = [Mark("word", "a", 0, 0.02), Mark("word", "b", 0.02, 0.04)]
    hearing = Hearing({"a": Scripted([replace(chunk(), marks=(mark,)) for mark in marks])})

    async def released() -> list[AudioChunk]:
        async with aclosing(hearing.failover.speak()) as audio:
            return [spoken.chunk async for spoken in audio]

    (one,) = run(released())
    assert one.pcm == chunk().pcm * 2
    assert list(one.marks) == marks


@pytest.mark.parametrize("error", [Unavailable("gone"), EngineFault("broke"), Busy("full"), Unsupported("no")])
def test_the_next_engine_speaks_when_the_first_refuses(error: SpeechError) -> None:
    hearing = Hearing({"a": Scripted([error]), "b": Scripted(GOOD)}, retries=0)
    assert hearing.all() == [("b", 0), ("b", 0)]
    assert [(one.engine, one.error) for one in hearing.making.attempts] == [("a", error.code), ("b", "")]


def test_an_engine_that_hangs_is_left_after_the_rules_time() -> None:
    hearing = Hearing({"a": Scripted([1000.0]), "b": Scripted(GOOD)}, first_audio_ms=2000)
    assert hearing.all() == [("b", 0), ("b", 0)]
    assert hearing.making.attempts[0].error == "deadline_exceeded"


def test_an_unfinished_clause_is_spoken_whole_by_the_next_engine_and_nothing_is_heard_twice() -> None:
    dying = Scripted(GOOD, [chunk(), EngineFault("died")])
    hearing = Hearing({"a": dying, "b": Scripted(GOOD)}, clauses=3)
    assert hearing.all() == [("a", 0), ("a", 0), ("b", 1), ("b", 1), ("b", 2), ("b", 2)]
    assert hearing.making.clause_engines == ["a", "b", "b"]
    assert len(dying.requests) == 2  # a fault after audio is not tried again on the same engine


def test_a_stream_that_ends_without_audio_is_a_failure() -> None:
    hearing = Hearing({"a": Scripted([]), "b": Scripted(GOOD)}, retries=0)
    assert hearing.all() == [("b", 0), ("b", 0)]


def test_newcomers_that_fill_the_queue_do_not_cut_a_speech_that_has_begun() -> None:
    hearing = Hearing({"a": Scripted([0.1, chunk()])}, clauses=3)
    slots, attempt = hearing.failover.engines["a"].slots, hearing.failover.engines["a"].attempt

    async def newcomer() -> None:
        async with aclosing(
            attempt(9, 9, Allowance(math.inf), Visit()).synthesize(SpeechRequest("new", "en"))
        ) as chunks:
            assert [one async for one in chunks] == [chunk()]

    async def listen() -> None:
        newcomers = []
        async with aclosing(hearing.failover.speak()) as audio:
            async for spoken in audio:
                hearing.heard.append((spoken.engine, spoken.clause))
                while not slots.full:
                    newcomers.append(asyncio.create_task(newcomer()))
                    await asyncio.sleep(0)
        await asyncio.gather(*newcomers)

    run(listen())
    assert hearing.heard == [("a", 0), ("a", 1), ("a", 2)]
    hearing.must_be_released()


def test_under_abort_audio_comes_as_it_is_made_and_a_failure_breaks_off() -> None:
    dying = Scripted([chunk(), EngineFault("died")])
    hearing = Hearing({"a": dying, "b": Scripted(GOOD)}, on_interruption="abort")
    assert "died" in hearing.broken(Interrupted).message
    assert hearing.heard == [("a", 0)]


def test_under_abort_a_failure_between_clauses_breaks_off_too() -> None:
    hearing = Hearing({"a": Scripted(GOOD, [Unavailable("gone")]), "b": Scripted(GOOD)}, 2, on_interruption="abort")
    hearing.broken(Interrupted)
    assert hearing.heard == [("a", 0), ("a", 0)]


def test_under_abort_the_next_engine_may_begin() -> None:
    hearing = Hearing({"a": Scripted([Unavailable("gone")]), "b": Scripted(GOOD)}, on_interruption="abort", retries=0)
    assert hearing.all() == [("b", 0), ("b", 0)]


def test_a_speech_that_nobody_can_finish_is_interrupted_never_ended() -> None:
    hearing = Hearing({"a": Scripted(GOOD, [EngineFault("died")])}, clauses=2)
    hearing.broken(Interrupted)
    assert hearing.heard == [("a", 0), ("a", 0)]


def test_retries_are_on_the_same_engine_before_any_audio() -> None:
    flaky = Scripted([Unavailable("hiccup")], GOOD)
    assert Hearing({"a": flaky, "b": Scripted(GOOD)}, retries=1).all() == [("a", 0), ("a", 0)]
    twice = Scripted([Unavailable("hiccup")], [Unavailable("hiccup")], GOOD)
    assert Hearing({"a": twice, "b": Scripted(GOOD)}, retries=1).all() == [("b", 0), ("b", 0)]


def test_the_last_engine_is_waited_for_while_it_is_started_again() -> None:
    dying = Scripted(GOOD, [chunk(), EngineFault("died")], GOOD)
    hearing = Hearing({"a": dying}, clauses=3)
    hearing.comes_back = True
    assert hearing.all() == [("a", n) for n in (0, 0, 1, 1, 2, 2)]
    assert hearing.waited_for == [("a", 8.0)]


def test_the_last_engine_is_waited_for_once_only() -> None:
    hearing = Hearing({"a": Scripted([EngineFault("dies again and again")])}, retries=0)
    hearing.comes_back = True
    hearing.broken(NoEngine)
    assert len(hearing.engines["a"].requests) == 2


def test_nobody_is_waited_for_while_another_engine_can_speak() -> None:
    hearing = Hearing({"a": Scripted([Unavailable("gone")]), "b": Scripted(GOOD)}, retries=0)
    hearing.comes_back = True
    assert hearing.all() == [("b", 0), ("b", 0)]
    assert hearing.waited_for == []


@pytest.mark.parametrize(
    "error", [Busy("full"), Throttled("quota"), Unsupported("no"), Unavailable("its key is wrong", retry_after_s=300)]
)
def test_what_trying_again_cannot_mend_is_not_retried(error: SpeechError) -> None:
    hearing = Hearing({"a": Scripted([error], GOOD), "b": Scripted(GOOD)}, retries=3)
    assert hearing.all() == [("b", 0), ("b", 0)]
    assert [attempt.engine for attempt in hearing.making.attempts] == ["a", "b"]


def test_a_bad_request_goes_to_no_other_engine() -> None:
    second = Scripted(GOOD)
    Hearing({"a": Scripted([InvalidRequest("nonsense")]), "b": second}).broken(InvalidRequest)
    assert not second.requests


def test_refused_text_goes_on_only_when_the_policy_allows() -> None:
    Hearing({"a": Scripted([Refused("no")]), "b": Scripted(GOOD)}).broken(Refused)
    allowed = Hearing({"a": Scripted([Refused("no")]), "b": Scripted(GOOD)}, allow_refused_fallback=True)
    assert allowed.all() == [("b", 0), ("b", 0)]


def test_time_that_is_over_stops_the_whole_request() -> None:
    second = Scripted(GOOD)
    hearing = Hearing({"a": Scripted([5.0, chunk()]), "b": second})
    hearing.allowance.seconds = 1.0
    hearing.broken(OutOfTime)
    assert not second.requests


@pytest.mark.parametrize(
    ("errors", "status", "code", "again"),
    [
        ([Unsupported("a"), Unsupported("b")], 400, "unsupported", False),
        ([Busy("a", retry_after_s=3), Busy("b", retry_after_s=2)], 503, "busy", True),
        ([Unavailable("a"), Throttled("b", retry_after_s=9)], 503, "busy", True),
        ([Unavailable("a"), EngineFault("b")], 502, "engine_fault", False),
        ([EngineFault("a"), Unsupported("b")], 502, "engine_fault", False),
        ([Unavailable("a"), Unavailable("b")], 503, "unavailable", False),
    ],
)
def test_when_all_have_failed_the_error_says_why_and_whether_to_come_back(
    errors: list[SpeechError], status: int, code: str, again: bool
) -> None:
    engines = {name: Scripted([error]) for name, error in zip("ab", errors, strict=True)}
    error = Hearing(engines, retries=0).broken(NoEngine)
    assert (error.status, error.code, error.client_may_retry) == (status, code, again)
    assert all(one.message in error.message for one in errors)


def test_the_parameter_that_no_engine_likes_is_named() -> None:
    engines = {name: Scripted([Unsupported("no such voice", param="voice")]) for name in "ab"}
    assert Hearing(engines).broken(NoEngine).param == "voice"


def test_a_plan_without_steps_tells_its_skips() -> None:
    skip = Skip("a", "unsupported", "a does not speak xx")
    error = Hearing({}, skipped=(skip,)).broken(NoEngine)
    assert error.status == 400
    assert "does not speak xx" in error.message
    down = Skip("b", "down", "down since 12:00")
    assert Hearing({}, skipped=(skip, down)).broken(NoEngine).status == 503


def test_an_engine_that_cannot_speak_one_clause_is_asked_for_the_others() -> None:
    picky = Scripted(GOOD, [Unsupported("no kanji")], GOOD)
    hearing = Hearing({"a": picky, "b": Scripted(GOOD)}, clauses=3)
    assert hearing.all() == [("a", 0), ("a", 0), ("b", 1), ("b", 1), ("a", 2), ("a", 2)]
    assert [(one.engine, one.error) for one in hearing.making.attempts] == [
        ("a", ""), ("a", "unsupported"), ("b", ""), ("a", ""),
    ]  # fmt: skip


def test_an_engine_that_failed_is_asked_for_no_other_clause() -> None:
    failing = Scripted(GOOD, [EngineFault("broke")], GOOD)
    hearing = Hearing({"a": failing, "b": Scripted(GOOD)}, clauses=3, retries=0)
    assert hearing.all() == [("a", 0), ("a", 0), ("b", 1), ("b", 1), ("b", 2), ("b", 2)]


def test_time_that_was_spent_waiting_for_a_return_is_over_not_unavailable() -> None:
    hearing = Hearing({"a": Scripted([Unavailable("gone")])}, retries=0)
    hearing.allowance.seconds = 0.0

    async def never(engine: str, within_s: float) -> bool:
        return False

    hearing.failover.returns = never
    assert hearing.broken(OutOfTime).status == 504


@pytest.mark.parametrize(
    ("skip", "code", "after_s"),
    [
        (Skip("b", "down", "after 5 faults", back_in_s=7.0), "unavailable", 7.0),
        (Skip("b", "down", "for long", back_in_s=100.0), "unavailable", None),
        (Skip("b", "down", "for good"), "unavailable", None),
        (Skip("b", "cooling", "quota", back_in_s=50.0), "busy", 50.0),
        (Skip("b", "busy", "8 queued", back_in_s=2.5), "busy", 2.5),
        (Skip("b", "too_slow", "9 s in the queue", back_in_s=1.5), "busy", 1.5),
        (Skip("b", "too_slow", "9 s for the whole text"), "too_slow", None),
        (Skip("b", "paused", "paused"), "unavailable", None),
    ],
)
def test_what_time_will_mend_is_worth_coming_back_for(skip: Skip, code: str, after_s: float | None) -> None:
    error = Hearing({}, skipped=(skip,)).broken(NoEngine)
    assert (error.status, error.code, error.retry_after_s, error.client_may_retry) == (
        503, code, after_s, after_s is not None,
    )  # fmt: skip


def test_the_first_engine_to_be_back_says_when() -> None:
    skips = (Skip("b", "down", "broke", back_in_s=9.0), Skip("c", "busy", "full", back_in_s=3.0))
    failed = Scripted([Unavailable("open breaker", retry_after_s=5.0)])
    assert Hearing({"a": failed}, skipped=skips, retries=0).broken(NoEngine).retry_after_s == 3.0


# --- hedging ---


def outcomes(hearing: Hearing) -> list[tuple[str, str]]:
    return [(one.engine, one.error) for one in hearing.making.attempts]


def test_a_quick_first_engine_is_not_hedged() -> None:
    hearing = Hearing({"a": Scripted([0.5, *GOOD]), "b": Scripted(GOOD)}, hedge_after_ms=1000)
    assert hearing.all() == [("a", 0), ("a", 0)]
    assert not hearing.engines["b"].requests


@pytest.mark.parametrize("on_interruption", ["continue", "abort"])
def test_the_next_engine_speaks_when_it_is_heard_before_a_silent_first(on_interruption: str) -> None:
    hearing = Hearing(
        {"a": Scripted([60.0, *GOOD]), "b": Scripted([1.0, *GOOD])},
        clauses=2, hedge_after_ms=500, on_interruption=on_interruption,
    )  # fmt: skip
    assert hearing.all() == [("b", 0), ("b", 0), ("b", 1), ("b", 1)]
    assert outcomes(hearing) == [("a", "hedged"), ("b", ""), ("b", "")]
    assert hearing.making.attempts[0].message == "b gave audio first"
    rows = [guarded.row for guarded in hearing.failover.engines.values()]
    assert [row.breaker.faults for row in rows] == [0, 0]
    assert [row.slots.busy for row in rows] == [0, 0]


def test_only_what_is_not_heard_yet_is_hedged() -> None:
    slow = Scripted(GOOD, [3.0, *GOOD])
    hearing = Hearing({"a": slow, "b": Scripted(GOOD)}, clauses=2, hedge_after_ms=500)
    assert hearing.all() == [("a", 0), ("a", 0), ("a", 1), ("a", 1)]
    assert not hearing.engines["b"].requests


def test_an_outrun_engine_goes_on_when_the_quicker_one_fails() -> None:
    quick = Scripted([0.5, *GOOD], [EngineFault("broke")])
    hearing = Hearing({"a": Scripted([60.0], GOOD), "b": quick}, clauses=2, hedge_after_ms=500, retries=0)
    assert hearing.all() == [("b", 0), ("b", 0), ("a", 1), ("a", 1)]


def test_a_hedge_takes_no_place_in_a_line() -> None:
    hearing = Hearing({"a": Scripted([3.0, *GOOD]), "b": Scripted(GOOD)}, hedge_after_ms=500)
    full = hearing.failover.engines["b"].slots

    async def listen() -> None:
        async with full:
            await hearing.listen()

    run(listen())
    assert hearing.heard == [("a", 0), ("a", 0)]
    assert outcomes(hearing) == [("a", ""), ("b", "busy")]


def test_an_engine_that_was_full_for_a_hedge_is_waited_for_when_the_first_has_failed() -> None:
    hearing = Hearing({"a": Scripted([3.0, EngineFault("broke")]), "b": Scripted(GOOD)}, retries=0, hedge_after_ms=500)
    full = hearing.failover.engines["b"].slots

    async def listen() -> None:
        async with full:
            listening = asyncio.create_task(hearing.listen())
            await asyncio.sleep(4)
        await listening

    run(listen())
    assert hearing.heard == [("b", 0), ("b", 0)]
    assert outcomes(hearing) == [("a", "engine_fault"), ("b", "busy"), ("b", "")]


def test_a_first_engine_that_fails_during_the_race_is_not_tried_again() -> None:
    hearing = Hearing({"a": Scripted([2.0, EngineFault("broke")]), "b": Scripted([5.0, *GOOD])}, hedge_after_ms=500)
    assert hearing.all() == [("b", 0), ("b", 0)]
    assert outcomes(hearing) == [("a", "engine_fault"), ("b", "")]


def test_a_first_engine_that_fails_before_the_race_is_tried_again_as_ever() -> None:
    hearing = Hearing({"a": Scripted([EngineFault("hiccup")], GOOD), "b": Scripted(GOOD)}, hedge_after_ms=500)
    assert hearing.all() == [("a", 0), ("a", 0)]


def test_a_race_that_both_lose_leaves_the_third() -> None:
    broken = [2.0, EngineFault("broke")]
    hearing = Hearing({"a": Scripted(broken), "b": Scripted(broken), "c": Scripted(GOOD)}, hedge_after_ms=1000)
    assert hearing.all() == [("c", 0), ("c", 0)]
    assert outcomes(hearing) == [("a", "engine_fault"), ("b", "engine_fault"), ("c", "")]


def test_a_race_costs_the_requests_time_once() -> None:
    hearing = Hearing({"a": Scripted([60.0]), "b": Scripted([2.0, chunk(), 3.0, chunk()])}, hedge_after_ms=1000)
    hearing.allowance.seconds = 30.0

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        since = loop.time()
        hearing.failover.elapsed_s = lambda: loop.time() - since
        await hearing.listen()

    run(listen())
    assert hearing.allowance.seconds == pytest.approx(30 - 1 - 2 - 3)


@pytest.mark.parametrize("after_s", [0.2, 1.5, 2.5])
def test_a_listener_that_leaves_a_race_leaves_nothing_open(after_s: float) -> None:
    hearing = Hearing(
        {"a": Scripted([60.0]), "b": Scripted([2.0, chunk(), 60.0])}, hedge_after_ms=500, on_interruption="abort"
    )

    async def leave() -> None:
        before = asyncio.all_tasks()
        task = asyncio.create_task(hearing.listen())
        await asyncio.sleep(after_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == before

    run(leave())
    hearing.must_be_released()
    assert [one.row.slots.busy for one in hearing.failover.engines.values()] == [0, 0]


def test_a_listener_that_leaves_closes_the_engine() -> None:
    hearing = Hearing({"a": Scripted([chunk(), 100.0, chunk()])}, on_interruption="abort")

    async def leave() -> None:
        audio = hearing.failover.speak()
        await anext(audio)
        await audio.aclose()

    run(leave())
    hearing.must_be_released()
