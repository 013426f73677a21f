"""What is wrong or doubtful in a well-formed policy: unknown names, rules that no request reaches or no engine serves.

Pure, like the decision it is about. Knows nothing about files: a finding has the path of its field, and a reader of
YAML knows the line.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engines.contract import EngineInfo
from policies.across import engine_of, fields, items
from policies.policy import Policy, Rule, Share, When
from policies.strict import Loc, near

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend: where, how bad, and what to do. An error means that the policy must not be used."""

    path: Loc
    severity: Severity
    message: str


def lint(
    policy: Policy,
    infos: Mapping[str, EngineInfo | None],
    enabled: Container[str],
    voices: Iterable[str] = (),
    keys: Iterable[str] | None = None,
) -> list[Finding]:
    """All findings. `infos`: every engine of engines.yaml, None where what it can do is not known before it starts.

    `enabled`: those that will run. `voices`: the canonical names of voices.yaml; left out, voices are not looked at.
    `keys`: the names of all API keys, of which there may be none; None: they are not looked at.
    """
    found = unknown_engines(policy.model_dump(by_alias=True, exclude_none=True), infos)
    for index, rule in enumerate(policy.rules):
        loc: Loc = ("rules", index)
        found += _unreachable(policy, index, loc)
        found += _never_holds(rule.when, (*loc, "when"))
        found += _unserved(rule, loc, policy, infos, enabled)
        found += _unknown_names(rule.when, (*loc, "when"), policy, infos, tuple(voices))
        if keys is not None:
            found += _unknown_keys(rule.when, (*loc, "when"), tuple(keys))
    found += _aliases(policy, infos)
    found += _last_resort(policy, infos, enabled)
    return found


def unknown_engines(data: object, known: Iterable[str]) -> list[Finding]:
    """An error for every engine that policies.yaml names and engines.yaml does not.

    Takes plain data, of which any part may be malformed, so that a file that is wrong elsewhere shows these too.
    """
    names = set(known)
    return [
        Finding(path, "error", f"unknown engine {engine!r}; {near(engine, names)}")
        for path, engine in _named_engines(data)
        if engine not in names
    ]


# --- engines that are named ---


def _named_engines(data: object) -> Iterator[tuple[Loc, str]]:
    whole = fields(data)
    for alias, target in fields(whole.get("models")).items():
        if isinstance(target, str) and target != "auto":
            yield ("models", alias), target
    yield from _listed_engines(whole.get("paused"), ("paused",))
    for index, rule in enumerate(items(whole.get("rules"))):
        yield from _engines_of_when(fields(rule).get("when"), ("rules", index, "when"))
        yield from _listed_engines(fields(rule).get("use"), ("rules", index, "use"))
    last = whole.get("last_resort")
    if isinstance(last, str):
        yield ("last_resort",), last


def _engines_of_when(data: object, loc: Loc) -> Iterator[tuple[Loc, str]]:
    for name, value in fields(data).items():
        if name in ("load_above", "load_below", "wait_above_ms", "first_audio_above_ms"):
            yield from (((*loc, name, engine), engine) for engine in fields(value) if isinstance(engine, str))
        elif name in ("healthy", "unhealthy"):
            yield from _listed_engines(value, (*loc, name))
        elif name == "not":
            yield from _engines_of_when(value, (*loc, name))


def _listed_engines(data: object, loc: Loc) -> Iterator[tuple[Loc, str]]:
    for index, item in enumerate(items(data)):
        if engine := engine_of(item):
            yield (*loc, index), engine


# --- rules that cannot decide ---


def _unreachable(policy: Policy, index: int, loc: Loc) -> Iterator[Finding]:
    when = policy.rules[index].when
    for earlier in policy.rules[:index]:
        if not earlier.when.given:
            yield _warn(loc, f"no request reaches this rule: {earlier.name!r} above it always holds; move it up")
            return
        if _implied(earlier.when, when):
            yield _warn(
                loc, f"no request reaches this rule: {earlier.name!r} above it holds whenever it does; move it up"
            )
            return


def _implied(wide: When, narrow: When) -> bool:
    """Whether `wide` holds whenever `narrow` does, as far as the conditions one by one show."""
    narrowed = dict(narrow.given)
    return all(
        name in narrowed and (value == narrowed[name] or (name in _WIDER and _WIDER[name](value, narrowed[name])))
        for name, value in wide.given
    )


def _more_names(wide: Iterable[str], narrow: Iterable[str]) -> bool:
    return set(wide) >= set(narrow)


def _fewer_names(wide: Iterable[str], narrow: Iterable[str]) -> bool:
    return set(wide) <= set(narrow)


def _lower(wide: Mapping[str, float], narrow: Mapping[str, float]) -> bool:
    return all(engine in narrow and limit <= narrow[engine] for engine, limit in wide.items())


def _higher(wide: Mapping[str, float], narrow: Mapping[str, float]) -> bool:
    return all(engine in narrow and limit >= narrow[engine] for engine, limit in wide.items())


def _larger(wide: Share, narrow: Share) -> bool:
    return wide.by == narrow.by and wide.percent >= narrow.percent


#: condition -> whether its first value lets in all that its second does
_WIDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "min_chars": lambda wide, narrow: wide <= narrow,
    "max_chars": lambda wide, narrow: wide >= narrow,
    **dict.fromkeys(("languages", "voices", "models", "formats", "keys", "tags"), _more_names),
    **dict.fromkeys(("load_above", "wait_above_ms", "first_audio_above_ms"), _lower),
    "load_below": _higher,
    **dict.fromkeys(("healthy", "unhealthy"), _fewer_names),
    "share": _larger,
}


def _never_holds(when: When, loc: Loc) -> Iterator[Finding]:
    if when.share is not None and when.share.percent == 0:
        yield _warn((*loc, "share", "percent"), "a share of 0 percent never holds; take the rule out, or raise it")
    for engine in sorted(set(when.healthy or ()) & set(when.unhealthy or ())):
        yield _warn((*loc, "unhealthy"), f"{engine!r} cannot be healthy and unhealthy at once: this never holds")
    for engine, limit in (when.load_below or {}).items():
        if limit <= (when.load_above or {}).get(engine, -1.0):
            yield _warn(
                (*loc, "load_below", engine), f"no load of {engine!r} is above and below these: this never holds"
            )
    if when.not_ is not None:
        denied = dict(when.not_.given)
        for name, value in when.given:
            if name in denied and denied[name] == value:
                yield _warn((*loc, "not", name), f"{name} is demanded and denied at once: this never holds")


# --- rules that nobody can serve ---


def _unserved(
    rule: Rule, loc: Loc, policy: Policy, infos: Mapping[str, EngineInfo | None], enabled: Container[str]
) -> Iterator[Finding]:
    named = [use.engine for use in rule.use if use.engine in infos]
    running = [engine for engine in named if engine in enabled]
    in_rotation = [engine for engine in running if engine not in policy.paused]
    if named and not running:
        yield _warn((*loc, "use"), "none of these engines is enabled in engines.yaml: only the last resort can speak")
    elif running and not in_rotation:
        yield _warn((*loc, "use"), "all of these engines are paused: only the last resort can speak")
    able = [infos[engine] for engine in running]
    asked = rule.when.languages or ()
    unspoken = [one for one in asked if able and not any(info is None or info.speaks(one) for info in able)]
    if asked and len(unspoken) == len(asked):
        yield _warn((*loc, "use"), f"none of these engines speaks {' or '.join(asked)}: the rule cannot be served")
        return
    for place, language in enumerate(asked):
        if language in unspoken:
            yield _warn(
                (*loc, "when", "languages", place),
                f"no engine of this rule speaks {language!r}: such texts are left to the last resort",
            )


def _last_resort(policy: Policy, infos: Mapping[str, EngineInfo | None], enabled: Container[str]) -> Iterator[Finding]:
    loc: Loc = ("last_resort",)
    last = policy.last_resort
    if last is None:
        yield _warn(loc, "there is no last resort: when a rule's engines fail, nobody speaks; name a local engine")
    elif last in infos and last not in enabled:
        yield _warn(loc, f"{last!r} is not enabled in engines.yaml: enable it, or name another last resort")
    elif last in policy.paused:
        yield _warn(loc, f"{last!r} is paused: take it out of `paused`, or name another last resort")


# --- other names ---


def _unknown_names(
    when: When, loc: Loc, policy: Policy, infos: Mapping[str, EngineInfo | None], voices: tuple[str, ...]
) -> Iterator[Finding]:
    for place, voice in enumerate(when.voices or ()):
        if voices and voice not in voices:
            yield _warn((*loc, "voices", place), f"unknown voice {voice!r}: this never holds; {near(voice, voices)}")
    models = ("auto", *policy.models)
    for place, model in enumerate(when.models or ()):
        if model in infos:
            yield _warn(
                (*loc, "models", place), f"a request for the engine {model!r} goes to it alone and meets no rule"
            )
        elif model not in models:
            yield _warn((*loc, "models", place), f"unknown model {model!r}: this never holds; {near(model, models)}")
    if when.not_ is not None:
        yield from _unknown_names(when.not_, (*loc, "not"), policy, infos, voices)


def _unknown_keys(when: When, loc: Loc, keys: tuple[str, ...]) -> Iterator[Finding]:
    for place, key in enumerate(when.keys or ()):
        if key not in keys:
            others = f"; {near(key, keys)}" if keys else ""
            text = f"unknown key {key!r}: this never holds before `voxgate keys add {key}`{others}"
            yield _warn((*loc, "keys", place), text)
    if when.not_ is not None:
        yield from _unknown_keys(when.not_, (*loc, "not"), keys)


def _aliases(policy: Policy, infos: Mapping[str, EngineInfo | None]) -> Iterator[Finding]:
    for alias, target in policy.models.items():
        if alias in infos and target != alias:
            yield _warn(("models", alias), f"{alias!r} is an engine's name too: the alias hides the engine; rename it")


def _warn(path: Loc, message: str) -> Finding:
    return Finding(path, "warning", message)
