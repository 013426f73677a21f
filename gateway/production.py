"""Makes one speech: engines say it clause by clause, their audio becomes one file, which is kept if it ended well.

Whoever began it gives the plan; who listens is no concern of its. Knows nothing about caches of other processes, nor
HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from engines.contract import EngineInfo, SpeechRequest
from gateway.audio.encode import finish_clip, open_encoder
from gateway.audio.rates import encoder_rate
from gateway.cache import Cache, Clip
from gateway.decision import key_of
from gateway.encoding import encode
from gateway.era import Era
from gateway.failover import Failover, Spoken
from gateway.guards import Allowance
from gateway.prepared import Prepared
from gateway.record import HEDGED, Attempt, Making
from gateway.request import ClientRequest
from gateway.text.characters import count_han
from gateway.text.script import Clause
from gateway.text.ssml import words_of
from policies.decide import degraded
from policies.types import Plan, Snapshot

#: no clip larger than this is gathered for the cache
LARGEST_CLIP_BYTES = 16_000_000


@dataclass(slots=True)
class Production:
    """One speech in the making. `elapsed_s`: seconds since the request that began it came in."""

    request: ClientRequest
    era: Era
    prepared: Prepared
    snapshot: Snapshot
    plan: Plan
    making: Making
    elapsed_s: Callable[[], float]

    def spoken(self, left: Allowance) -> AsyncGenerator[Spoken, None]:
        """PCM, clause by clause, from whichever engines can; `left` is how long they may take altogether."""
        return Failover(
            self.plan,
            self.prepared.script,
            self.era.engines,
            self._request_of,
            self.making,
            self.elapsed_s,
            left,
            lambda engine, within_s: self.era.somebody_returns([engine], within_s),
        ).speak()

    async def encoded(self, left: Allowance, cache: Cache | None) -> AsyncGenerator[bytes, None]:
        """The pieces of one file. The whole is kept in `cache` when it ended well and one engine spoke it all."""
        gathered: list[bytes] = []
        size_bytes = 0
        encoder = open_encoder(self.request.format, encoder_rate(self.request.format, self.request.sample_rate))
        async with aclosing(encode(self.spoken(left), encoder)) as pieces:
            async for piece in pieces:
                if not size_bytes:
                    self._first_audio()
                size_bytes += len(piece)
                if cache and size_bytes <= LARGEST_CLIP_BYTES and self._speaks_alone():
                    gathered.append(piece)
                else:
                    gathered.clear()
                yield piece
        if gathered and cache and self._speaks_alone():
            await self._keep(b"".join(gathered), cache)

    def settle(self) -> float:
        """Write what each attempt costs into its record; returns the sum.

        Engines ask for the whole clause once they have begun it: also where they broke off, or another outran them. A
        start that failed costs nothing.
        """
        for attempt in self.making.attempts:
            if attempt.error in ("", HEDGED) or attempt.audio_s:
                attempt.cost = self._cost(attempt)
        return sum(attempt.cost for attempt in self.making.attempts)

    def _first_audio(self) -> None:
        making = self.making
        speaker = next(one for one in making.attempts if not one.error)
        making.engine, making.engine_voice = speaker.engine, speaker.voice
        failed = [(one.engine, one.message) for one in making.attempts if one.error]
        making.degraded = degraded(self.plan, making.engine, failed)

    def _speaks_alone(self) -> bool:
        return len(set(self.making.clause_engines)) <= 1

    async def _keep(self, encoded: bytes, cache: Cache) -> None:
        making, info = self.making, self._info(self.making.engine)
        # an engine that became another one meanwhile, such as a worker with a newer model: whose clip is this?
        if info is None or info.version != self.era.members[making.engine].info.version:
            return
        clip = Clip(finish_clip(self.request.format, encoded), making.engine, making.engine_voice, making.audio_s)
        await cache.put(key_of(making.engine, self.prepared, self.snapshot, self.era), clip)
        making.kept = True

    def _request_of(self, engine: str, clause: Clause) -> SpeechRequest:
        return SpeechRequest(
            text=clause.text,
            language=clause.language,
            voice=self.prepared.target.voice_on(engine, clause.language, self._info(engine)),
            gender=self.prepared.target.gender,
            markup=self.prepared.script.markup,
            speed=self.request.speed,
            instructions=self.request.instructions,
            emotion=self.prepared.target.emotion_on(engine, clause.language),
            seed=self.request.seed,
            via=self.request.via,
        )

    def _info(self, engine: str) -> EngineInfo | None:
        state = self.snapshot.engines.get(engine)
        return state.info if state else None

    def _cost(self, attempt: Attempt) -> float:
        state, script = self.snapshot.engines.get(attempt.engine), self.prepared.script
        if state is None or not state.cost_per_1k_chars:
            return 0.0
        text = script.clauses[attempt.clause].text
        if script.markup == "ssml":  # no service asks for tags
            text = words_of(text)
        more = (state.info.han_counts - 1) * count_han(text) if state.info else 0
        return state.cost_per_1k_chars * (len(text) + more) / 1000
