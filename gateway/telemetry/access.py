"""One line for each finished request: facts, never its text."""

from __future__ import annotations

import logging
from typing import Any

from gateway.record import Served

logger = logging.getLogger("voxgate.access")


def log_served(served: Served) -> None:
    """A line costs half of what a clip from the cache does: those are told at DEBUG only."""
    level = logging.DEBUG if served.cache == "hit" else logging.INFO
    if logger.isEnabledFor(level):
        logger.log(level, "served", extra={"voxgate": facts(served)})


def facts(served: Served) -> dict[str, Any]:
    """What programs may read of a request: seconds, codes and names that stand in the configuration."""
    preferred, reason = degradation(served)
    return {
        "request_id": served.request_id,
        "outcome": served.outcome,
        "key": served.key,
        "engine": served.engine,
        "voice": served.engine_voice,
        "rule": served.plan.rule if served.plan else "",
        "cache": served.cache,
        "format": served.format,
        "chars": served.chars,
        "audio_s": round(served.audio_s, 3),
        "bytes_out": served.bytes_out,
        "first_audio_s": None if served.first_audio_s is None else round(served.first_audio_s, 4),
        "total_s": None if served.total_s is None else round(served.total_s, 4),
        "underrun_s": round(served.underrun_s, 3) or None,
        "attempts": len(served.attempts),
        "degraded": f"{preferred}: {reason}" if preferred else "",
        "error": served.error,
    }


def degradation(served: Served) -> tuple[str, str]:
    """The engine that should have spoken and the code of why it did not; both empty when it did.

    Not the reason in words, which is the engine's own and may quote what it was given.
    """
    preferred = served.degraded.partition(":")[0]
    failures = [one.error for one in served.attempts if one.engine == preferred and one.error]
    skips = [one.code for one in (served.plan.skipped if served.plan else ()) if one.engine == preferred]
    return preferred, next(iter([*failures, *skips]), "unknown") if preferred else ""
