"""Equal requests at the same time, in one process: one making, heard by all, whoever comes, leaves or fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType

import pytest

from engines.contract import AudioChunk
from engines.errors import EngineFault, Interrupted, SpeechError, Unavailable
from gateway.cache import Clip
from gateway.flight import flight, flights
from gateway.pipeline import speak
from gateway.record import Served
from gateway.refusals import NoEngine, OutOfTime
from gateway.runtime import Runtime
from tests.engines_at_hand import Scripted, chunk
from tests.gateway.conftest import POLICIES, Bench
from tests.redis_at_hand import until

from .conftest import TEXT, Client, Paced, client, nothing_left

PIECE = len(chunk().pcm)


def spoken(*values: int) -> bytes:
    return b"".join(chunk(value=value).pcm for value in values)


async def crowd(runtime: Runtime, count: int, **more: object) -> tuple[list[Client], list[asyncio.Task[bytes]]]:
    """So many equal requests at once, the first of which began the making."""
    clients = [client(runtime, f"client {number}", **more) for number in range(count)]
    tasks = [one.start() for one in clients]
    await asyncio.sleep(0)
    return clients, tasks


# --- one making ---


async def test_equal_requests_at_once_cost_one_synthesis(bench: Bench) -> None:
    engine = Scripted([chunk(value=1)], [chunk(value=2)], [chunk(value=3)])
    runtime = await bench.runtime({"a": engine})
    clients, tasks = await crowd(runtime, 20)
    assert set(await asyncio.gather(*tasks)) == {spoken(1, 2, 3)}
    assert len(engine.requests) == 3  # one for each sentence
    records = [await one.record() for one in clients]
    assert [one.cache for one in records] == ["miss"] + ["follow"] * 19
    assert {(one.outcome, one.engine, one.engine_voice, one.bytes_out) for one in records} == {
        ("complete", "a", "a-voice", 3 * PIECE)
    }
    assert [one.audio_s for one in records] == [pytest.approx(0.06)] * 20
    assert [len(one.attempts) for one in records] == [3] + [0] * 19
    assert all(one.clause_engines == ["a", "a", "a"] for one in records)
    await nothing_left(runtime, engine)


async def test_exactly_one_record_is_billed(bench: Bench) -> None:
    engine = Scripted()
    runtime = await bench.runtime({"a": engine}, each=", cost_per_1k_chars: 1000")
    told: list[Served] = []
    runtime.listeners.append(told.append)
    _, tasks = await crowd(runtime, 5)
    await asyncio.gather(*tasks)
    assert sorted(one.cost for one in told) == [0, 0, 0, 0, pytest.approx(len(TEXT) - 2)]  # spaces between sentences


async def test_followers_hear_the_audio_while_it_is_made(bench: Bench, paced: Paced) -> None:
    runtime = await bench.runtime({"a": paced})
    clients, tasks = await crowd(runtime, 3)
    for one in clients:
        await one.begun.wait()
    late = client(runtime, "a latecomer")
    tasks.append(late.start())
    await late.begun.wait()
    assert paced.waiting.is_set()
    assert not any(task.done() for task in tasks)
    assert [b"".join(one.pieces) for one in (*clients, late)] == [chunk().pcm] * 4
    paced.go.set()
    assert set(await asyncio.gather(*tasks)) == {chunk().pcm * 3}
    assert len(paced.requests) == 3
    await nothing_left(runtime, paced)


async def test_whole_replies_and_streams_hear_the_same_making(bench: Bench, paced: Paced) -> None:
    runtime = await bench.runtime({"a": paced})
    streams = client(runtime, "stream").start()
    reply = asyncio.create_task(speak(client(runtime, "", stream=False).request, runtime, "whole"))
    await paced.waiting.wait()
    paced.go.set()
    assert await (await reply).whole() == await streams
    assert len(paced.requests) == 3


async def test_what_came_through_another_gateway_neither_leads_nor_follows(bench: Bench) -> None:
    """Two gateways that are each other's engines would wait for one another. A clip that is there does wait."""
    engine = Paced(free=0)
    runtime = await bench.runtime({"a": engine})
    ways = ((), ("voxgate-1",), ("voxgate-1",))
    tasks = [client(runtime, f"{n}", via=via).start() for n, via in enumerate(ways)]
    await until(lambda: engine.open == 3)
    engine.go.set()
    assert len({*await asyncio.gather(*tasks)}) == 1
    assert [(await runtime.outcomes.get(f"{n}")).cache for n in range(3)] == ["miss"] * 3  # type: ignore[union-attr]
    assert {request.via for request in engine.requests} == set(ways)
    late = client(runtime, "late", via=("voxgate-2",))
    await late.hear()
    assert (await late.record()).cache == "hit"
    await nothing_left(runtime, engine)


async def test_a_bypass_neither_leads_nor_follows(bench: Bench) -> None:
    engine = Paced(free=0)
    runtime = await bench.runtime({"a": engine})
    tasks = [client(runtime, f"{n}", cache=cache).start() for n, cache in enumerate(("use", "bypass", "bypass"))]
    await until(lambda: engine.open == 3)
    engine.go.set()
    await asyncio.gather(*tasks)
    assert len(engine.requests) == 9
    assert [(await runtime.outcomes.get(f"{n}")).cache for n in range(3)] == ["miss", "bypass", "bypass"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "b"},
        {"tenant": "a", "speed": 2.0},
        {"tenant": "a", "seed": 3},
        {"tenant": "a", "format": "wav"},
        {"tenant": "a", "sample_rate": 16000},
        {"tenant": "a", "voice": "a:another"},
        {"tenant": "a", "model": "a"},
        {"tenant": "a", "deadline_ms": 60_000},
        {"tenant": "a", "allowed_engines": frozenset({"a"})},
    ],
)
async def test_what_might_end_otherwise_is_made_on_its_own(bench: Bench, other: dict[str, object]) -> None:
    engine = Paced(free=0)
    runtime = await bench.runtime({"a": engine}, gateway="cache: {scope: key}\n")
    tasks = [client(runtime, name, **more).start() for name, more in (("one", {"tenant": "a"}), ("other", other))]
    await until(lambda: engine.open == 2)
    engine.go.set()
    await asyncio.gather(*tasks)
    assert len(engine.requests) == 6


async def test_a_text_that_is_too_long_to_be_kept_is_made_for_one_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.decision.KEPT_BYTES", 1000)
    engine = Scripted()
    runtime = await bench.runtime({"a": engine})
    _, tasks = await crowd(runtime, 2)
    await asyncio.gather(*tasks)
    assert len(engine.requests) == 6


class Slow:
    """A store behind the memory that answers when it is told to: it has nothing."""

    def __init__(self) -> None:
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def first(self, keys: Sequence[str]) -> tuple[int, Clip] | None:
        self.asked.set()
        await self.answer.wait()
        return None

    async def put(self, key: str, clip: Clip) -> None: ...

    async def aclose(self) -> None: ...


async def test_a_speech_that_lands_while_a_newcomer_looks_for_its_clip_is_not_made_again(bench: Bench) -> None:
    engine = Scripted()
    runtime = await bench.runtime({"a": engine})
    slow = Slow()
    runtime.cache._behind = slow
    newcomer = client(runtime, "newcomer")
    task = newcomer.start()
    await slow.asked.wait()
    runtime.cache._behind = None
    made = await client(runtime, "first").hear()
    slow.answer.set()
    assert await task == made
    assert (await newcomer.record()).cache == "hit"
    assert len(engine.requests) == 3
    await nothing_left(runtime, engine)


# --- who leaves ---


async def leave(task: asyncio.Task[bytes]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("free", [0, 1])
async def test_the_leaders_leaving_takes_nothing_from_the_others(bench: Bench, free: int) -> None:
    engine = Paced([chunk(value=1)], [chunk(value=2)], [chunk(value=3)], free=free)
    runtime = await bench.runtime({"a": engine})
    told: list[Served] = []
    runtime.listeners.append(told.append)
    clients, tasks = await crowd(runtime, 3)
    await engine.waiting.wait()
    await leave(tasks[0])
    assert told == []  # what is made for the others is still on its account
    engine.go.set()
    assert await asyncio.gather(*tasks[1:]) == [spoken(1, 2, 3)] * 2
    assert len(engine.requests) == 3
    await nothing_left(runtime, engine)
    records = {one.request_id: one for one in told}
    assert [records[one.name].outcome for one in clients] == ["cancelled", "complete", "complete"]
    assert [len(records[one.name].attempts) for one in clients] == [3, 0, 0]


async def test_the_last_who_leaves_stops_the_engine(bench: Bench, paced: Paced) -> None:
    runtime = await bench.runtime({"a": paced})
    clients, tasks = await crowd(runtime, 3)
    await paced.waiting.wait()
    for task in tasks[:2]:
        await leave(task)
    assert paced.open == 1
    await leave(tasks[2])
    assert paced.open == 0
    assert [(await one.record()).outcome for one in clients] == ["cancelled"] * 3
    await nothing_left(runtime, paced)
    paced.go.set()
    assert await client(runtime, "later").hear() == chunk().pcm * 3  # nothing of it is left in anybody's way


async def test_a_leader_who_leaves_while_it_waits_for_an_engine_is_followed_by_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Scripted()
    runtime = await bench.runtime({"a": engine})
    runtime.board.row("a").set_state("down", "its process ended")
    waiting, back = list[asyncio.Event](), asyncio.Event()

    async def returns(self: object, names: object, within_s: float) -> bool:
        waiting.append(asyncio.Event())
        await back.wait()
        runtime.board.row("a").set_state("up")
        return True

    monkeypatch.setattr("gateway.era.Era.somebody_returns", returns)
    clients, tasks = await crowd(runtime, 3)
    await until(lambda: len(waiting) == 1)
    await leave(tasks[0])
    await until(lambda: len(waiting) == 2)
    back.set()
    assert await asyncio.gather(*tasks[1:]) == [chunk().pcm * 3] * 2
    assert sorted([(await one.record()).cache for one in clients[1:]]) == ["follow", "miss"]
    assert len(engine.requests) == 3
    await nothing_left(runtime, engine)


async def test_what_the_server_cuts_short_is_no_departure(bench: Bench, paced: Paced) -> None:
    runtime = await bench.runtime({"a": paced})
    for amid in (False, True):
        paced.free = int(amid)
        paced.waiting.clear()
        request_id = f"drained {amid}"
        reply = asyncio.create_task(speak(client(runtime, "").request, runtime, request_id, departed=lambda: False))
        await paced.waiting.wait()
        if amid:
            await (await reply).aclose()
        else:
            reply.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reply
        record = await runtime.outcomes.get(request_id)
        assert record is not None
        assert (record.outcome, record.error) == ("interrupted", "interrupted")
    await nothing_left(runtime, paced)


async def test_a_gateway_that_stops_leaves_nobody_hanging(bench: Bench, paced: Paced) -> None:
    runtime = await bench.runtime({"a": paced})
    clients, tasks = await crowd(runtime, 2)
    for one in clients:
        await one.begun.wait()
    early = client(runtime, "early", "Another text.")
    tasks.append(early.start())
    await until(lambda: paced.open == 2)
    await runtime.flights.aclose()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [Interrupted, Interrupted, Unavailable]
    await nothing_left(runtime, paced)


# --- what fails ---


async def test_an_engine_that_fails_half_way_is_replaced_for_everybody(bench: Bench) -> None:
    dying = Paced([chunk(value=1)], [chunk(value=9), EngineFault("died")])
    policies = POLICIES + "defaults: {retries: 0}\n"
    runtime = await bench.runtime({"a": dying, "b": Scripted([chunk(value=2)])}, policies=policies)
    clients, tasks = await crowd(runtime, 3)
    for one in clients:
        await one.begun.wait()
    dying.go.set()
    assert set(await asyncio.gather(*tasks)) == {spoken(1, 2, 2)}
    records = [await one.record() for one in clients]
    assert {tuple(one.clause_engines) for one in records} == {("a", "b", "b")}
    later = client(runtime, "later")
    await later.hear()
    assert (await later.record()).cache == "miss"  # a clip of two engines is not kept
    await nothing_left(runtime, dying)


async def test_an_engine_that_breaks_off_breaks_all_off(bench: Bench) -> None:
    engine = Paced([chunk(value=1)], [EngineFault("died")])
    runtime = await bench.runtime({"a": engine})
    clients, tasks = await crowd(runtime, 3)
    for one in clients:
        await one.begun.wait()
    engine.go.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [Interrupted] * 3
    assert [(await one.record()).outcome for one in clients] == ["interrupted"] * 3
    await nothing_left(runtime, engine)


async def test_all_are_told_that_nobody_could_begin_each_by_an_error_of_its_own(bench: Bench) -> None:
    engines = {"a": Paced([Unavailable("a is gone")], free=0), "b": Scripted([EngineFault("b broke")])}
    runtime = await bench.runtime(engines, policies=POLICIES + "defaults: {retries: 0}\n")
    clients, tasks = await crowd(runtime, 4)
    await engines["a"].waiting.wait()  # type: ignore[attr-defined]
    engines["a"].go.set()  # type: ignore[attr-defined]
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, NoEngine) for error in errors)
    assert {(error.status, error.code, error.message) for error in errors if isinstance(error, NoEngine)} == {
        (502, "engine_fault", "no engine can speak this: a is gone; b broke")
    }
    assert len(set(map(id, errors))) == 4
    assert [len(_frames(error)) for error in errors[1:]] == [len(_frames(errors[1]))] * 3
    assert len(engines["b"].requests) == 1
    assert [(await one.record()).outcome for one in clients] == ["failed"] * 4
    await nothing_left(runtime, *engines.values())


def _frames(error: bytes | BaseException) -> list[TracebackType]:
    assert isinstance(error, BaseException)
    frames, at = list[TracebackType](), error.__traceback__
    while at:
        frames.append(at)
        at = at.tb_next
    return frames


async def test_no_engine_at_all_is_found_out_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = await bench.runtime({"a": Scripted()})
    runtime.board.row("a").set_state("down", "its process ended")
    asked, late = list[float](), asyncio.Event()

    async def returns(self: object, names: object, within_s: float) -> bool:
        asked.append(within_s)
        await late.wait()
        return False

    monkeypatch.setattr("gateway.era.Era.somebody_returns", returns)
    _, tasks = await crowd(runtime, 5)
    await until(lambda: bool(asked))
    late.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [NoEngine] * 5
    assert len(asked) == 1
    await nothing_left(runtime)


async def test_a_leader_whose_time_is_over_fails_alone(bench: Bench) -> None:
    """What the leader's own time ends before anybody heard a thing, a follower begins again."""
    engine = Paced([OutOfTime("the leader's time is over")], [chunk(value=4)], free=0)
    runtime = await bench.runtime({"a": engine})
    clients, tasks = await crowd(runtime, 3)
    await engine.waiting.wait()
    engine.go.set()
    with pytest.raises(OutOfTime):
        await tasks[0]
    assert await asyncio.gather(*tasks[1:]) == [spoken(4, 4, 4)] * 2
    assert sorted([(await one.record()).cache for one in clients[1:]]) == ["follow", "miss"]
    await nothing_left(runtime, engine)


async def test_each_listener_has_its_own_time(bench: Bench) -> None:
    """The making lasts as long as the most patient listener waits, also when whoever began it has given up."""
    engine = Paced(free=0)
    runtime = await bench.runtime({"a": engine})
    first = client(runtime, "first", deadline_ms=60_000)
    leading = first.start()
    await engine.waiting.wait()
    second = client(runtime, "second", deadline_ms=60_000)
    following = second.start()
    (flying,) = runtime.flights._flights.values()
    await until(lambda: len(flying._listeners) == 2)
    await leave(leading)
    engine.go.set()
    assert await following == chunk().pcm * 3
    assert flying.left.seconds > 0


class Refusing:
    """A permit of a key whose limit is reached."""

    async def spend(self, characters: int, audio_s: float) -> None:
        await asyncio.sleep(0)
        raise SpeechError429("the limit is reached")

    async def settle(self, audio_s: float, *, spoken: bool) -> None: ...

    def headers(self) -> list[tuple[bytes, bytes]]:
        return []

    async def __aenter__(self) -> Refusing:
        return self

    async def __aexit__(self, *_: object) -> None: ...


class SpeechError429(SpeechError):
    code, status = "rate_limited", 429


async def test_a_leader_without_credit_fails_alone(bench: Bench) -> None:
    engine = Scripted()
    runtime = await bench.runtime({"a": engine})
    refused = asyncio.create_task(speak(client(runtime, "").request, runtime, "refused", Refusing()))  # type: ignore[arg-type]
    _, tasks = await crowd(runtime, 3)
    with pytest.raises(SpeechError429):
        await refused
    assert await asyncio.gather(*tasks) == [chunk().pcm * 3] * 3
    assert len(engine.requests) == 3
    await nothing_left(runtime, engine)


async def test_only_whoever_begins_spends(bench: Bench) -> None:
    runtime = await bench.runtime({"a": Scripted()})
    leader = asyncio.create_task(client(runtime, "leader").hear())
    await asyncio.sleep(0)
    reply = await speak(client(runtime, "").request, runtime, "follower", Refusing())  # type: ignore[arg-type]
    assert await reply.whole() == await leader
    assert reply.served.cache == "follow"


async def test_a_making_that_fails_by_mistake_is_logged_and_told_to_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("gateway.production.open_encoder", broken)
    runtime = await bench.runtime({"a": Scripted()})
    clients, tasks = await crowd(runtime, 3)
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [ZeroDivisionError] * 3
    assert [(await one.record()).error for one in clients] == ["internal"] * 3
    assert caplog.text.count("making a speech failed") == 1
    await nothing_left(runtime)


# --- who is slow ---


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flights keep three pieces."""
    monkeypatch.setattr(flight, "KEPT_BYTES", 3 * PIECE)


@pytest.mark.usefixtures("small")
async def test_an_engine_waits_for_a_lone_listener_and_nothing_is_lost(bench: Bench) -> None:
    engine = Scripted([chunk(value=value) for value in range(20)])
    runtime = await bench.runtime({"a": engine}, policies=POLICIES + "defaults: {on_interruption: abort}\n")
    reply = await speak(client(runtime, "", "One.").request, runtime, "slow")
    await _still(lambda: runtime.flights.held_bytes)
    assert runtime.flights.held_bytes <= 4 * PIECE
    assert engine.open == 1
    assert await reply.whole() == spoken(*range(20))
    await nothing_left(runtime, engine)


@pytest.mark.usefixtures("small")
async def test_a_laggard_is_broken_off_rather_than_holding_up_the_others(bench: Bench) -> None:
    engine = Paced([chunk(value=value) for value in range(20)], free=0)
    runtime = await bench.runtime({"a": engine}, policies=POLICIES + "defaults: {on_interruption: abort}\n")
    quick = client(runtime, "quick", "One.")
    task = quick.start()
    slow = asyncio.create_task(speak(client(runtime, "", "One.").request, runtime, "slow"))
    await engine.waiting.wait()
    engine.go.set()
    reply = await slow
    assert await task == spoken(*range(20))
    with pytest.raises(Interrupted, match="too slowly"):
        await reply.whole()
    assert reply.served.outcome == "interrupted"
    await nothing_left(runtime, engine)


@pytest.mark.usefixtures("small")
async def test_one_who_was_broken_off_counts_no_longer(bench: Bench) -> None:
    engine = Paced([chunk(value=value) for value in range(50)], free=0)
    runtime = await bench.runtime({"a": engine}, policies=POLICIES + "defaults: {on_interruption: abort}\n")
    replies = [asyncio.create_task(speak(client(runtime, "", "One.").request, runtime, f"{n}")) for n in range(2)]
    await engine.waiting.wait()
    engine.go.set()
    slow, quick = [await reply for reply in replies]
    assert quick.stream is not None
    for _ in range(10):
        await anext(quick.stream)
    await _still(lambda: runtime.flights.held_bytes)
    assert runtime.flights.held_bytes <= 4 * PIECE  # the engine waits for the one who is left
    assert engine.open == 1
    await quick.aclose()
    assert engine.open == 0
    with pytest.raises(Interrupted):
        await slow.whole()
    await nothing_left(runtime, engine)


@pytest.mark.usefixtures("small")
async def test_who_comes_when_the_begin_is_no_longer_kept_is_served_all_the_same(bench: Bench) -> None:
    engine = Paced([chunk(value=1)] * 1, free=4)
    text = "One. Two. Three. Four. Five."
    runtime = await bench.runtime({"a": engine})
    first = client(runtime, "first", text)
    task = first.start()
    await engine.waiting.wait()
    await until(lambda: len(first.pieces) == 4)
    engine.free = 99
    second = client(runtime, "second", text)
    assert await second.hear() == spoken(1, 1, 1, 1, 1)
    assert (await second.record()).cache == "miss"
    engine.go.set()
    assert await task == spoken(1, 1, 1, 1, 1)


async def test_when_too_much_waits_for_slow_listeners_engines_wait_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "HELD_BYTES", PIECE)
    engine = Scripted([chunk(value=value) for value in range(20)])
    runtime = await bench.runtime({"a": engine}, policies=POLICIES + "defaults: {on_interruption: abort}\n")
    replies = [await speak(client(runtime, "", f"{n}.").request, runtime, f"{n}") for n in range(3)]
    await _still(lambda: runtime.flights.held_bytes)
    assert runtime.flights.held_bytes <= 2 * 3 * PIECE
    assert await asyncio.gather(*(reply.whole() for reply in replies)) == [spoken(*range(20))] * 3
    await nothing_left(runtime, engine)


async def _still(value: object) -> None:
    """Wait until it has not changed for many turns of the event loop."""
    assert callable(value)
    before, same = value(), 0
    while same < 100:
        await asyncio.sleep(0)
        now = value()
        before, same = now, same + 1 if now == before else 0


def test_an_error_is_copied_without_its_traceback() -> None:
    def fail() -> AudioChunk:
        raise NoEngine("none", None, status=502, code="engine_fault", param="voice")  # type: ignore[arg-type]

    with pytest.raises(NoEngine) as caught:
        fail()
    same = flight.twin(caught.value)
    assert isinstance(same, NoEngine)
    assert (same.message, same.status, same.code, same.param) == ("none", 502, "engine_fault", "voice")
    assert same.__traceback__ is None
