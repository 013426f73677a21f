"""The plan for a request, with the reason for each step and each skip; nothing is spoken.

Pure: `POST /v1/plan` and `voxgate explain` are this function with a live or an imagined snapshot.
"""

from __future__ import annotations

from typing import Any

from gateway.configuration.load import Config
from gateway.prepared import Preparing, with_draw
from gateway.request import ClientRequest
from policies.decide import decide
from policies.explain import PassedOver, passed_over, plan_fields
from policies.types import Snapshot


def explain(request: ClientRequest, config: Config, snapshot: Snapshot) -> tuple[dict[str, Any], list[PassedOver]]:
    """The plan as the fields of its JSON, and the rules above the one that decided, which did not hold.

    Raises InvalidRequest, ModelNotFound or Forbidden, as speaking would.
    """
    prepared = Preparing(config).prepare(request)
    script, ask = prepared.script, with_draw(prepared.ask, request.input)
    plan = decide(ask, snapshot, config.policy)
    fields = {
        "rule": plan.rule,
        "model": request.model,
        "voice": prepared.target.voice,
        "chars": script.chars,
        "clauses": [{"text": clause.text, "language": clause.language} for clause in script.clauses],
        **plan_fields(plan),
    }
    return fields, passed_over(ask, snapshot, config.policy)
