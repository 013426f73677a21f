"""Finds engine kinds: the built-in modules, then the entry-point group `voxgate.engines`, one by one.

A plugin that fails to import, misspells a hook or offers a kind of another contract version becomes a
reported state, never a dead gateway. Hooks are called plugin by plugin, because one call over all of them loses every
result when one raises. Knows nothing about configuration or about any particular engine.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy

import engines.hooks
from engines.contract import API, EngineKind

ENTRY_POINT_GROUP = "voxgate.engines"
BUILT_IN = ("engines.espeak", "engines.tone", "engines.fault")


@dataclass(frozen=True, slots=True)
class PluginState:
    """A plugin as `voxgate engines list` and `/v1/engines` report it. `error` is empty when it loaded."""

    name: str
    source: str  # "built in", or distribution and version
    kinds: tuple[str, ...] = ()
    error: str = ""


class Registry:
    """Every engine kind that could be found, and what became of each plugin."""

    def __init__(self) -> None:
        self.kinds: dict[str, EngineKind] = {}
        self.plugins: list[PluginState] = []
        self._manager = pluggy.PluginManager(engines.hooks.PROJECT)
        self._manager.add_hookspecs(engines.hooks)

    @classmethod
    def load(cls, hookspecs: Sequence[ModuleType] = (), only: str | None = None) -> Registry:
        """Load all plugins; with `only`, stop as soon as the kind of that name was found.

        `hookspecs` are further modules of hook declarations that plugins may implement.
        """
        registry = cls()
        for module in hookspecs:
            registry._manager.add_hookspecs(module)
        for name, source, load in _candidates():
            registry._add(name, source, load)
            if only is not None and only in registry.kinds:
                break
        return registry

    def _add(self, name: str, source: str, load: Any) -> None:
        """Load one plugin and take its kinds; record whatever goes wrong as its state."""
        try:
            plugin = load()
            self._manager.register(plugin, name=name)
            try:
                self._manager.check_pending()
                kinds = self._kinds_of(plugin)
            except BaseException:
                self._manager.unregister(plugin)
                raise
        except (KeyboardInterrupt, SystemExit, GeneratorExit) as stop:
            if isinstance(stop, KeyboardInterrupt):
                raise
            self.plugins.append(PluginState(name, source, error=f"failed to load: the module exits ({stop!r})"))
        except BaseException as error:
            self.plugins.append(PluginState(name, source, error=f"failed to load: {type(error).__name__}: {error}"))
        else:
            self.kinds.update({kind.name: kind for kind in kinds})
            self.plugins.append(PluginState(name, source, tuple(kind.name for kind in kinds)))

    def _kinds_of(self, plugin: object) -> list[EngineKind]:
        others = [one for one in self._manager.get_plugins() if one is not plugin]
        caller = self._manager.subset_hook_caller("engine_kinds", remove_plugins=others)
        offered: list[Iterable[EngineKind]] = caller()
        kinds = [kind for group in offered for kind in group]
        for kind in kinds:
            if not isinstance(kind, EngineKind):
                raise TypeError(f"engine_kinds() gave {kind!r}, which is no EngineKind")
            if kind.api != API:
                raise ValueError(f"kind {kind.name!r} is written for contract version {kind.api}; this is {API}")
            if kind.name in self.kinds:
                raise ValueError(f"kind {kind.name!r} is already taken")
        return kinds

    def served_hooks(self) -> Iterator[tuple[str, Any]]:
        """Name and `on_served` function of each plugin that has one."""
        if hasattr(self._manager.hook, "on_served"):
            for implementation in self._manager.hook.on_served.get_hookimpls():
                yield implementation.plugin_name, implementation.function


def _candidates() -> Iterator[tuple[str, str, Any]]:
    for module in BUILT_IN:
        yield module, "built in", lambda module=module: importlib.import_module(module)
    found: list[EntryPoint] = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)
    for point in found:
        source = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown distribution"
        yield point.name, source, point.load
