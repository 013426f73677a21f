"""engines.yaml, typed: instances of kinds, each with what is common to all and its kind's own options.

Knows nothing about what any kind does: options are validated by the kind's own type, and nothing is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engines.contract import EngineKind, Instance, Isolation, Options, Quota
from engines.registry import Registry
from gateway.configuration.advice import field_names, note_errors, validate
from gateway.configuration.problems import near
from gateway.configuration.yaml import Document
from policies.strict import Loc

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Common(BaseModel):
    """What may be said of an engine of any kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enabled: bool = Field(True, description="`false`: as if it were not written here")
    slots: Annotated[int, Field(ge=1)] | None = Field(
        None, description="requests spoken at once; unset: the kind decides"
    )
    queue: Annotated[int, Field(ge=0)] = Field(8, description="requests that may wait for a slot")
    isolation: Isolation | None = Field(
        None, description="`process`: in a worker process; `inline`: in the gateway's own; unset: the kind decides"
    )
    memory_limit_mb: Annotated[int, Field(ge=1)] | None = Field(
        None, description="MB above which its worker process is replaced; unset: none"
    )
    start_timeout_s: Annotated[float, Field(gt=0)] = Field(60.0, description="seconds it may take to start")
    cost_per_1k_chars: Annotated[float, Field(ge=0)] | None = Field(
        None, description="what 1000 characters cost, in any one currency; unset: the kind says"
    )
    idle_unload_s: Annotated[float, Field(ge=0)] | None = Field(
        None, description="seconds without a request after which it is unloaded; 0 or unset: never"
    )


class EnginesFile(BaseModel):
    """engines.yaml: the engines there are, each an instance of a kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = Field(description="of this file's form")
    engines: Annotated[Mapping[str, dict[str, Any]], Field(min_length=1)] = Field(
        description="name of an instance -> its `kind`, what is common to all kinds, and the kind's own options"
    )


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One engine of engines.yaml. The fields after `options` are described in `Common`."""

    name: str
    kind: EngineKind
    options: Options
    enabled: bool = True
    slots: int | None = None
    queue: int = 8
    isolation: Isolation | None = None
    memory_limit_mb: int | None = None
    start_timeout_s: float = 60.0
    cost_per_1k_chars: float | None = None
    idle_unload_s: float | None = None

    def instance(
        self, data_dir: Path, kinds: Mapping[str, EngineKind], gateway: str = "", quota: Quota | None = None
    ) -> Instance:
        """What the engine is told about itself, outside a worker."""
        return Instance(self.name, self.slots, data_dir, kinds=kinds, gateway=gateway, quota=quota)


def type_engines(document: Document, registry: Registry) -> dict[str, EngineEntry | None] | None:
    """Every engine that the document names, and None for one that is wrong, which is noted in the document.

    None for all where the document names no engines: then nothing can be said of other files' names.
    """
    validate(EnginesFile, document)
    written = document.value(("engines",))
    if not isinstance(written, dict) or not written:
        return None
    return {name: _entry(name, document, registry) for name in written}


def _entry(name: str, document: Document, registry: Registry) -> EngineEntry | None:
    path: Loc = ("engines", name)
    given = document.value(path)
    if not isinstance(given, dict):
        return None  # already told
    before = len(document.problems)
    if not _NAME.fullmatch(name):
        document.problem(
            path, "an engine's name is written with a-z, 0-9, _ and -, and begins with a letter or digit", at_key=True
        )
    elif name == "auto":
        document.problem(path, "`auto` means the choice by the rules: give the engine another name", at_key=True)
    kind = _kind(given.get("kind"), path, document, registry)
    common = _common(given, path, document)
    options = None if kind is None else _options(kind, given, path, document, registry)
    if kind and common and kind.isolation_fixed and common.isolation not in (None, kind.isolation):
        text = f"engines of kind {kind.name} run as `{kind.isolation}` only: take this out"
        document.problem((*path, "isolation"), text)
    if kind is None or common is None or options is None or len(document.problems) > before:
        return None
    return EngineEntry(name, kind, options, **common.model_dump())


def _kind(name: object, path: Loc, document: Document, registry: Registry) -> EngineKind | None:
    if isinstance(name, str) and name in registry.kinds:
        return registry.kinds[name]
    at = (*path, "kind")
    if at in document.broken:
        return None
    if name is None:
        known = ", ".join(sorted(registry.kinds))
        document.problem(at, f"is missing: write `kind: …`, one of {known}", at_key=True)
        return None
    advice = [near(str(name), registry.kinds)]
    for plugin in registry.plugins:
        if plugin.error:
            # the whole story where this plugin is probably the one that has the kind
            ours = str(name) in plugin.name
            advice.append(f"plugin {plugin.name} {plugin.error if ours else 'failed to load'}")
    document.problem(at, f"unknown engine kind {str(name)!r}; {'; '.join(one for one in advice if one)}".rstrip("; "))
    return None


def _common(given: Mapping[str, Any], path: Loc, document: Document) -> Common | None:
    try:
        return Common.model_validate({field: given[field] for field in Common.model_fields if field in given})
    except ValidationError as error:
        note_errors(error, Common, document, path)
    return None


def _options(
    kind: EngineKind, given: Mapping[str, Any], path: Loc, document: Document, registry: Registry
) -> Options | None:
    own = {field: value for field, value in given.items() if field != "kind" and field not in Common.model_fields}
    try:
        return kind.options.model_validate(own, context={"kinds": registry.kinds})
    except ValidationError as error:
        note_errors(error, kind.options, document, path, also=field_names(Common))
    except Exception as error:  # a plugin's validator: its bug must not hide what else is wrong
        document.problem(
            path, f"kind {kind.name} cannot read its options: {type(error).__name__}: {error}", at_key=True
        )
    return None
