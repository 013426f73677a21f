"""Figures with their aims, as a table for people and as JSON for programs. Knows nothing about measuring."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured value. `aim` is the most it should be, or the least; None: it has no aim of its own."""

    group: str
    name: str
    value: float
    unit: str
    aim: float | None = None
    least: bool = False

    @property
    def met(self) -> bool | None:
        if self.aim is None:
            return None
        return self.value >= self.aim if self.least else self.value <= self.aim


def table(figures: list[Figure]) -> str:
    """Aligned columns, a blank line between groups."""
    rows = [(f.group, f.name, shown(f.value), f.unit, verdict(f)) for f in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines: list[str] = []
    group = ""
    for row in rows:
        if row[0] != group:
            lines += ["", row[0]]
            group = row[0]
        lines.append(f"  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}} {row[3]:<{widths[3]}}  {row[4]}".rstrip())
    return "\n".join(lines).lstrip("\n")


def shown(value: float) -> str:
    """Three figures that count; whole numbers from a thousand on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def verdict(figure: Figure) -> str:
    if figure.aim is None:
        return ""
    return f"aim: at {'least' if figure.least else 'most'} {shown(figure.aim)}  {'met' if figure.met else 'NOT MET'}"


def as_json(figures: list[Figure], conditions: dict[str, object]) -> str:
    """One line."""
    rows = [
        {"group": f.group, "name": f.name, "value": round(f.value, 6), "unit": f.unit, "aim": f.aim, "met": f.met}
        for f in figures
    ]
    return json.dumps({"conditions": conditions, "figures": rows})
