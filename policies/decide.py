"""Which engines will be tried for a request, in which order, and why not the others: a pure function.

It runs before the cache is looked up, so on the path of every request: it takes tens of microseconds, and whatever a
policy alone determines is worked out once, in `policies.policy`. Knows nothing about HTTP, texts, time or engines that
run: all it sees is an `Ask`, a `Snapshot` and a `Policy`, and equal ones give equal plans.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from policies.orders import ORDERS, Ranked, figure
from policies.policy import Policy, Terms
from policies.types import Ask, EngineState, Plan, Skip, SkipCode, Snapshot, Step
from policies.waiting import longest_s, room_in_s

LAST_RESORT = "last resort"
NOT_FOR_THE_KEY = "the key may not use it"

#: skips for an engine's state, as opposed to the operator's choice or what the engine cannot do at all
_FOR_STATE: frozenset[SkipCode] = frozenset({"down", "cooling", "busy", "too_slow"})


def decide(ask: Ask, snapshot: Snapshot, policy: Policy) -> Plan:
    """The plan for one request. Total: never raises, whatever the three hold.

    `ask.only` is tried alone, without fallback, on the defaults' terms; the plan's rule is then empty, as it is when
    no rule holds and only the last resort is left.
    """
    snapshot = out_of_rotation(snapshot, policy)
    if ask.only:
        return _plan("", [Ranked(ask.only, "named by the request")], policy.defaults, ask, snapshot, policy)
    place = policy.index.first(ask, snapshot)
    if place is None:
        return _plan("", _with_last_resort([], policy), policy.defaults, ask, snapshot, policy)
    rule, terms = policy.ruled[place]
    ranked = ORDERS[terms.order](rule.use, ask, snapshot)
    return _plan(rule.name, _with_last_resort(ranked, policy), terms, ask, snapshot, policy)


def degraded(plan: Plan, spoke: str, failed: Sequence[tuple[str, str]] = ()) -> str:
    """`engine: reason` of the first engine that the plan prefers to `spoke` and that could not serve; else empty.

    Could not: skipped for its state (breaker, load, wait), or `failed`, pairs of engine and reason. An engine that is
    paused, not installed, not configured, or that cannot speak such a text, was not to be expected: it is passed over.
    """
    reasons = {skip.engine: skip.reason for skip in plan.skipped if skip.code in _FOR_STATE}
    for engine, reason in failed:
        reasons.setdefault(engine, reason)
    for engine in plan.preference:
        if engine == spoke:
            break
        if engine in reasons:
            return f"{engine}: {reasons[engine]}"
    return ""


def cacheable(plan: Plan) -> list[str]:
    """Engines whose finished clips may answer, in the rule's order: down to the first one that can speak now.

    Those before it are passed over for their state alone, so that their clips may still be heard.
    """
    first = plan.steps[0].engine if plan.steps else None
    passing = {skip.engine for skip in plan.skipped if skip.code in _FOR_STATE}
    engines = []
    for engine in plan.preference:
        if engine in passing or engine == first:
            engines.append(engine)
        if engine == first:
            break
    return engines


def out_of_rotation(snapshot: Snapshot, policy: Policy) -> Snapshot:
    """The snapshot in which the policy's paused engines are paused: conditions see them as not ready, too."""
    if not policy.paused:
        return snapshot
    engines = dict(snapshot.engines)
    for name in policy.paused:
        if name in engines:
            engines[name] = replace(engines[name], state="paused", reason="paused in policies.yaml", since=None)
    return replace(snapshot, engines=engines)


def _with_last_resort(ranked: list[Ranked], policy: Policy) -> list[Ranked]:
    last = policy.last_resort
    if last is None or any(one.engine == last for one in ranked):
        return ranked
    return [*ranked, Ranked(last, LAST_RESORT)]


def _plan(rule: str, ranked: list[Ranked], terms: Terms, ask: Ask, snapshot: Snapshot, policy: Policy) -> Plan:
    steps: list[Step] = []
    skipped: list[Skip] = []
    for engine, reason in ranked:
        state = snapshot.engines.get(engine)
        if state is None:
            skipped.append(Skip(engine, "excluded", "not enabled in engines.yaml"))
        elif skip := _skip(state, ask, terms, snapshot, is_last_resort=engine == policy.last_resort):
            skipped.append(skip)
        else:
            steps.append(Step(engine, _voice(state, ask), state.expected_first_audio_s(ask.audio_s), reason))
    return Plan(rule, tuple(steps), tuple(skipped), tuple(one.engine for one in ranked), terms)


def _skip(state: EngineState, ask: Ask, terms: Terms, snapshot: Snapshot, *, is_last_resort: bool) -> Skip | None:
    """Why this engine will not be tried: what is decided for good first, what passes with time last."""
    name = state.name
    if ask.allowed_engines is not None and name not in ask.allowed_engines:
        return Skip(name, "excluded", NOT_FOR_THE_KEY)
    if state.state in ("paused", "not_installed", "not_configured"):
        return Skip(name, state.state, state.reason or state.state.replace("_", " "))
    if why := _unable(state, ask, takes_any_voice=is_last_resort):
        return Skip(name, "unsupported", why)
    if state.state != "up":
        return Skip(name, "cooling" if state.state == "cooling" else "down", _unwell(state, snapshot), state.back_in_s)
    if state.busy >= state.slots and state.queued >= state.queue:
        place_in_s = state.expected_wait_s(ask.audio_s) / (state.queued + 1)  # until the first of them has its turn
        return Skip(name, "busy", f"busy: {state.busy} speaking, {state.queued} queued", place_in_s)
    return None if is_last_resort else _late(state, ask, terms)


def _unable(state: EngineState, ask: Ask, *, takes_any_voice: bool) -> str:
    """What of the request is beyond the engine; empty when nothing is, as far as is known."""
    info = state.info
    if ask.voice_asked and not takes_any_voice and not _any_voice(state):
        if (voice := ask.engine_voices.get(state.name)) is None:
            return f"has no voice for {ask.voice!r}"
        if info is not None and info.lacks(voice):
            return f"has no voice {voice!r} yet"
    if info is None:
        return ""
    unspoken = [language for language in ask.languages if not info.speaks(language)]
    if unspoken:
        return f"does not speak {', '.join(unspoken)}"
    if ask.markup == "ssml" and not info.ssml:
        return "takes no SSML"
    if info.max_chars is not None and ask.longest_clause > info.max_chars:
        return f"takes {info.max_chars} characters at once, the longest clause has {ask.longest_clause}"
    return ""


def _unwell(state: EngineState, snapshot: Snapshot) -> str:
    """For instance `down since 12:03:10 after 5 faults`, on the clock of the snapshot's `now`."""
    words: str = state.state
    if state.reason.startswith(words):
        return state.reason
    if state.since is not None:
        since, now = state.since, snapshot.now
        if since.tzinfo is not None and now.tzinfo is not None:
            since = since.astimezone(now.tzinfo)
        words += f" since {since:%H:%M:%S}" if since.date() == now.date() else f" since {since:%Y-%m-%d %H:%M:%S}"
    if not state.reason:
        return words
    return f"{words} {state.reason}" if state.reason.startswith("after ") else f"{words}: {state.reason}"


def _late(state: EngineState, ask: Ask, terms: Terms) -> Skip | None:
    """Whether its audio could not come in time, as far as is known.

    Against `first_audio_ms` only a wait counts: a slow engine without a queue gets its chance.
    """
    wait_s, first_s = state.expected_wait_s(ask.audio_s), state.first_audio_s or 0.0
    if wait_s and (late := _over(state.name, wait_s, first_s, terms.first_audio_ms / 1000, "to first audio")):
        return late if late.back_in_s is not None else replace(late, back_in_s=wait_s)
    allowed_ms = min(math.inf if ask.deadline_ms is None else ask.deadline_ms, terms.total_ms or math.inf)
    if math.isinf(allowed_ms):
        return None
    whole_s = state.expected_work_s(ask.audio_s, clauses=0 < ask.longest_clause < ask.chars)
    return _over(state.name, wait_s, first_s, allowed_ms / 1000, "to first audio") or _over(
        state.name, wait_s, whole_s, allowed_ms / 1000, "for the whole text"
    )


def _over(name: str, wait_s: float, own_s: float, allowed_s: float, what: str) -> Skip | None:
    """A skip when work of `own_s` behind a line of `wait_s` might not end in time."""
    room_s = room_in_s(wait_s, own_s, allowed_s)
    if room_s == 0:
        return None
    if wait_s >= allowed_s:
        needed = f"{figure(wait_s)} s in the queue"
    else:
        needed = f"{'up to ' if wait_s else ''}{figure(longest_s(wait_s, own_s))} s {what}"
    return Skip(name, "too_slow", f"too slow: {needed}, {figure(allowed_s)} s allowed", room_s)


def _voice(state: EngineState, ask: Ask) -> str:
    """The engine's own name of the voice; where voices.yaml has none, its default for language and gender."""
    voice = ask.engine_voices.get(state.name)
    if voice and not (state.info is not None and state.info.lacks(voice)):
        return voice
    if ask.voice_asked and _any_voice(state):
        return ask.voice
    if state.info is None or not ask.languages:
        return ""
    return state.info.default_voice(ask.languages[0], ask.gender)


def _any_voice(state: EngineState) -> bool:
    return state.info is not None and state.info.any_voice
