"""What the engines of a configuration can do and what they lack, said without loading any of them.

Knows nothing about engines that run: their state is the board's.
"""

from __future__ import annotations

from datetime import datetime

from engines.contract import EngineInfo, Missing
from gateway.configuration.description import describe, find_missing
from gateway.configuration.engines import EngineEntry
from gateway.configuration.load import Config
from policies.types import EngineState, Snapshot


def infos(config: Config) -> dict[str, EngineInfo | None]:
    """`describe` of every engine, the disabled ones too."""
    return {name: describe(one, config.kinds, config.settings.data_dir) for name, one in config.engines.items()}


def missing(config: Config) -> dict[str, Missing]:
    """The engines that cannot be started, and the advice that mends each."""
    found = {name: find_missing(one, config.kinds, config.settings.data_dir) for name, one in config.engines.items()}
    return {name: one for name, one in found.items() if one is not None}


def idle_snapshot(config: Config, now: datetime | None = None) -> Snapshot:
    """Every enabled engine as it would be before any request: up and idle, or not installed or configured.

    `now` carries a time zone; None: this machine's time.
    """
    known, lacking = infos(config), missing(config)
    return Snapshot(
        now or datetime.now().astimezone(),
        {name: _idle(entry, known[name], lacking.get(name)) for name, entry in config.engines.items() if entry.enabled},
    )


def _idle(entry: EngineEntry, info: EngineInfo | None, lacking: Missing | None) -> EngineState:
    cost = entry.cost_per_1k_chars
    if cost is None:
        cost = info.cost_per_1k_chars if info else 0.0
    return EngineState(
        name=entry.name,
        state=lacking.state if lacking else "up",
        slots=entry.slots or (info.slots if info else 1),
        queue=entry.queue,
        cost_per_1k_chars=cost,
        reason=lacking.advice if lacking else "",
        info=info,
    )
