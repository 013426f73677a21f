"""What to tell a client whom no engine could serve: what it was for, and whether and when to come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from engines.errors import SpeechError
from gateway.guards import Guarded
from gateway.refusals import Forbidden, NoEngine
from policies.decide import NOT_FOR_THE_KEY
from policies.types import Plan, Skip

#: an engine that will be back within this (seconds) by itself is worth coming back for
SOON_S = 30.0

_NOBODY: Mapping[str, Guarded] = MappingProxyType({})


def no_engine(
    plan: Plan, failures: Sequence[tuple[str, SpeechError]], engines: Mapping[str, Guarded] = _NOBODY
) -> NoEngine:
    """What to tell a client whom nobody could serve.

    400 when every engine lacks what was asked for, 403 when the key may use none; 503 with a time to come back when
    some engine is only busy, or will be back by itself soon; else the status of the last failure, which another try now
    would meet again.
    """
    skips = [skip for skip in plan.skipped if skip.code != "excluded"]
    errors = [error for _, error in failures]
    tried = "; ".join(dict.fromkeys(error.message for error in errors))  # a second try often ends as the first
    skipped = "; ".join(f"{skip.engine}: {skip.reason}" for skip in skips)
    message = "no engine can speak this: " + ("; ".join(part for part in (tried, skipped) if part) or "none is set up")
    if returns := [*_returns(failures, skips)]:
        back_in_s, code, engine = min(returns)
        if engine in engines:
            back_in_s = engines[engine].row.come_back_in(back_in_s)
        return NoEngine(message, plan, code=code, retry_after_s=back_in_s)
    hard = [error for error in errors if error.code != "unsupported"]
    if hard:
        return NoEngine(message, plan, status=hard[-1].status, code=hard[-1].code)
    if not failures and not skips and any(skip.reason == NOT_FOR_THE_KEY for skip in plan.skipped):
        message = "no engine can speak this: the key may use none of those that could"
        return NoEngine(message, plan, status=Forbidden.status, code=Forbidden.code)
    param = next((error.param for error in errors if error.param), None)
    down = [skip for skip in skips if skip.code != "unsupported"]
    if (errors or skips) and not down:
        return NoEngine(message, plan, status=400, code="unsupported", param=param)
    if down and all(skip.code == "too_slow" for skip in down):
        return NoEngine(message, plan, status=503, code="too_slow")
    return NoEngine(message, plan, status=503, code="unavailable")


def _returns(failures: Sequence[tuple[str, SpeechError]], skips: Sequence[Skip]) -> Iterator[tuple[float, str, str]]:
    """Of each engine that may be ready later: in how many seconds, the code until then, and its name."""
    for engine, error in failures:
        if error.client_may_retry:
            yield error.retry_after_s or 1.0, "busy", engine
        elif error.retry_after_s is not None and error.retry_after_s <= SOON_S:
            yield error.retry_after_s, error.code, engine
    for skip in skips:
        if skip.code in ("busy", "cooling"):
            yield 1.0 if skip.back_in_s is None else skip.back_in_s, "busy", skip.engine
        elif skip.code == "too_slow" and skip.back_in_s is not None:
            yield skip.back_in_s, "busy", skip.engine
        elif skip.code == "down" and skip.back_in_s is not None and skip.back_in_s <= SOON_S:
            yield skip.back_in_s, "unavailable", skip.engine
