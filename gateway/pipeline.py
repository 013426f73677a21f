"""The way of a request, from what a client asked to encoded audio. Read this file first.

    prepare   text -> clauses with their languages; model and voice resolved
    plan      the policy decides, from one snapshot of the board, which engines in which order
    cache     a finished clip is sent whole
    failover  engines speak clause by clause, the next one when one fails
    encode    PCM -> one well-formed file, streamed; kept if it ended well

Knows nothing about HTTP: `gateway/http` parses into a ClientRequest and sends a Reply; `voxgate say` does the same
without a server.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from engines.contract import EngineInfo, SpeechRequest
from engines.errors import InvalidRequest, SpeechError
from gateway.audio.encode import finish_clip, media_type, open_encoder
from gateway.audio.rates import encoder_rate
from gateway.cache import Clip, clip_key
from gateway.encoding import encode
from gateway.era import Era
from gateway.failover import Failover, Spoken, no_engine
from gateway.guards import Allowance
from gateway.limits.permit import FREE, Permit
from gateway.player import Player
from gateway.prepared import Decision, Prepared, with_draw
from gateway.record import Attempt, Served
from gateway.reply import EncodedStream, Reply
from gateway.request import ClientRequest
from gateway.runtime import Runtime
from gateway.text.script import Clause, Script
from policies.decide import cacheable, decide, degraded
from policies.types import Plan, Snapshot

#: no clip larger than this is gathered for the cache
LARGEST_CLIP_BYTES = 16_000_000
#: nor one larger than this for a client that does not take it in pieces: as much as the longest text makes at its
#: natural speed, as mp3. Slow speech as wav would be gigabytes, and putting those together would stop everybody else.
LARGEST_WHOLE_BYTES = 64_000_000


async def speak(request: ClientRequest, runtime: Runtime, request_id: str, permit: Permit = FREE) -> Reply:
    """Answer one request. Returns when the first encoded audio is there, so that the status is honest.

    Raises SpeechError when nobody could begin to speak, when the request is wrong, or when its key's limits are
    reached. `permit` stays the caller's to close, after the reply.
    """
    speech = Speech.prepare(request, runtime, request_id)
    speech.permit = permit
    try:
        return await speech.from_cache() or await speech.from_engines()
    except BaseException as error:
        await speech.end(error)
        raise


@dataclass(slots=True)
class Speech:
    """One request on its way, from plan to the end of its record."""

    request: ClientRequest
    runtime: Runtime
    era: Era  # kept to the end, whatever is reloaded meanwhile
    prepared: Prepared
    snapshot: Snapshot
    plan: Plan
    keys: list[str]  # of clips that may answer, in the rule's order
    served: Served
    began_s: float
    waited_s: float = 0.0  # for an engine that came back, before there was a plan with any
    permit: Permit = FREE

    @classmethod
    def prepare(cls, request: ClientRequest, runtime: Runtime, request_id: str, script: Script | None = None) -> Speech:
        """Prepare and plan: pure, and quick. A `script` that is given is spoken instead of the request's text."""
        began_s, era = runtime.clock.monotonic(), runtime.era
        prepared = era.preparing.prepare_script(request, script) if script else era.preparing.prepare(request)
        snapshot, plan, keys = _decide(prepared, era, request_id)
        served = Served(
            request_id=request_id,
            received=runtime.clock.now(),
            key=request.key,
            model=request.model,
            voice=prepared.target.voice,
            format=request.format,
            chars=prepared.script.chars,
            languages=prepared.script.languages,
            tags=request.tags,
            plan=plan,
        )
        era.enter()
        return cls(request, runtime, era, prepared, snapshot, plan, keys, served, began_s)

    # --- cache ---

    async def from_cache(self) -> Reply | None:
        """The clip of the preferred engine, down to the first one that can speak now, never below it."""
        if self.request.cache == "bypass" or self.plan.terms.cache == "bypass":
            self.served.cache = "bypass"
            return None
        found = await self.runtime.cache.first(self.keys)
        if found is None:
            if self.plan.terms.cache == "only":
                raise no_engine(self.plan, [])
            return None
        clip = found[1]
        served = self.served
        served.cache, served.engine, served.engine_voice = "hit", clip.engine, clip.voice
        served.audio_s, served.bytes_out = clip.audio_s, len(clip.data)
        served.degraded = degraded(self.plan, clip.engine, ())
        await self.end(None)
        return Reply(served, media_type(self.request.format), self._rate, body=clip.data)

    # --- failover ---

    async def from_engines(self) -> Reply:
        """Begin to speak, and return once there is something to hear."""
        await self.runtime.outcomes.put(self.served)
        if not self.plan.steps and await self._somebody_returns():
            self.snapshot, self.plan, self.keys = _decide(self.prepared, self.era, self.served.request_id)
            self.served.plan = self.plan
        if not self.plan.steps:
            raise no_engine(self.plan, [])
        await self.permit.spend(self.prepared.script.chars, self.prepared.ask.audio_s)
        pieces = self._stream()
        stream = EncodedStream(await anext(pieces), pieces)
        return Reply(self.served, media_type(self.request.format), self._rate, stream=stream)

    async def _somebody_returns(self) -> bool:
        """Wait for an engine that is down for a moment only, as one is while its process is started again."""
        down = [skip.engine for skip in self.plan.skipped if skip.code == "down"]
        since_s = self._elapsed_s()
        within_s = min(self.plan.terms.first_audio_ms / 1000, self._allowed_s)
        back = await self.era.somebody_returns(down, within_s)
        self.waited_s = self._elapsed_s() - since_s
        return back

    def spoken(self) -> AsyncGenerator[Spoken, None]:
        """PCM, clause by clause, from whichever engines can."""
        engines = {name: member.guarded for name, member in self.era.members.items()}
        return Failover(
            self.plan,
            self.prepared.script,
            engines,
            self._request_of,
            self.served,
            self._elapsed_s,
            Allowance(self._allowed_s - self.waited_s),
            lambda engine, within_s: self.era.somebody_returns([engine], within_s),
        ).speak()

    def _request_of(self, engine: str, clause: Clause) -> SpeechRequest:
        return SpeechRequest(
            text=clause.text,
            language=clause.language,
            voice=self._voice(engine, clause.language),
            gender=self.prepared.target.gender,
            markup=self.prepared.script.markup,
            speed=self.request.speed,
            instructions=self.request.instructions,
            emotion=self.request.emotion,
            seed=self.request.seed,
        )

    # --- encode and keep ---

    async def _stream(self) -> AsyncGenerator[bytes, None]:
        """Encoded pieces as they come; the whole is kept when it ended well and one engine spoke it all."""
        gathered: list[bytes] = []
        served, player = self.served, Player(self.served)
        try:
            async with aclosing(encode(self.spoken(), open_encoder(self.request.format, self._rate))) as pieces:
                async for piece in pieces:
                    if not served.bytes_out:
                        self._first_audio()
                    served.bytes_out += len(piece)
                    if served.bytes_out > LARGEST_WHOLE_BYTES and not self.request.stream:
                        raise InvalidRequest(
                            f"more than {LARGEST_WHOLE_BYTES // 1_000_000} MB of audio in one piece; take it as a "
                            "stream, ask for a smaller format, or send the text in parts",
                            param="input",
                        )
                    if self._keepable():
                        gathered.append(piece)
                    else:
                        gathered.clear()
                    if self.request.stream:
                        player.hear(self._elapsed_s())
                    yield piece
                    player.ask(self._elapsed_s())
            await self._keep(gathered)
        except BaseException as error:
            await self.end(error)
            raise
        await self.end(None)

    def _first_audio(self) -> None:
        served = self.served
        served.first_audio_s = self._elapsed_s()
        speaker = next(one for one in served.attempts if not one.error)
        served.engine, served.engine_voice = speaker.engine, speaker.voice
        failed = [(one.engine, one.message) for one in served.attempts if one.error]
        served.degraded = degraded(self.plan, served.engine, failed)

    def _keepable(self) -> bool:
        """May what was spoken so far become a clip of the cache: not too large, and all of it one engine's."""
        served = self.served
        small = served.bytes_out <= LARGEST_CLIP_BYTES
        return small and served.cache != "bypass" and len(set(served.clause_engines)) <= 1

    async def _keep(self, gathered: list[bytes]) -> None:
        served, info = self.served, self._info(self.served.engine)
        # an engine that became another one meanwhile, such as a worker with a newer model: whose clip is this?
        changed = info is None or info.version != self.era.members[served.engine].info.version
        if changed or not self._keepable():
            return
        data = finish_clip(self.request.format, b"".join(gathered))
        clip = Clip(data, served.engine, served.engine_voice, served.audio_s)
        await self.runtime.cache.put(_key(served.engine, self.prepared, self.snapshot, self.era), clip)

    async def end(self, error: BaseException | None) -> None:
        """Write the end of the record and tell whoever listens; the last thing that happens to a request."""
        served = self.served
        if served.outcome != "running":
            return
        self.era.leave()
        served.total_s = self._elapsed_s()
        if served.cache != "hit":
            served.cost = sum(self._cost(attempt) for attempt in served.attempts if not attempt.error)
        if error is None:
            served.outcome = "complete"
        elif isinstance(error, SpeechError):
            served.outcome = "interrupted" if served.bytes_out else "failed"
            served.error, served.message = error.code, error.message
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            served.outcome = "cancelled"
        else:
            served.outcome, served.error, served.message = "failed", "internal", type(error).__name__
        await self.permit.settle(served.audio_s, spoken=served.bytes_out > 0)
        await self.runtime.outcomes.put(served)
        self.runtime.tell_served(served)

    # --- small facts ---

    @property
    def _allowed_s(self) -> float:
        """Seconds that the client and the rule allow the whole request."""
        return min(self.plan.terms.total_ms or math.inf, self.request.deadline_ms or math.inf) / 1000

    @property
    def _rate(self) -> int:
        return encoder_rate(self.request.format, self.request.sample_rate)

    def _elapsed_s(self) -> float:
        return self.runtime.clock.monotonic() - self.began_s

    def _info(self, engine: str) -> EngineInfo | None:
        state = self.snapshot.engines.get(engine)
        return state.info if state else None

    def _voice(self, engine: str, language: str) -> str:
        return self.prepared.target.voice_on(engine, language, self._info(engine))

    def _cost(self, attempt: Attempt) -> float:
        state = self.snapshot.engines.get(attempt.engine)
        chars = len(self.prepared.script.clauses[attempt.clause].text)
        return state.cost_per_1k_chars * chars / 1000 if state else 0.0


def _decide(prepared: Prepared, era: Era, request_id: str) -> Decision:
    """The plan for a request now, and the keys of the clips that may answer it."""
    snapshot, policy = era.snapshot(), era.config.policy
    if prepared.latest and prepared.latest.snapshot is snapshot and not policy.draws_lots:
        return prepared.latest
    ask = with_draw(prepared.ask, request_id) if policy.draws_lots else prepared.ask
    plan = decide(ask, snapshot, policy)
    keys = [_key(engine, prepared, snapshot, era) for engine in cacheable(plan)]
    prepared.latest = Decision(snapshot, plan, keys)
    return prepared.latest


def _key(engine: str, prepared: Prepared, snapshot: Snapshot, era: Era) -> str:
    """The cache key of one engine's clip: what is spoken, the engine's fingerprint, and its voice per language.

    The languages are those of the clauses, as the engine is told them: a document in SSML may say it is in one and hold
    another. An engine that is given no voice chooses one by the gender.
    """
    info = snapshot.engines[engine].info
    target, version = prepared.target, info.version if info else ""
    languages = dict.fromkeys(clause.language for clause in prepared.script.clauses)
    voices = [target.voice_on(engine, language, info) for language in languages]
    fingerprint = era.members[engine].fingerprint
    return clip_key(prepared.spoken, f"{fingerprint}\0{version}\0{voices}\0{target.gender}")
