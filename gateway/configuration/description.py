"""What an engine can do and what it lacks, asked of its kind without loading anything.

Knows nothing about engines that run.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from engines.contract import EngineInfo, EngineKind, Missing
from gateway.configuration.engines import EngineEntry

logger = logging.getLogger("voxgate.configuration")


def describe(entry: EngineEntry, kinds: Mapping[str, EngineKind], data_dir: Path) -> EngineInfo | None:
    """What the engine will be able to do; None when its kind does not say before it starts."""
    if entry.kind.describe is None:
        return None
    try:
        return entry.kind.describe(entry.instance(data_dir, kinds), entry.options)
    except Exception as error:  # a plugin's bug is no reason to refuse a configuration
        logger.warning("engine %s: kind %s cannot describe it: %r", entry.name, entry.kind.name, error)
        return None


def find_missing(entry: EngineEntry, kinds: Mapping[str, EngineKind], data_dir: Path) -> Missing | None:
    """What keeps the engine from starting at all; None when nothing is known to."""
    if entry.kind.missing is None:
        return None
    try:
        return entry.kind.missing(entry.instance(data_dir, kinds), entry.options)
    except Exception as error:
        logger.warning("engine %s: kind %s cannot say what it lacks: %r", entry.name, entry.kind.name, error)
        return None
