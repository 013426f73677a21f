"""The nouns of a decision: what is asked, what is known, what is planned. What the policy says is in `policies.policy`.

All frozen. Knows nothing about HTTP, YAML, clocks or how an engine is driven.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from engines.contract import EngineInfo, Gender, Markup
from policies.policy import Terms

State = Literal["up", "down", "cooling", "starting", "paused", "not_installed", "not_configured"]
SkipCode = Literal[
    "unsupported", "down", "cooling", "paused", "not_installed", "not_configured", "busy", "too_slow", "excluded"
]
#: how many values the hashes of an `Ask` may have: 64 bits
HASHES = 1 << 64


# --- what is asked ---


@dataclass(frozen=True, slots=True)
class Ask:
    """What `decide` sees of a request: facts about it, never its text."""

    chars: int  # code points once markup is taken out and white space is folded
    languages: tuple[str, ...]  # found in the text, the most frequent first
    audio_s: float  # estimated seconds of speech
    longest_clause: int = 0  # code points of the longest piece that an engine is given at once; 0: not known
    voice: str = ""  # canonical name; the default voice when none was asked for
    voice_asked: bool = False
    gender: Gender = ""  # of that voice, for engines that choose their own
    engine_voices: Mapping[str, str] = field(default_factory=dict)  # engine -> its voice for the main language
    only: str = ""  # `voice: ENGINE:VOICE` or `model: ENGINE`: that engine alone, without fallback
    model: str = "auto"
    format: str = "mp3"
    stream: bool = True
    markup: Markup = "plain"
    key: str = ""  # the key's name, never the key
    allowed_engines: frozenset[str] | None = None  # what the key may use; None: every engine
    tags: frozenset[str] = frozenset()
    deadline_ms: int | None = None
    text_hash: int = 0  # 64-bit hashes: the randomness of `share`, `weighted` and `spread`
    request_hash: int = 0
    key_hash: int = 0


# --- what is known ---


@dataclass(frozen=True, slots=True)
class EngineState:
    """One engine at one moment. `None` for a measurement means that nothing recent is known."""

    name: str
    state: State = "up"
    busy: int = 0
    queued: int = 0
    slots: int = 1
    queue: int = 8  # the longest queue it takes
    wait_s: float | None = None  # until a newcomer's turn, where the line is known; None: worked out from the numbers
    first_audio_s: float | None = None  # recent average, without waiting in the queue
    real_time_factor: float | None = None  # seconds of work per second of audio; the lowest there was, if not recent
    stretch: float = 1.0  # seconds that its speech lasts for each one that was estimated
    cost_per_1k_chars: float = 0.0
    reason: str = ""  # why it is not up, for people
    since: datetime | None = None
    back_in_s: float | None = None  # seconds until it may be up again, where that is known
    info: EngineInfo | None = None  # None: what it can do is not known yet

    def cost_per_1k_in(self, languages: Sequence[str]) -> float:
        """What 1000 characters cost in a text of these languages, the most frequent first."""
        han = bool(languages) and languages[0] in ("zh", "yue")
        return self.cost_per_1k_chars * (self.info.han_counts if self.info and han else 1)

    @property
    def load(self) -> float:
        """Busy plus queued over slots; an engine that is not ready counts as infinitely loaded."""
        return (self.busy + self.queued) / max(self.slots, 1) if self.state == "up" else math.inf

    def expected_wait_s(self, audio_s: float) -> float:
        """Seconds in the queue before a slot is free; where the line is not known, if all before were like this one."""
        if self.wait_s is not None:
            return self.wait_s
        ahead = self.busy + self.queued - self.slots + 1
        if ahead <= 0:
            return 0.0
        return ahead / max(self.slots, 1) * (self.real_time_factor or 0.0) * audio_s * self.stretch

    def expected_first_audio_s(self, audio_s: float) -> float | None:
        """Seconds to the first audio of a new request; None when never measured."""
        if self.first_audio_s is None:
            return None
        return self.expected_wait_s(audio_s) + self.first_audio_s

    def expected_work_s(self, audio_s: float, *, clauses: bool) -> float:
        """Seconds that it will take to speak it all, without the wait in the queue: 0 when never measured.

        `clauses`: it is more than one. Where others speak too, one speech more is under way than there are slots, and
        each waits now and then for a slot.
        """
        slower = 1 + 1 / max(self.slots, 1) if clauses and self.busy else 1.0
        return max(self.first_audio_s or 0.0, (self.real_time_factor or 0.0) * audio_s * self.stretch * slower)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All engines at one moment. `now` carries a time zone."""

    now: datetime
    engines: Mapping[str, EngineState]


# --- what is planned ---


@dataclass(frozen=True, slots=True)
class Step:
    """An engine that will be tried, and why."""

    engine: str
    voice: str  # the engine's own voice for the main language; empty: its default, not known before it starts
    expected_first_audio_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """An engine that will not be tried, and why."""

    engine: str
    code: SkipCode
    reason: str
    back_in_s: float | None = None  # seconds until another request might find it ready, where time mends it


@dataclass(frozen=True, slots=True)
class Plan:
    """What we intend, in order: the last resort at the end of `steps`.

    `preference` is the rule's full order, skipped engines included: the cache is looked up in it, and
    "degraded" is measured against it. `terms` are the rule's over the defaults.
    """

    rule: str
    steps: tuple[Step, ...]
    skipped: tuple[Skip, ...]
    preference: tuple[str, ...]
    terms: Terms
