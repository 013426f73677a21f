"""Finds engine kinds: the built-in modules, then the entry-point group `voxgate.engines`, one by one.

A plugin that fails to import, misspells a hook or offers a kind of another contract version becomes a
reported state, never a dead gateway. Hooks are called plugin by plugin, because one call over all of them loses every
result when one raises. Knows nothing about configuration or about any particular engine.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy

import engines.hooks
from engines.contract import API, EngineKind, Options

ENTRY_POINT_GROUP = "voxgate.engines"
BUILT_IN = (
    "engines.cosyvoice",
    "engines.espeak",
    "engines.indextts",
    "engines.kokoro",
    "engines.openai",
    "engines.piper",
    "engines.sambert",
    "engines.tone",
    "engines.fault",
)


@dataclass(frozen=True, slots=True)
class PluginState:
    """A plugin as `voxgate engines list` and `/v1/engines` report it. `error` is empty when it loaded."""

    name: str
    source: str  # "built in", or distribution and version
    kinds: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A plugin that was found but not yet imported."""

    name: str
    source: str
    load: Callable[[], object]


class _Kinds(dict[str, EngineKind]):
    """Kinds by name. Asked for one that is not there, it loads the plugins that are still unread.

    A worker process loads only as far as its own kind; if that kind wraps another one, the search goes on.
    """

    def __init__(self, search: Callable[[str], None]) -> None:
        super().__init__()
        self._search = search

    def __missing__(self, name: str) -> EngineKind:
        self._search(name)
        if name in self:
            return self[name]
        raise KeyError(name)


class _ServedElsewhere:
    """Stands in for `gateway.hooks` in a process without a gateway, so that `on_served` is no unknown hook there."""

    @engines.hooks.hookspec
    def on_served(self, record: Any) -> None: ...


class Registry:
    """Every engine kind that could be found, and what became of each plugin."""

    def __init__(self) -> None:
        self.kinds: dict[str, EngineKind] = _Kinds(self._load_until)
        self.plugins: list[PluginState] = []
        self._unread: Iterator[_Candidate] = iter(())
        self._manager = pluggy.PluginManager(engines.hooks.PROJECT)
        self._manager.add_hookspecs(engines.hooks)

    @classmethod
    def load(cls, hookspecs: Sequence[ModuleType] = (), only: str | None = None) -> Registry:
        """Load all plugins; with `only`, stop as soon as the kind of that name was found.

        `hookspecs` are further modules of hook declarations that plugins may implement.
        """
        registry = cls()
        for module in hookspecs or (_ServedElsewhere,):
            registry._manager.add_hookspecs(module)
        registry._unread = _candidates()
        registry._load_until(only)
        return registry

    def _load_until(self, kind: str | None) -> None:
        """Load plugins not yet read, one by one, until `kind` is among the kinds; None: all."""
        while kind is None or kind not in self.kinds:
            if (candidate := next(self._unread, None)) is None:
                return
            self._add(candidate)

    def _add(self, candidate: _Candidate) -> None:
        """Load one plugin and take its kinds; record whatever goes wrong as its state."""
        name, source = candidate.name, candidate.source
        try:
            plugin = candidate.load()
            self._manager.register(plugin, name=name)
            try:
                self._manager.check_pending()
                kinds = self._kinds_of(plugin)
            except BaseException:
                self._manager.unregister(plugin)
                raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a plugin must not end the gateway
            self.plugins.append(PluginState(name, source, error=f"failed to load: {_what_happened(error)}"))
        else:
            self.kinds.update({kind.name: kind for kind in kinds})
            self.plugins.append(PluginState(name, source, tuple(kind.name for kind in kinds)))

    def _kinds_of(self, plugin: object) -> list[EngineKind]:
        """The kinds that one plugin offers. Raises TypeError or ValueError where one breaks the contract."""
        others = [one for one in self._manager.get_plugins() if one is not plugin]
        caller = self._manager.subset_hook_caller("engine_kinds", remove_plugins=others)
        offered: list[Iterable[EngineKind]] = caller()
        for group in offered:
            if inspect.iscoroutine(group):
                group.close()
                raise TypeError("engine_kinds() is a coroutine function; hooks are synchronous")
        kinds: dict[str, EngineKind] = {}
        for kind in (kind for group in offered for kind in group):
            if not isinstance(kind, EngineKind):
                raise TypeError(f"engine_kinds() gave {kind!r}, which is no EngineKind")
            if kind.api != API:
                raise ValueError(f"kind {kind.name!r} is written for contract version {kind.api}; this is {API}")
            if not (isinstance(kind.options, type) and issubclass(kind.options, Options)):
                raise TypeError(f"the options of kind {kind.name!r} are no subclass of engines.contract.Options")
            if kind.name in self.kinds or kind.name in kinds:
                raise ValueError(f"kind {kind.name!r} is already taken")
            kinds[kind.name] = kind
        return list(kinds.values())

    def served_hooks(self) -> Iterator[tuple[str, Any]]:
        """Name and `on_served` function of each plugin that has one."""
        if hasattr(self._manager.hook, "on_served"):
            for implementation in self._manager.hook.on_served.get_hookimpls():
                yield implementation.plugin_name, implementation.function


def _what_happened(error: BaseException) -> str:
    """One line for people, without the stack."""
    if isinstance(error, SystemExit):
        return f"the module exits ({error!r})"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _candidates() -> Iterator[_Candidate]:
    """Every plugin there is, unread: the built-in ones first, then the installed ones by name."""
    for module in BUILT_IN:
        yield _Candidate(module, "built in", functools.partial(importlib.import_module, module))
    found: list[EntryPoint] = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)
    for point in found:
        source = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown distribution"
        yield _Candidate(point.name, source, point.load)
