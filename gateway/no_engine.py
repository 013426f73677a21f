"""What to tell a client whom no engine could serve: what it was for, and whether and when to come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from engines.errors import SpeechError
from gateway.guards import Guarded
from gateway.refusals import Forbidden, NoEngine
from policies.decide import NOT_FOR_THE_KEY
from policies.types import Plan, Skip, SkipCode, Snapshot

#: an engine that will be back within this (seconds) by itself is worth coming back for
SOON_S = 30.0

#: what only the operator can mend: the reasons name variables, files and commands
_LACKING: frozenset[SkipCode] = frozenset({"not_installed", "not_configured"})

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
    skipped = "; ".join(f"{skip.engine}: {for_clients(skip).reason}" for skip in skips)
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


def for_clients(skip: Skip) -> Skip:
    """As it is told to those who may not see details of engines: without the operator's advice."""
    return replace(skip, reason=skip.code.replace("_", " ")) if skip.code in _LACKING else skip


def without_advice(snapshot: Snapshot) -> Snapshot:
    """So that plans by it say no more than `for_clients`."""
    bare = {name: replace(one, reason="") for name, one in snapshot.engines.items() if one.state in _LACKING}
    return replace(snapshot, engines={**snapshot.engines, **bare})


def for_operators(plan: Plan) -> str:
    """What to do about engines that lack something; empty when none does."""
    return "; ".join(f"{skip.engine}: {skip.reason}" for skip in plan.skipped if skip.code in _LACKING)


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
