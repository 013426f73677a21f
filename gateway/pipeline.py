"""The way of a request, from what a client asked to encoded audio. Read this file first.

    prepare   text -> clauses with their languages; model and voice resolved
    plan      the policy decides, from one snapshot of the board, which engines in which order
    cache     a finished clip is sent whole
    flight    equal requests at the same time hear one making, which the first of them begins
    failover  engines speak clause by clause, the next one when one fails
    encode    PCM -> one well-formed file, streamed; kept if it ended well

The last two are what is made in a flight: `gateway/production.py`. Knows nothing about HTTP: `gateway/http` parses into
a ClientRequest and sends a Reply; `voxgate say` does the same without a server.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from engines.errors import Interrupted, InvalidRequest, SpeechError
from gateway.audio.encode import media_type
from gateway.audio.rates import encoder_rate
from gateway.decision import decide_now, flight_key
from gateway.era import Era
from gateway.failover import Spoken
from gateway.flight.across import Publishing, claim, follow
from gateway.flight.flight import Abandoned, Flight, Listener, Piece
from gateway.guards import Allowance
from gateway.limits.permit import FREE, Permit
from gateway.no_engine import no_engine
from gateway.player import Player
from gateway.prepared import Prepared
from gateway.production import Production
from gateway.record import Making, Served
from gateway.refusals import NoEngine, OutOfTime
from gateway.reply import EncodedStream, Reply
from gateway.request import ClientRequest
from gateway.runtime import Runtime
from gateway.text.script import Script
from policies.decide import degraded
from policies.types import Plan, Snapshot

#: no file larger than this is gathered for a client that does not take it in pieces: as much as the longest text makes
#: at its natural speed, as mp3. Slow speech as wav would be gigabytes, and putting those together would stop everybody
#: else.
LARGEST_WHOLE_BYTES = 64_000_000


async def speak(
    request: ClientRequest,
    runtime: Runtime,
    request_id: str,
    permit: Permit = FREE,
    departed: Callable[[], bool] = lambda: True,
) -> Reply:
    """Answer one request. Returns when the first encoded audio is there, so that the status is honest.

    Raises SpeechError when nobody could begin to speak, when the request is wrong, or when its key's limits are
    reached. `permit` stays the caller's to close, after the reply. `departed` tells, when the work is cancelled or the
    reply is closed before its end, whether the client has left; if not, we broke it off.
    """
    speech = Speech.prepare(request, runtime, request_id)
    speech.permit, speech.departed = permit, departed
    try:
        while True:
            if reply := await speech.from_cache():
                return reply
            try:
                return await speech.from_flight()
            except Abandoned:  # by whom we followed, for no fault of the engines
                if speech.left_s <= 0:
                    raise OutOfTime from None
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
    waited_s: float = 0.0  # for an engine that came back, and for pieces
    permit: Permit = FREE
    departed: Callable[[], bool] = lambda: True
    production: Production | None = None  # what this request makes, and pays for
    flight: Flight | None = None  # what it listens to

    @classmethod
    def prepare(cls, request: ClientRequest, runtime: Runtime, request_id: str, script: Script | None = None) -> Speech:
        """Prepare and plan: pure, and quick. A `script` that is given is spoken instead of the request's text."""
        began_s, era = runtime.clock.monotonic(), runtime.era
        prepared = era.preparing.prepare_script(request, script) if script else era.preparing.prepare(request)
        snapshot, plan, keys = decide_now(prepared, era, request_id)
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

    def spoken(self) -> AsyncGenerator[Spoken, None]:
        """PCM, clause by clause, for one listener who takes it as it is made: no cache, no flight, no encoding."""
        return self._production(Making()).spoken(Allowance(self.left_s))

    # --- cache ---

    async def from_cache(self) -> Reply | None:
        """The clip of the preferred engine, down to the first one that can speak now, never below it."""
        if self.request.cache == "bypass" or self.plan.terms.cache == "bypass":
            self.served.cache = "bypass"
            return None
        found = await self.runtime.cache.first(self.keys)
        if found is None:
            if self.plan.terms.cache == "only":
                raise no_engine(self.plan, [], self.era.engines)
            return None
        clip = found[1]
        served = self.served
        served.cache, served.engine, served.engine_voice = "hit", clip.engine, clip.voice
        served.audio_s, served.bytes_out = clip.audio_s, len(clip.data)
        served.degraded = degraded(self.plan, clip.engine, ())
        await self.end(None)
        return Reply(served, media_type(self.request.format), self._rate, body=clip.data)

    # --- flight ---

    async def from_flight(self) -> Reply:
        """Begin to speak, or join who did; returns once there is something to hear. Raises Abandoned: try again."""
        if self.flight is None:
            await self.runtime.outcomes.put(self.served)
        in_vain = self.flight.maker if self.flight else ""
        self.flight, first = self.runtime.flights.join(self._flight_key())
        if first and self.flight.key and self.runtime.cache.holds(self.keys):  # one landed since we looked there
            self.flight.abandon()
            raise Abandoned
        if self.served.cache != "bypass":
            self.served.cache = "miss" if first else "follow"
        listener = self.flight.listen(self.left_s)
        if first:
            await self._take_off(self.flight, in_vain)
        self.served.clause_engines = self.flight.making.clause_engines
        pieces = self._hear(listener)
        stream = EncodedStream(await anext(pieces), pieces)
        return Reply(self.served, media_type(self.request.format), self._rate, stream=stream)

    async def _take_off(self, flight: Flight, in_vain: str) -> None:
        """Get a new flight to begin: make the speech, or hear it from another gateway that makes it already.

        `in_vain`: by which claim we have followed one already. That nobody can speak holds for all who joined; whatever
        else hinders us is ours alone.
        """
        flights, claimed = self.runtime.flights, None
        try:
            await self._find_engines()
            claimed = await claim(flights.claims, flight.key)
            if claimed and not claimed.ours:
                if claimed.token != in_vain:
                    self.served.cache, flight.maker = "follow", claimed.token
                    flight.begin(follow(claimed, flight.making))
                    return
                claimed = None
            await self.permit.spend(self.prepared.script.chars, self.prepared.ask.audio_s)
        except NoEngine as error:
            flight.fail(error)
            raise
        except BaseException:
            flight.abandon()
            if claimed:
                flights.spawn(claimed.give_back())
            raise
        self.production = self._production(flight.making)
        self.served.attempts = flight.making.attempts
        if claimed:
            flights.spawn(Publishing(flight, claimed).run())
        cache = None if self.served.cache == "bypass" else self.runtime.cache
        flight.begin(self.production.encoded(flight.left, cache))

    async def _find_engines(self) -> None:
        """Wait for an engine that is down for a moment only, as one is while its process is started again."""
        if not self.plan.steps:
            down = [skip.engine for skip in self.plan.skipped if skip.code == "down"]
            since_s = self._elapsed_s()
            within_s = min(self.plan.terms.first_audio_ms / 1000, self.left_s)
            back = await self.era.somebody_returns(down, within_s)
            self.waited_s += self._elapsed_s() - since_s
            if back:
                self.snapshot, self.plan, self.keys = decide_now(self.prepared, self.era, self.served.request_id)
                self.served.plan = self.plan
            elif self.left_s <= 0:
                raise OutOfTime
        if not self.plan.steps:
            raise no_engine(self.plan, [], self.era.engines)

    # --- listen ---

    async def _hear(self, listener: Listener) -> AsyncGenerator[bytes, None]:
        """Pieces as they come; the end of them is the end of the record."""
        player = Player(self.served)
        try:
            async with aclosing(listener):
                while piece := await self._next(listener):
                    self._heard(piece, listener.flight.making)
                    if self.request.stream:
                        player.hear(self._elapsed_s())
                    yield piece.data
                    player.ask(self._elapsed_s())
        except Abandoned:
            raise
        except BaseException as error:
            await self.end(error)
            raise
        await self.end(None)

    async def _next(self, listener: Listener) -> Piece | None:
        """The next piece, within the time allowed. Time in which the client does not read is not counted."""
        if not listener.ready:
            loop = asyncio.get_running_loop()
            since_s = loop.time()
            try:
                async with asyncio.timeout(None if self.left_s == math.inf else self.left_s):
                    await listener.wait()
            except TimeoutError:
                raise OutOfTime from None
            finally:
                self.waited_s += loop.time() - since_s
        try:
            return await listener.next()
        except OutOfTime:
            if self.production:
                raise
            if listener.heard:
                raise Interrupted("the speech broke off: the time of whoever asked for it first is over") from None
            raise Abandoned from None

    def _heard(self, piece: Piece, making: Making) -> None:
        served = self.served
        if served.first_audio_s is None:
            served.first_audio_s = self._elapsed_s()
            served.engine, served.engine_voice = making.engine, making.engine_voice
            served.degraded = making.degraded
        served.audio_s = piece.audio_s
        served.bytes_out += len(piece.data)
        if served.bytes_out > LARGEST_WHOLE_BYTES and not self.request.stream:
            raise InvalidRequest(
                f"more than {LARGEST_WHOLE_BYTES // 1_000_000} MB of audio in one piece; take it as a "
                "stream, ask for a smaller format, or send the text in parts",
                param="input",
            )

    # --- the end ---

    async def end(self, error: BaseException | None) -> None:
        """Write how it ended into the record; the last thing that happens to a request.

        The record of whoever began a making that goes on for others is closed, and paid, when that is over.
        """
        served = self.served
        if served.outcome != "running":
            return
        served.total_s = self._elapsed_s()
        if error is None:
            served.outcome = "complete"
        elif isinstance(error, SpeechError):
            served.outcome = "interrupted" if served.bytes_out else "failed"
            served.error, served.message = error.code, error.message
        elif not isinstance(error, asyncio.CancelledError | GeneratorExit):
            served.outcome, served.error, served.message = "failed", "internal", type(error).__name__
        elif self.departed():
            served.outcome = "cancelled"
        else:
            served.outcome, served.error = "interrupted", "interrupted"
            served.message = "the gateway was stopped before the speech was over"
        if self.production and self.flight and not self.flight.over:
            self.runtime.flights.spawn(self._close_after(self.flight))
        else:
            await self._close()

    async def _close_after(self, flight: Flight) -> None:
        try:
            await flight.wait()
        finally:
            await self._close()

    async def _close(self) -> None:
        """Pay, and tell whoever listens to records."""
        served, audio_s = self.served, self.served.audio_s
        served.clause_engines = [*served.clause_engines]  # of the flight, which may go on for others
        self.era.leave()
        if self.production:
            served.cost, audio_s = self.production.settle(), self.production.making.audio_s
        await self.permit.settle(audio_s, spoken=audio_s > 0)
        await self.runtime.outcomes.put(served)
        self.runtime.tell_served(served)
        if self.runtime.served_log is not None:
            self.runtime.served_log.note(served, self.prepared, self.snapshot)

    # --- small facts ---

    def _production(self, making: Making) -> Production:
        return Production(self.request, self.era, self.prepared, self.snapshot, self.plan, making, self._elapsed_s)

    def _flight_key(self) -> str:
        # what came through another gateway waits for nobody's making: that one may be waiting for us in turn
        if self.served.cache == "bypass" or self.request.via:
            return ""
        return flight_key(self.request, self.prepared, self.snapshot, self.plan, self.era)

    @property
    def left_s(self) -> float:
        """Seconds that the client and the rule still allow."""
        allowed_ms = min(self.plan.terms.total_ms or math.inf, self.request.deadline_ms or math.inf)
        return allowed_ms / 1000 - self.waited_s

    @property
    def _rate(self) -> int:
        return encoder_rate(self.request.format, self.request.sample_rate)

    def _elapsed_s(self) -> float:
        return self.runtime.clock.monotonic() - self.began_s
