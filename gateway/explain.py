"""The plan for a request, with the reason for each step and each skip; nothing is spoken.

Pure: `POST /v1/plan` and `voxgate explain` are this function with a live or an imagined snapshot.
"""

from __future__ import annotations

from typing import Any

from gateway.configuration.load import Config
from gateway.prepared import Prepared, Preparing, with_draw
from gateway.request import ClientRequest
from policies.decide import decide
from policies.explain import PassedOver, passed_over, plan_fields
from policies.types import Ask, Snapshot


def explain(request: ClientRequest, config: Config, snapshot: Snapshot) -> dict[str, Any]:
    """The plan as the fields of its JSON. Raises InvalidRequest, ModelNotFound or Forbidden, as speaking would."""
    prepared = Preparing(config).prepare(request)
    script, plan = prepared.script, decide(_ask(prepared, request), snapshot, config.policy)
    return {
        "rule": plan.rule,
        "model": request.model,
        "voice": prepared.target.voice,
        "chars": script.chars,
        "clauses": [{"text": clause.text, "language": clause.language} for clause in script.clauses],
        **plan_fields(plan),
    }


def why_not_earlier(request: ClientRequest, config: Config, snapshot: Snapshot) -> list[PassedOver]:
    """The rules above the one that decides, which do not hold. Asks one after another: for people, not for programs."""
    return passed_over(_ask(Preparing(config).prepare(request), request), snapshot, config.policy)


def _ask(prepared: Prepared, request: ClientRequest) -> Ask:
    return with_draw(prepared.ask, request.input)
