"""What holds for every plan, whatever is asked, known and ruled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.contract import EngineInfo, Voice
from policies.decide import decide, degraded
from policies.explain import passed_over, plan_fields, render
from policies.policy import Policy
from policies.types import Ask, EngineState, Snapshot

# how long an example takes says nothing about a plan
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = ("a", "b", "c", "d", "e")
engines = st.sampled_from(NAMES)
some_engines = st.lists(engines, min_size=1, unique=True)
languages = st.sampled_from(("zh", "en", "ja"))
hashes = st.integers(0, 2**64 - 1)
amounts = st.none() | st.floats(0, 1e6)
limits = st.dictionaries(engines, st.floats(0, 1e9), min_size=1)
some_words = st.lists(st.sampled_from(("x", "y", "")).filter(bool), min_size=1)

asks = st.builds(
    Ask,
    chars=st.integers(0, 20000),
    languages=st.lists(languages, unique=True).map(tuple),
    audio_s=st.floats(0, 1e5),
    longest_clause=st.integers(0, 1000),
    voice=st.sampled_from(("", "x", "y")),
    voice_asked=st.booleans(),
    gender=st.sampled_from(("", "female")),
    engine_voices=st.dictionaries(engines, st.sampled_from(("", "v"))),
    only=st.just("") | engines,
    format=st.sampled_from(("mp3", "pcm")),
    stream=st.booleans(),
    markup=st.sampled_from(("plain", "ssml")),
    key=st.sampled_from(("", "x")),
    allowed_engines=st.none() | st.frozensets(engines),
    tags=st.frozensets(st.sampled_from(("x", "y"))),
    deadline_ms=st.none() | st.integers(0, 100000),
    text_hash=hashes,
    request_hash=hashes,
    key_hash=hashes,
)
voices = st.builds(
    Voice, id=st.just("v"), languages=st.lists(languages).map(tuple), sample_rate=st.just(24000), gender=st.just("male")
)
infos = st.builds(
    EngineInfo,
    voices=st.lists(voices, max_size=2).map(tuple),
    any_voice=st.booleans(),
    languages=st.frozensets(languages),
    any_language=st.booleans(),
    max_chars=st.none() | st.integers(1, 500),
    ssml=st.booleans(),
)
moments = st.datetimes(datetime(1971, 1, 1), datetime(2900, 1, 1), timezones=st.just(UTC))
states = st.fixed_dictionaries(
    {
        "state": st.sampled_from(
            ("up", "up", "up", "down", "cooling", "starting", "paused", "not_installed", "not_configured")
        ),
        "busy": st.integers(0, 9),
        "queued": st.integers(0, 9),
        "slots": st.integers(0, 4),
        "queue": st.integers(0, 8),
        "first_audio_s": amounts,
        "real_time_factor": amounts,
        "cost_per_1k_chars": st.floats(0, 100),
        "reason": st.sampled_from(("", "after 5 faults", "down already", "no answer")),
        "since": st.none() | moments,
        "info": st.none() | infos,
    }
)
snapshots = st.builds(
    Snapshot,
    now=moments,
    engines=st.dictionaries(engines, states).map(lambda all_: {name: EngineState(name, **all_[name]) for name in all_}),
)
conditions = {
    "min_chars": st.integers(0, 50),
    "max_chars": st.integers(50, 20000),
    "languages": st.lists(languages, min_size=1),
    "voices": some_words,
    "models": some_words,
    "formats": st.just(["mp3"]),
    "keys": some_words,
    "tags": some_words,
    "stream": st.booleans(),
    "load_above": limits,
    "load_below": limits,
    "wait_above_ms": limits,
    "first_audio_above_ms": limits,
    "healthy": some_engines,
    "unhealthy": some_engines,
    "hours": st.sampled_from(("22:00-06:00", "00:00-12:00 Asia/Shanghai")),
    "share": st.fixed_dictionaries(
        {"percent": st.floats(0, 100), "by": st.sampled_from(("key", "text", "request"))},
    ),
}
plain_whens = st.fixed_dictionaries({}, optional=conditions)
whens = st.fixed_dictionaries({}, optional={**conditions, "not": plain_whens.filter(bool)})
orders = st.sampled_from(("listed", "weighted", "fastest", "least_busy", "cheapest", "spread"))
rules = st.fixed_dictionaries(
    {"use": some_engines, "when": st.just({}) | whens, "order": orders, "first_audio_ms": st.integers(1, 20000)}
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    return Policy.model_validate(
        {
            "version": 1,
            "rules": [
                {**rule, "name": f"rule {i}"} for i, rule in enumerate(draw(st.lists(rules, min_size=1, max_size=4)))
            ],
            "paused": draw(st.lists(engines, max_size=2)),
            "last_resort": draw(st.none() | engines),
        }
    )


@unhurried
@given(asks, snapshots, policies())
def test_every_request_gets_a_plan_and_equal_ones_an_equal_plan(ask: Ask, snapshot: Snapshot, policy: Policy) -> None:
    plan = decide(ask, snapshot, policy)
    assert decide(ask, snapshot, Policy.model_validate(policy.model_dump(by_alias=True, exclude_none=True))) == plan
    assert render(plan_fields(plan), passed_over(ask, snapshot, policy))


@unhurried
@given(asks, snapshots, policies())
def test_every_engine_of_the_rule_is_either_a_step_or_skipped_in_the_order_of_preference(
    ask: Ask, snapshot: Snapshot, policy: Policy
) -> None:
    plan = decide(ask, snapshot, policy)
    steps, skipped = [one.engine for one in plan.steps], [one.engine for one in plan.skipped]
    assert sorted(steps + skipped) == sorted(plan.preference)
    assert len(set(plan.preference)) == len(plan.preference)
    assert steps == [engine for engine in plan.preference if engine in steps]
    if ask.only:
        assert plan.preference == (ask.only,)
        return
    used = {use.engine for rule in policy.rules if rule.name == plan.rule for use in rule.use}
    assert set(plan.preference) == used | ({policy.last_resort} - {None})
    if policy.last_resort and policy.last_resort not in used:
        assert plan.preference[-1] == policy.last_resort


@unhurried
@given(asks, snapshots, policies())
def test_no_step_is_an_engine_that_cannot_take_the_request_now(ask: Ask, snapshot: Snapshot, policy: Policy) -> None:
    for step in decide(ask, snapshot, policy).steps:
        state = snapshot.engines[step.engine]
        assert state.state == "up"
        assert step.engine not in policy.paused
        assert ask.allowed_engines is None or step.engine in ask.allowed_engines
        assert state.busy < state.slots or state.queued < state.queue


@unhurried
@given(asks, snapshots, policies())
def test_the_rule_is_the_first_one_that_was_not_passed_over(ask: Ask, snapshot: Snapshot, policy: Policy) -> None:
    if not ask.only:
        passed = passed_over(ask, snapshot, policy)
        following = policy.rules[len(passed) :]
        assert decide(ask, snapshot, policy).rule == (following[0].name if following else "")
        assert all(one.why for one in passed)


@unhurried
@given(asks, snapshots, policies(), engines)
def test_a_reply_of_the_first_choice_is_never_degraded(
    ask: Ask, snapshot: Snapshot, policy: Policy, failed: str
) -> None:
    plan = decide(ask, snapshot, policy)
    if plan.preference:
        assert degraded(plan, plan.preference[0], [(failed, "engine_fault")]) == ""


def test_since_is_told_on_the_clock_of_the_board() -> None:
    policy = Policy.model_validate({"version": 1, "rules": [{"name": "all", "use": ["a"]}]})
    since = datetime(2026, 11, 20, 4, 3, 10, tzinfo=UTC)
    down = EngineState("a", state="down", since=since)
    for hours, told in ((0, "down since 04:03:10"), (8, "down since 12:03:10"), (-5, "down since 2026-11-19 23:03:10")):
        now = (since + timedelta(minutes=90)).astimezone(timezone(timedelta(hours=hours)))
        plan = decide(Ask(1, ("zh",), 1.0), Snapshot(now, {"a": down}), policy)
        assert plan.skipped[0].reason == told
