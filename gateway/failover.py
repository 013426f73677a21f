"""Speaks a script, clause by clause, with the engines of a plan: when one fails, the next goes on.

Until the first audio is heard, any engine may be tried. After it, the rule's `on_interruption` decides:

    continue  a clause is released when its engine has finished it, so the unfinished clause of an engine that died is
              spoken whole by the next one: nothing is heard twice, nothing is lost
    abort     audio is released as it comes, and a failure breaks the speech off

Whoever iterates hears a complete speech or an exception, never a clean end after a part of it. Knows nothing about
formats, caches or HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from engines.contract import AudioChunk, SpeechRequest
from engines.errors import Interrupted, SpeechError
from gateway.guards import Allowance, Guarded
from gateway.record import Attempt, Served
from gateway.refusals import NoEngine
from gateway.text.script import Clause, Script
from policies.types import Plan, Step


@dataclass(frozen=True, slots=True)
class Spoken:
    """Audio of one clause, and who spoke it."""

    chunk: AudioChunk
    clause: int
    engine: str
    voice: str


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
    served: Served
    elapsed_s: Callable[[], float]
    left: Allowance
    returns: Callable[[str, float], Awaitable[bool]]

    async def speak(self) -> AsyncGenerator[Spoken, None]:
        """Speak all clauses. Raises what the last engine raised while nothing was heard yet (NoEngine when several
        were tried or none was left), Interrupted after that."""
        steps = list(self.plan.steps)
        errors: list[SpeechError] = []
        tries = heard = 0
        waited = False
        for index, clause in enumerate(self.script.clauses):
            while True:
                if not steps:
                    raise self._nobody_left(errors)
                attempt = self._begin(steps[0], index, clause)
                try:
                    async with aclosing(self._attempt(attempt, clause, begun=heard > 0)) as audio:
                        async for spoken in audio:
                            heard += 1
                            self.served.audio_s += spoken.chunk.seconds
                            yield spoken
                except SpeechError as error:
                    errors.append(error)
                    tries += 1
                    self._explain(attempt, error)
                    if heard and self.plan.terms.on_interruption == "abort":
                        raise Interrupted(f"the speech broke off: {error.message}") from error
                    if not self._another(error, heard):
                        raise
                    again = error.retry_same and not attempt.audio_s and tries <= self.plan.terms.retries
                    if not again and len(steps) == 1 and not waited and await self._last_returns(steps[0], error):
                        waited = again = True
                    if not again:
                        steps.pop(0)
                        tries = 0
                else:
                    self.served.clause_engines.append(attempt.engine)
                    tries = 0
                    break

    async def _attempt(self, attempt: Attempt, clause: Clause, *, begun: bool) -> AsyncGenerator[Spoken, None]:
        """One engine at one clause: released chunk by chunk, or whole once it is finished."""
        terms, engine = self.plan.terms, self.engines[attempt.engine]
        guarded = engine.attempt(terms.first_audio_ms / 1000, terms.gap_ms / 1000, self.left, begun=begun)
        request = self.request_of(attempt.engine, clause)
        held: list[AudioChunk] = []
        async with aclosing(guarded.synthesize(request)) as chunks:
            async for chunk in chunks:
                if attempt.first_audio_s is None:
                    attempt.first_audio_s = self.elapsed_s() - attempt.started_s
                attempt.audio_s += chunk.seconds
                if terms.on_interruption == "abort":
                    yield Spoken(chunk, attempt.clause, attempt.engine, attempt.voice)
                else:
                    held.append(chunk)
        attempt.ended_s = self.elapsed_s()
        for chunk in held:
            yield Spoken(chunk, attempt.clause, attempt.engine, attempt.voice)

    async def _last_returns(self, step: Step, error: SpeechError) -> bool:
        """An engine that died and is being started again is worth waiting for when there is no other: once."""
        if not error.retry_same:
            return False
        since_s = self.elapsed_s()
        back = await self.returns(step.engine, min(self.plan.terms.first_audio_ms / 1000, self.left.seconds))
        self.left.seconds -= self.elapsed_s() - since_s
        return back

    def _begin(self, step: Step, index: int, clause: Clause) -> Attempt:
        voice = self.request_of(step.engine, clause).voice
        attempt = Attempt(step.engine, voice, index, started_s=self.elapsed_s())
        self.served.attempts.append(attempt)
        return attempt

    def _explain(self, attempt: Attempt, error: SpeechError) -> None:
        attempt.ended_s = self.elapsed_s()
        attempt.error, attempt.message = error.code, error.message

    def _another(self, error: SpeechError, heard: int) -> bool:
        """May any engine try after this error."""
        if error.try_next or (error.code == "refused" and self.plan.terms.allow_refused_fallback):
            return True
        if heard:
            raise Interrupted(f"the speech broke off: {error.message}") from error
        return False

    def _nobody_left(self, errors: list[SpeechError]) -> SpeechError:
        """The error for the client when every step was tried, or there was none."""
        if self.served.clause_engines:
            last = errors[-1].message if errors else "no engine is left"
            return Interrupted(f"the speech broke off: {last}")
        return no_engine(self.plan, errors)


def no_engine(plan: Plan, errors: list[SpeechError]) -> NoEngine:
    """What to tell a client whom nobody could serve.

    400 when every engine lacks what was asked for; 503 with a time to come back when some engine is only busy; else
    the status of the last failure, which another try now would meet again.
    """
    skips = [skip for skip in plan.skipped if skip.code != "excluded"]
    tried = "; ".join(error.message for error in errors)
    skipped = "; ".join(f"{skip.engine}: {skip.reason}" for skip in skips)
    message = "no engine can speak this: " + ("; ".join(part for part in (tried, skipped) if part) or "none is set up")
    waits = [error.retry_after_s or 1.0 for error in errors if error.client_may_retry]
    waits += [1.0 for skip in skips if skip.code in ("busy", "cooling", "too_slow")]
    if waits:
        return NoEngine(message, plan, code="busy", retry_after_s=min(waits))
    hard = [error for error in errors if error.code != "unsupported"]
    if hard:
        return NoEngine(message, plan, status=hard[-1].status, code=hard[-1].code)
    param = next((error.param for error in errors if error.param), None)
    unsupported = [skip for skip in skips if skip.code == "unsupported"]
    if errors or unsupported:
        down = [skip for skip in skips if skip.code != "unsupported"]
        if not down:
            return NoEngine(message, plan, status=400, code="unsupported", param=param)
    return NoEngine(message, plan, status=503, code="unavailable")
