"""What only shows between files: engines and voices that one file names and another does not have.

Works on the files' plain data, so that a mistake in one place does not hide those in others. Knows nothing about
how a decision is made: what a policy cannot mean is found by `policies.lint`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from engines.contract import EngineInfo, EngineKind
from gateway.configuration.description import describe
from gateway.configuration.engines import EngineEntry
from gateway.configuration.problems import near
from gateway.configuration.yaml import Document
from policies.lint import lint, unknown_engines
from policies.policy import Policy
from policies.strict import Loc

Entries = Mapping[str, EngineEntry | None]


def note_voice_findings(
    voices: Document, entries: Entries | None, kinds: Mapping[str, EngineKind], data_dir: Path
) -> None:
    """Names in voices.yaml that lead nowhere. `entries` None: what engines.yaml holds is not known."""
    known = _mapping(voices.value(("voices",)))
    aliases = _mapping(voices.value(("aliases",)))
    if known:
        _note_names(voices, known, aliases)
    if entries is None:
        return
    checked = {name: _known_voices(entry, kinds, data_dir) for name, entry in entries.items()}
    for name, voice in known.items():
        spoken: set[str] = set()
        path: Loc = ("voices", name, "engines")
        for engine, own in _mapping(voices.value(path)).items():
            if engine not in entries:
                text = f"engine {engine!r} is not in engines.yaml: add it there, or take this out"
                voices.problem((*path, engine), f"{text}; {near(engine, entries)}", at_key=True, warning=True)
            elif (info := checked[engine]) is not None:
                _note_own_voices(voices, (*path, engine), engine, own, info)
            spoken |= _languages(own, checked.get(engine))
        for index, language in enumerate(_listed(_mapping(voice).get("languages"))):
            if isinstance(language, str) and spoken and not spoken & {"*", language}:
                text = f"none of this voice's engines speaks {language!r} with it: map one, or take the language out"
                voices.problem(("voices", name, "languages", index), text, warning=True)


def note_policy_findings(
    policies: Document,
    policy: Policy | None,
    voices: Document,
    entries: Entries,
    kinds: Mapping[str, EngineKind],
    data_dir: Path,
    keys: Document,
) -> None:
    """What `policies.lint` finds, at its place in the file. `policy` None: the file is wrong in other ways too."""
    if policy is None:
        findings = unknown_engines(policies.data, entries)
    else:
        known = {name: describe(entry, kinds, data_dir) if entry else None for name, entry in entries.items()}
        enabled = {name for name, entry in entries.items() if entry is None or entry.enabled}
        names = None if keys.data is None else _mapping(keys.value(("keys",)))
        findings = lint(policy, known, enabled, _mapping(voices.value(("voices",))), names)
    for finding in findings:
        policies.problem(finding.path, finding.message, warning=finding.severity == "warning")


def note_key_findings(keys: Document, engines: Document, voices: Document) -> None:
    """Engines and voices that a key may use and that are not there: a warning, so that whoever takes one out need not
    look through all keys at once. Nothing is said of names from a file that cannot be read."""
    known_engines = _mapping(engines.value(("engines",)))
    known_voices = {**_mapping(voices.value(("voices",))), **_mapping(voices.value(("aliases",)))}
    for name, key in _mapping(keys.value(("keys",))).items():
        for index, engine in enumerate(_listed(_mapping(key).get("engines"))):
            if known_engines and isinstance(engine, str) and (text := unknown_engine(engine, known_engines)):
                keys.problem(("keys", name, "engines", index), text, warning=True)
        for index, voice in enumerate(_listed(_mapping(key).get("voices"))):
            if known_voices and isinstance(voice, str) and (text := unknown_voice(voice, known_voices, known_engines)):
                keys.problem(("keys", name, "voices", index), text, warning=True)


def unknown_engine(engine: str, known: Iterable[str]) -> str:
    """What is wrong with an engine that a key shall use; empty when nothing is."""
    return "" if engine in known else f"engine {engine!r} is not in engines.yaml; {near(engine, known)}"


def unknown_voice(voice: str, known: Iterable[str], engines: Container[str]) -> str:
    """What is wrong with a voice that a key shall use: a voice, an alias, or ENGINE:VOICE. Empty when nothing is."""
    engine, colon, _ = voice.partition(":")
    if voice in known or (colon and engine in engines):
        return ""
    return f"voice {voice!r} is not in voices.yaml; {near(voice, known)}"


def _note_names(voices: Document, known: Mapping[str, Any], aliases: Mapping[str, Any]) -> None:
    default = voices.value(("default",))
    if isinstance(default, str) and default not in known and default not in aliases:
        voices.problem(("default",), f"there is no voice {default!r}; {near(default, known)}")
    for alias, voice in aliases.items():
        if alias in known:
            text = "this alias hides the voice of the same name: give one of the two another name"
            voices.problem(("aliases", alias), text, at_key=True)
        if isinstance(voice, str) and voice not in known:
            text = "an alias of an alias is not followed: name the voice itself" if voice in aliases else ""
            voices.problem(("aliases", alias), text or f"there is no voice {voice!r}; {near(voice, known)}")


def _known_voices(entry: EngineEntry | None, kinds: Mapping[str, EngineKind], data_dir: Path) -> EngineInfo | None:
    """The engine's info if it names all its voices: a cloud does so without a key; one that clones voices, or lacks the
    model that has them, does not yet."""
    info = describe(entry, kinds, data_dir) if entry else None
    return info if info and (info.any_voice or (info.voices and not info.cloning)) else None


def _note_own_voices(voices: Document, path: Loc, engine: str, own: object, info: EngineInfo) -> None:
    for place, voice in [((*path, key), one) for key, one in own.items()] if isinstance(own, dict) else [(path, own)]:
        if isinstance(voice, str) and not info.has_voice(voice):
            names = [one.id for one in info.voices]
            voices.problem(place, f"engine {engine!r} has no voice {voice!r}; {near(voice, names)}")
    for language in own if isinstance(own, dict) else ():
        if not info.speaks(language):
            text = f"engine {engine!r} does not speak {language!r}; {near(language, info.languages)}"
            voices.problem((*path, language), text.rstrip("; "), at_key=True, warning=True)


def _languages(own: object, info: EngineInfo | None) -> set[str]:
    """The languages in which an engine speaks a voice; `*` when that is not known, or any."""
    if isinstance(own, dict):
        return set(own)
    return {"*"} if info is None or info.any_language else set(info.languages)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: object) -> Iterable[Any]:
    return value if isinstance(value, list) else []
