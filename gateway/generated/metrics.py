"""The table of metrics in docs/operations.md, from the catalog that the gateway counts by."""

from __future__ import annotations

from pathlib import Path

from gateway.generated import put_between
from gateway.telemetry.catalog import METRICS, Counted, Gauged, Metric

PATH = "docs/operations.md"

_HEAD = "| metric | type | labels | meaning | of several processes |\n|---|---|---|---|---|\n"
_ACROSS = {"sum": "sum", "min": "lowest", "max": "highest"}


def table() -> str:
    """The table."""
    return _HEAD + "".join(_row(metric) for metric in METRICS)


def _row(metric: Metric) -> str:
    kind = "gauge" if isinstance(metric, Gauged) else "counter" if isinstance(metric, Counted) else "histogram"
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    across = _ACROSS[metric.across] if isinstance(metric, Gauged) else "sum"
    return f"| `{metric.name}` | {kind} | {labels} | {metric.about} | {across} |\n"


def files(root: Path) -> dict[str, str]:
    """Path in the repository -> content, with the table in its place. Raises ValueError when it has no place."""
    return {PATH: put_between((root / PATH).read_text(encoding="utf-8"), "metrics", table())}
