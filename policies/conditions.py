"""What each condition of `when` means: one small function each, and a table of them.

A new condition is a field of `When`, a function here and a line in `CONDITIONS`. Knows nothing about rules, orders
or plans. An engine that is not ready, or not there at all, counts as infinitely loaded and infinitely slow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from policies.hours import Hours
from policies.policy import Share, When
from policies.types import HASHES, Ask, EngineState, Snapshot


def why_not(when: When, ask: Ask, snapshot: Snapshot) -> str:
    """The first condition that does not hold, and what was found instead; empty when all hold."""
    for name, value in when.given:
        condition = CONDITIONS[name]
        if not condition.holds(value, ask, snapshot):
            return f"{name} {_shown(value)}: {condition.found(value, ask, snapshot)}"
    return ""


# --- of the text and the request ---


def min_chars(least: int, ask: Ask, snapshot: Snapshot) -> bool:
    return ask.chars >= least


def max_chars(most: int, ask: Ask, snapshot: Snapshot) -> bool:
    return ask.chars <= most


def languages(listed: Sequence[str], ask: Ask, snapshot: Snapshot) -> bool:
    return all(language in listed for language in ask.languages)


def voices(listed: Sequence[str], ask: Ask, snapshot: Snapshot) -> bool:
    return ask.voice in listed


def models(listed: Sequence[str], ask: Ask, snapshot: Snapshot) -> bool:
    return ask.model in listed


def formats(listed: Sequence[str], ask: Ask, snapshot: Snapshot) -> bool:
    return ask.format in listed


def keys(listed: Sequence[str], ask: Ask, snapshot: Snapshot) -> bool:
    return ask.key in listed


def tags(listed: Sequence[str], ask: Ask, snapshot: Snapshot) -> bool:
    return any(tag in ask.tags for tag in listed)


def stream(wanted: bool, ask: Ask, snapshot: Snapshot) -> bool:
    return ask.stream is wanted


# --- of the engines ---


def load_above(limits: Mapping[str, float], ask: Ask, snapshot: Snapshot) -> bool:
    return all(_load(engine, snapshot) > limit for engine, limit in limits.items())


def load_below(limits: Mapping[str, float], ask: Ask, snapshot: Snapshot) -> bool:
    return all(_load(engine, snapshot) < limit for engine, limit in limits.items())


def wait_above_ms(limits: Mapping[str, float], ask: Ask, snapshot: Snapshot) -> bool:
    return all(_wait_ms(engine, ask, snapshot) > limit for engine, limit in limits.items())


def first_audio_above_ms(limits: Mapping[str, float], ask: Ask, snapshot: Snapshot) -> bool:
    return all(_first_audio_ms(engine, ask, snapshot) > limit for engine, limit in limits.items())


def healthy(engines: Sequence[str], ask: Ask, snapshot: Snapshot) -> bool:
    return all(_ready(engine, snapshot) for engine in engines)


def unhealthy(engines: Sequence[str], ask: Ask, snapshot: Snapshot) -> bool:
    return not any(_ready(engine, snapshot) for engine in engines)


# --- of the moment, and by lot ---


def hours(times: Hours, ask: Ask, snapshot: Snapshot) -> bool:
    return times.hold(snapshot.now)


def share(part: Share, ask: Ask, snapshot: Snapshot) -> bool:
    # in whole numbers: as a float the largest hash would round up to 100 percent and fall out of a share of 100.
    # The hash is taken as it is, so that a larger share includes a smaller one, in every rule.
    return _lot(part, ask) * 100 < part.percent * HASHES


def none_of(denied: When, ask: Ask, snapshot: Snapshot) -> bool:
    return not any(CONDITIONS[name].holds(value, ask, snapshot) for name, value in denied.given)


# --- what is known of an engine ---


def _state(engine: str, snapshot: Snapshot) -> EngineState | None:
    """The engine's state if it is ready."""
    state = snapshot.engines.get(engine)
    return state if state is not None and state.state == "up" else None


def _ready(engine: str, snapshot: Snapshot) -> bool:
    return _state(engine, snapshot) is not None


def _load(engine: str, snapshot: Snapshot) -> float:
    state = _state(engine, snapshot)
    return math.inf if state is None else state.load


def _wait_ms(engine: str, ask: Ask, snapshot: Snapshot) -> float:
    state = _state(engine, snapshot)
    return math.inf if state is None else state.expected_wait_s(ask.audio_s) * 1000


def _first_audio_ms(engine: str, ask: Ask, snapshot: Snapshot) -> float:
    """An engine never measured counts with its queue alone: nothing shorter than that is possible."""
    state = _state(engine, snapshot)
    if state is None:
        return math.inf
    expected = state.expected_first_audio_s(ask.audio_s)
    return (state.expected_wait_s(ask.audio_s) if expected is None else expected) * 1000


def _lot(part: Share, ask: Ask) -> int:
    lots = {"key": ask.key_hash, "text": ask.text_hash, "request": ask.request_hash}
    return lots[part.by] % HASHES


# --- words for people ---


def _shown(value: object) -> str:
    if isinstance(value, When):
        return _braced({name: _shown(inner) for name, inner in value.given})
    if isinstance(value, Share):
        return _braced({"percent": f"{value.percent:g}", "by": value.by})
    if isinstance(value, Mapping):
        return _braced({name: f"{number:g}" for name, number in value.items()})
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _braced(pairs: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{name}: {value}' for name, value in pairs.items())}}}"


def _each(engines: Sequence[str] | Mapping[str, float], figure: Callable[[str], float], unit: str = "") -> str:
    return ", ".join(
        f"{engine} is not ready" if math.isinf(number := figure(engine)) else f"{engine} has {number:.4g}{unit}"
        for engine in engines
    )


def _states(engines: Sequence[str], ask: Ask, snapshot: Snapshot) -> str:
    found = ((engine, snapshot.engines.get(engine)) for engine in engines)
    return ", ".join(f"{engine} is {state.state if state else 'not there'}" for engine, state in found)


def _denied(denied: When, ask: Ask, snapshot: Snapshot) -> str:
    held = [f"{n} {_shown(v)}" for n, v in denied.given if CONDITIONS[n].holds(v, ask, snapshot)]
    return f"{' and '.join(held)} {'hold' if len(held) > 1 else 'holds'}"


class Condition(NamedTuple):
    """A condition's meaning, and what was found, in words."""

    holds: Callable[[Any, Ask, Snapshot], bool]
    found: Callable[[Any, Ask, Snapshot], str]


#: by the names that YAML uses; a test compares them with the fields of `When`
CONDITIONS: Mapping[str, Condition] = {
    "min_chars": Condition(min_chars, lambda _, ask, __: f"the text has {ask.chars} characters"),
    "max_chars": Condition(max_chars, lambda _, ask, __: f"the text has {ask.chars} characters"),
    "languages": Condition(languages, lambda _, ask, __: f"the text is in {', '.join(ask.languages)}"),
    "voices": Condition(voices, lambda _, ask, __: f"the voice is {ask.voice or 'not known'}"),
    "models": Condition(models, lambda _, ask, __: f"the model is {ask.model}"),
    "formats": Condition(formats, lambda _, ask, __: f"the format is {ask.format}"),
    "keys": Condition(keys, lambda _, ask, __: f"the key is {ask.key}" if ask.key else "there is no key"),
    "tags": Condition(tags, lambda _, ask, __: f"the tags are {', '.join(sorted(ask.tags)) or 'none'}"),
    "stream": Condition(stream, lambda _, ask, __: "the reply is streamed" if ask.stream else "the reply is whole"),
    "load_above": Condition(load_above, lambda v, _, now: _each(v, lambda e: _load(e, now))),
    "load_below": Condition(load_below, lambda v, _, now: _each(v, lambda e: _load(e, now))),
    "wait_above_ms": Condition(wait_above_ms, lambda v, ask, now: _each(v, lambda e: _wait_ms(e, ask, now), " ms")),
    "first_audio_above_ms": Condition(
        first_audio_above_ms, lambda v, ask, now: _each(v, lambda e: _first_audio_ms(e, ask, now), " ms")
    ),
    "healthy": Condition(healthy, _states),
    "unhealthy": Condition(unhealthy, _states),
    "hours": Condition(hours, lambda times, _, now: f"it is {times.local(now.now):%H:%M} there"),
    "share": Condition(share, lambda part, ask, _: f"this {part.by} falls at {_lot(part, ask) * 100 / HASHES:.4g} %"),
    "not": Condition(none_of, _denied),
}
