"""What happened: one `Served` per request. A plan is intent, an attempt is fact; the two are kept apart.

Knows nothing about HTTP. A `Served` is filled while the request runs, by the pipeline alone, and is handed to
`on_served` plugins once, after the last byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from gateway.request import Format
from policies.types import Plan

Outcome = Literal["running", "complete", "failed", "interrupted", "cancelled"]
CacheUse = Literal["hit", "miss", "follow", "bypass"]

#: `Attempt.error` of one that another engine outran, and that was closed for it: no fault, and no SpeechError
HEDGED = "hedged"


@dataclass(slots=True)
class Attempt:
    """One try of one engine at one clause."""

    engine: str
    voice: str
    clause: int  # index into the plan's clauses
    started_s: float  # since the request came in
    first_audio_s: float | None = None  # since the attempt started
    ended_s: float | None = None
    audio_s: float = 0.0
    error: str = ""  # code of a SpeechError, or HEDGED; empty: it ended well
    message: str = ""
    cost: float = 0.0  # what the engine asks for it, known once all is over


@dataclass(slots=True)
class Making:
    """How one speech is made: once for all who hear it. The record of whoever began it has the attempts and pays."""

    attempts: list[Attempt] = field(default_factory=list)
    clause_engines: list[str] = field(default_factory=list)  # who spoke each clause, as far as spoken
    audio_s: float = 0.0  # released so far
    engine: str = ""  # the engine heard first
    engine_voice: str = ""
    degraded: str = ""  # "engine: reason", empty when the preferred engine spoke
    kept: bool = False  # its clip is in the cache


@dataclass(slots=True)
class Served:
    """One request from its arrival to its last byte. One that follows another's making has no attempts, and no cost."""

    request_id: str
    received: datetime
    key: str = ""
    model: str = ""
    voice: str = ""
    format: Format = "mp3"
    chars: int = 0
    languages: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()
    plan: Plan | None = None
    cache: CacheUse = "miss"
    attempts: list[Attempt] = field(default_factory=list)
    degraded: str = ""  # "engine: reason", empty when the preferred engine spoke
    engine: str = ""  # the engine heard first
    engine_voice: str = ""
    clause_engines: list[str] = field(default_factory=list)  # who spoke each clause, as far as spoken
    audio_s: float = 0.0  # released to the client so far
    bytes_out: int = 0
    first_audio_s: float | None = None  # since the request came in
    total_s: float | None = None
    underruns: int = 0  # times that a player would have had nothing to play: see gateway/player.py
    underrun_s: float = 0.0  # and for how long altogether
    cost: float = 0.0  # of all attempts together
    outcome: Outcome = "running"
    error: str = ""  # code
    message: str = ""
