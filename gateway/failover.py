"""Speaks a script, clause by clause, with the engines of a plan: when one fails, the next goes on.

Until the first audio is heard, any engine may be tried, and the next one may be started beside a silent one
(`hedge_after_ms`). After it, the rule's `on_interruption` decides:

    continue  a clause is released when its engine has finished it, so the unfinished clause of an engine that died is
              spoken whole by the next one: nothing is heard twice, nothing is lost
    abort     audio is released as it comes, and a failure breaks the speech off

An engine that failed is done with for this speech; one that only cannot speak a clause is asked for the others again.
`retries` are tries of the same engine, on another connection, and only while it has given no audio of the clause.

Whoever iterates hears a complete speech or an exception, never a clean end after a part of it. Knows nothing about
formats, caches or HTTP.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple

from engines.contract import AudioChunk, SpeechRequest
from engines.errors import Interrupted, SpeechError
from gateway.guards import Allowance, Guarded
from gateway.health.line import Visit
from gateway.hedge import hedged
from gateway.no_engine import no_engine
from gateway.record import HEDGED, Attempt, Making
from gateway.refusals import OutOfTime
from gateway.text.script import Clause, Script
from policies.types import Plan, Step


@dataclass(frozen=True, slots=True)
class Spoken:
    """Audio of one clause, and who spoke it."""

    chunk: AudioChunk
    clause: int
    engine: str
    voice: str


class Loss(NamedTuple):
    """A try that failed, and why."""

    step: Step
    attempt: Attempt
    error: SpeechError


@dataclass(slots=True)
class Failover:
    """One speech: what is to be said, by whom in which order, and the record of what happens.

    `request_of` makes the request for an engine and a clause; `elapsed_s` tells the seconds since the client's
    request came in; `left` is the time the whole request may still wait for engines; `returns` waits, for so many
    seconds at most, until an engine that was lost is back, and tells whether it is.
    """

    plan: Plan
    script: Script
    engines: Mapping[str, Guarded]
    request_of: Callable[[str, Clause], SpeechRequest]
    making: Making
    elapsed_s: Callable[[], float]
    left: Allowance
    returns: Callable[[str, float], Awaitable[bool]]
    _losses: list[Loss] = field(default_factory=list, init=False)
    _visits: dict[str, Visit] = field(default_factory=dict, init=False)
    _outrun: set[str] = field(default_factory=set, init=False)
    _heard: bool = field(default=False, init=False)

    async def speak(self) -> AsyncGenerator[Spoken, None]:
        """Speak all clauses. Raises what the last engine raised while nothing was heard yet (NoEngine when several
        were tried or none was left), Interrupted after that."""
        steps = list(self.plan.steps)  # of those who may speak the rest
        waited = False
        try:
            for index, clause in enumerate(self.script.clauses):
                trying, tries, spoke = self._in_order(steps), 0, False  # those who may speak this clause
                while not spoke:
                    if not trying:
                        raise self._nobody_left()
                    lost: list[Loss] = []
                    try:
                        async with aclosing(self._clause(trying, index, clause, lost)) as audio:
                            async for spoken in audio:
                                self._heard = True
                                self.making.audio_s += spoken.chunk.seconds
                                yield spoken
                        spoke = True
                    except SpeechError as error:
                        tries += 1
                        self._go_on_after(error)
                        again = len(lost) == 1 and self._may_retry(lost[0], tries)
                        if not again and len(trying) == 1 and not waited and await self._last_returns(lost[0]):
                            waited = again = True
                        if again:
                            lost.clear()
                    for step, _, failure in lost:
                        trying.remove(step)
                        tries = 0
                        if failure.code != "unsupported":
                            steps.remove(step)
        finally:
            for engine, visit in self._visits.items():
                self.engines[engine].row.line.leave(visit)

    async def _clause(
        self, trying: Sequence[Step], index: int, clause: Clause, lost: list[Loss]
    ) -> AsyncGenerator[Spoken, None]:
        """One clause by the first who can: chunk by chunk, or whole once it is finished. `lost` takes who failed."""
        hedge_after_ms, begun = self.plan.terms.hedge_after_ms, len(self.making.attempts)
        if hedge_after_ms and not self._heard and len(trying) > 1:
            audio = hedged(self._each(trying, index, clause, lost), hedge_after_ms / 1000)
        else:
            alone = len(trying) == 1
            audio = self._attempt(trying[0], index, clause, lost, self._visit(trying[0], index, alone=alone), self.left)
        speaker: Attempt | None = None
        held: list[AudioChunk] = []
        async with aclosing(audio) as chunks:
            async for attempt, chunk in chunks:
                if speaker is None:
                    speaker = attempt
                    self._outran(speaker, self.making.attempts[begun:])
                if self.plan.terms.on_interruption == "abort":
                    yield Spoken(chunk, index, attempt.engine, attempt.voice)
                else:
                    held.append(chunk)
        if speaker is None:
            return
        speaker.ended_s = self.elapsed_s()
        self.making.clause_engines.append(speaker.engine)
        if held:
            yield Spoken(joined(held), index, speaker.engine, speaker.voice)

    def _each(
        self, trying: Sequence[Step], index: int, clause: Clause, lost: list[Loss]
    ) -> Iterator[AsyncGenerator[tuple[Attempt, AudioChunk], None]]:
        """The tries of a race. The first may wait in line, the others take a free slot or none; and as they wait at the
        same time, each has a purse of its own."""
        began_s, left_s = self.elapsed_s(), self.left.seconds
        for place, step in enumerate(trying):
            visit = self._visit(step, index, queues=place == 0)
            left = Allowance(left_s - (self.elapsed_s() - began_s)) if place else self.left
            yield self._attempt(step, index, clause, lost, visit, left)

    async def _attempt(
        self, step: Step, index: int, clause: Clause, lost: list[Loss], visit: Visit, left: Allowance
    ) -> AsyncGenerator[tuple[Attempt, AudioChunk], None]:
        """One engine at one clause, as it gives audio, with the record of it."""
        request, terms = self.request_of(step.engine, clause), self.plan.terms
        attempt = Attempt(step.engine, request.voice, index, started_s=self.elapsed_s())
        self.making.attempts.append(attempt)
        guarded = self.engines[step.engine].attempt(terms.first_audio_ms / 1000, terms.gap_ms / 1000, left, visit)
        try:
            async with aclosing(guarded.synthesize(request)) as chunks:
                async for chunk in chunks:
                    if attempt.first_audio_s is None:
                        attempt.first_audio_s = self.elapsed_s() - attempt.started_s
                        race_s = left.seconds
                    attempt.audio_s += chunk.seconds
                    yield attempt, chunk
        except SpeechError as error:
            attempt.ended_s = self.elapsed_s()
            attempt.error, attempt.message = error.code, error.message
            if visit.queues or error.code != "busy":  # one that only had no free slot may yet be waited for
                lost.append(Loss(step, attempt, error))
                self._losses.append(lost[-1])
            raise
        finally:
            if left is not self.left and attempt.audio_s and not math.isinf(left.seconds):
                self.left.seconds -= race_s - left.seconds  # while it raced, the first one's purse was paid from

    def _visit(self, step: Step, index: int, *, queues: bool = True, alone: bool = False) -> Visit:
        """The speech in an engine's line, with what of it is still to be spoken."""
        visit = self._visits.setdefault(step.engine, Visit())
        clauses = self.script.clauses
        speed = self.request_of(step.engine, clauses[index]).speed
        per_char_s = self.script.audio_s / speed / (sum(len(one.text) for one in clauses) or 1)
        visit.clause_s = per_char_s * len(clauses[index].text)
        visit.later_s = per_char_s * sum(len(one.text) for one in clauses[index + 1 :])
        visit.begun, visit.queues, visit.alone = self._heard, queues, alone
        return visit

    def _outran(self, speaker: Attempt, round_: Sequence[Attempt]) -> None:
        """Say of the others in a race why they ended: no error of theirs."""
        for other in round_:
            if other is not speaker and not other.error:
                other.ended_s = self.elapsed_s()
                other.error, other.message = HEDGED, f"{speaker.engine} gave audio first"
                self._outrun.add(other.engine)

    def _in_order(self, steps: Sequence[Step]) -> list[Step]:
        """As planned; whoever was outrun comes last, as it would be waited for at the next clause, too."""
        return sorted(steps, key=lambda step: step.engine in self._outrun)

    def _may_retry(self, loss: Loss, tries: int) -> bool:
        """The same engine once more: on another connection, and only while it has given no audio."""
        error = loss.error
        if not error.retry_same or error.retry_after_s is not None:  # it said that it will not be back so soon
            return False
        return not loss.attempt.audio_s and tries <= self.plan.terms.retries

    async def _last_returns(self, loss: Loss) -> bool:
        """An engine that died and is being started again is worth waiting for when there is no other: once."""
        if not loss.error.retry_same:
            return False
        since_s = self.elapsed_s()
        back = await self.returns(loss.step.engine, min(self.plan.terms.first_audio_ms / 1000, self.left.seconds))
        self.left.seconds -= self.elapsed_s() - since_s
        return back

    def _go_on_after(self, error: SpeechError) -> None:
        """Raises when no engine may try after this error."""
        if self._heard and self.plan.terms.on_interruption == "abort":
            raise Interrupted(f"the speech broke off: {error.message}") from error
        if error.try_next or (error.code == "refused" and self.plan.terms.allow_refused_fallback):
            return
        if self._heard:
            raise Interrupted(f"the speech broke off: {error.message}") from error
        raise error

    def _nobody_left(self) -> SpeechError:
        """The error for the client when every step was tried, or there was none."""
        if self._heard:
            last = self._losses[-1].error.message if self._losses else "no engine is left"
            return Interrupted(f"the speech broke off: {last}")
        if self.left.seconds <= 0:
            return OutOfTime("the time allowed for this request is over before an engine was back")
        return no_engine(self.plan, [(loss.step.engine, loss.error) for loss in self._losses], self.engines)


def joined(chunks: Sequence[AudioChunk]) -> AudioChunk:
    """A finished clause as one chunk: what is released at once need not go through all that follows piece by piece.
    The times of marks count from the beginning of the clause, wherever a chunk begins."""
    marks = tuple(mark for chunk in chunks for mark in chunk.marks)
    return AudioChunk(b"".join(chunk.pcm for chunk in chunks), chunks[0].sample_rate, marks)
