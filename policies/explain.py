"""A plan in words for people, and as the fields of the plan's JSON.

Pure text: knows nothing about terminals, HTTP or how a plan comes about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.conditions import why_not
from policies.decide import out_of_rotation
from policies.policy import Policy
from policies.types import Ask, Plan, Snapshot


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A rule that stands above the one that decided, and the first of its conditions that did not hold."""

    rule: str
    why: str


def passed_over(ask: Ask, snapshot: Snapshot, policy: Policy) -> list[PassedOver]:
    """The rules that did not hold, up to the one that did. Empty for `ask.only`, which meets no rule."""
    if ask.only:
        return []
    snapshot = out_of_rotation(snapshot, policy)
    passed = []
    for rule in policy.rules:
        why = why_not(rule.when, ask, snapshot)
        if not why:
            break
        passed.append(PassedOver(rule.name, why))
    return passed


def plan_fields(plan: Plan) -> dict[str, Any]:
    """`rule`, `steps` and `skipped`, as `voxgate explain --json` and `POST /v1/plan` give them; seconds to the ms."""
    return {
        "rule": plan.rule,
        "steps": [
            {
                "engine": step.engine,
                "voice": step.voice,
                "expected_first_audio_s": _to_the_ms(step.expected_first_audio_s),
                "reason": step.reason,
            }
            for step in plan.steps
        ],
        "skipped": [{"engine": skip.engine, "code": skip.code, "reason": skip.reason} for skip in plan.skipped],
    }


def render(plan: Mapping[str, Any], passed: Sequence[PassedOver] = ()) -> str:
    """Lines for people, of `plan_fields` or of the whole plan JSON, of which all that is there is shown.

    `passed`: the rules above the one that decided, as `passed_over` finds them.
    """
    steps, skipped = plan["steps"], plan["skipped"]
    lines = [f"{name:<8} {plan[name]}" for name in ("model", "voice", "chars") if plan.get(name) not in (None, "")]
    lines += [f"{'clause':<8} [{one['language']}] {one['text']}" for one in plan.get("clauses", ())]
    lines += [f"{'not':<8} {one.rule} ({one.why})" for one in passed]
    lines += [f"{'rule':<8} {plan['rule'] or 'none'}", ""]
    tried = [
        (f"{place}.", step["engine"], step["voice"] or "own voice", _seconds(step), step["reason"])
        for place, step in enumerate(steps, 1)
    ]
    left_out = [("-", skip["engine"], skip["code"], skip["reason"]) for skip in skipped]
    lines += ["tried, in this order:" if tried else "no engine can speak this now", *_columns(tried)]
    if left_out:
        lines += ["", "skipped:", *_columns(left_out)]
    return "\n".join(lines) + "\n"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _seconds(step: Mapping[str, Any]) -> str:
    seconds = step["expected_first_audio_s"]
    return "not measured" if seconds is None else f"{seconds:.3g} s"


def _to_the_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
