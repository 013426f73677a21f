"""The hook with which a plugin offers engine kinds. Hooks declare: they are synchronous and do no I/O.

The hot path is the typed `Engine` protocol, never a hook call. The second hook, `on_served`, is declared
in `gateway.hooks`, because its record belongs to the gateway; both take the same `hookimpl` marker.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from engines.contract import EngineKind

PROJECT = "voxgate"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def engine_kinds() -> Iterable[EngineKind]:  # type: ignore[empty-body]
    """Return the engine kinds that this plugin offers. Called once per plugin, at start."""
