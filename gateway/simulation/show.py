"""A report in words and columns, for people. Pure text: knows nothing about terminals, nor how a report comes about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from policies.orders import figure

_ENGINE_COLUMNS = (
    *("engine", "", "spoken", "cached", "share", "busy", "load", "peak"),
    *("wait p50", "p95", "first audio p50", "p95", "passed over"),
)
#: kinds of changes that are shown; the others are counted
MOST_KINDS = 12
#: ids of requests shown for each
SHOWN_IDS = 2


def show(report: Mapping[str, Any]) -> str:
    """Lines for people. `now` is the policy in force, `new` the candidate."""
    if not report["requests"]:
        return "no requests to replay\n"
    now, new = report["baseline"], report["candidate"]
    parts = [
        _head(report),
        _changes(report),
        _table(_sums(report), numbers_from=1),
        _table(_engines(now, new), numbers_from=2),
        _table(_rules(now, new), numbers_from=1),
        _notes(report),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _head(report: Mapping[str, Any]) -> list[str]:
    fidelity, log = report["fidelity"], report.get("log", {})
    first, last = (datetime.fromisoformat(report[which]).isoformat(timespec="seconds") for which in ("first", "last"))
    lines = [f"requests   {report['requests']:,}, from {first} to {last}"]
    if log.get("unreadable"):
        lines.append(f"left out   {log['unreadable']:,} lines that cannot be read")
    if fidelity["compared"]:
        lines.append(
            f"fidelity   the policy in force, simulated, chooses as recorded for {fidelity['percent']:g} % of requests"
        )
    return lines


def _changes(report: Mapping[str, Any]) -> list[str]:
    changes = report["changes"]
    lines = [f"changed    {changes['requests']:,} requests ({changes['percent']:g} %) are heard from another engine"]
    if changes["other_rule_same_engine"]:
        lines.append(f"           {changes['other_rule_same_engine']:,} more meet another rule and the same engine")
    shown = changes["kinds"][:MOST_KINDS]
    rows = [
        (
            f"{one['requests']:,}",
            _who(one["from"]),
            "->",
            _who(one["to"]),
            f"such as {', '.join(one['examples'][:SHOWN_IDS])}",
        )
        for one in shown
    ]
    if rows:
        lines += ["", *_columns(rows, right=(0,))]
    if len(changes["kinds"]) > len(shown):
        lines.append(f"  and {len(changes['kinds']) - len(shown)} more kinds of change, which --json tells")
    return lines


def _who(one: Mapping[str, str]) -> str:
    return f"{one['engine'] or 'nobody'} ({one['rule'] or 'no rule'})"


def _sums(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    worlds = report["recorded"], report["baseline"], report["candidate"]
    rows: list[tuple[str, ...]] = [("", "recorded", "now", "new", "")]
    for title, key in (("spoken", "spoken"), ("from the cache", "from_cache"), ("degraded", "degraded")):
        rows.append((title, *(f"{one[key]:,}" for one in worlds), ""))
    for why in dict.fromkeys(why for one in worlds for why in one["unserved"]):
        rows.append((f"unserved: {why}", *(f"{one['unserved'].get(why, 0):,}" for one in worlds), ""))
    rows.append(("cost", *(f"{one['cost']:,.4g}" for one in worlds), _difference(worlds[1]["cost"], worlds[2]["cost"])))
    for title, key in (("wait for a slot", "wait_s"), ("first audio", "first_audio_s")):
        for part in ("p50", "p95"):
            rows.append((f"{title}, {part}", *(_seconds(one.get(key, {}).get(part)) for one in worlds), ""))
    return rows


def _difference(now: float, new: float) -> str:
    percent = f" ({100 * (new - now) / now:+.3g} %)" if now else ""
    return f"{new - now:+,.4g}{percent}"


def _engines(now: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [_ENGINE_COLUMNS]
    for name in dict.fromkeys((*now["engines"], *new["engines"])):
        for title, world in (("now", now), ("new", new)):
            if one := world["engines"].get(name):
                rows.append((name if title == "now" or name not in now["engines"] else "", title, *_engine(one)))
    return rows


def _engine(one: Mapping[str, Any]) -> tuple[str, ...]:
    mark = "" if one["pace"]["source"] == "measured" or not one["spoken"] else "*"
    return (
        f"{one['spoken']:,}{mark}",
        f"{one['from_cache']:,}",
        f"{one['percent']:.3g} %",
        _seconds(one["busy_s"]),
        f"{one['load_average']:.2g}",
        f"{one['load_peak']:.3g}",
        *(_seconds(one[key][part]) for key in ("wait_s", "first_audio_s") for part in ("p50", "p95")),
        ", ".join(f"{code} {count:,}" for code, count in one["passed_over"].items()) or "-",
    )


def _rules(now: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("rule", "now", "new", "")]
    for name in dict.fromkeys((*new["rules"], *now["rules"])):
        counts = (f"{world['rules'][name]:,}" if name in world["rules"] else "-" for world in (now, new))
        rows.append((name or "no rule", *counts, "never decides" if name in new["never_decided"] else ""))
    return rows


def _notes(report: Mapping[str, Any]) -> list[str]:
    lines = []
    engines = {**report["baseline"]["engines"], **report["candidate"]["engines"]}
    for name, one in engines.items():
        pace = one["pace"]
        taken = f"real-time factor {figure(pace['real_time_factor'])}, first audio {_seconds(pace['first_audio_s'])}"
        heard = any(report[world]["engines"].get(name, one)["spoken"] for world in ("baseline", "candidate"))
        if pace["source"] == "guessed" and heard:
            advice = f"--assume {name}=rtf:…,first_audio:… sets another pace"
            lines.append(f"* {name} was never measured in this log; guessed: {taken}; {advice}")
        elif pace["source"] == "assumed":
            lines.append(f"* {name} as assumed: {taken}")
    if sealed := report.get("log", {}).get("sealed"):
        lines.append(
            f"* {sealed:,} texts' hashes are sealed by a secret that is not beside the log (served.key): what "
            "`share: {by: text}` and `order: spread` pick is right in the sum, not text by text"
        )
    return lines


def _table(rows: Sequence[tuple[str, ...]], numbers_from: int) -> list[str]:
    """Rows with a head; columns of numbers to the right, the last one, of words, to the left."""
    width = len(rows[0])
    words_last = not rows[0][-1] or rows[0][-1] == "passed over"
    return _columns(rows, right=tuple(range(numbers_from, width - 1 if words_last else width)))


def _columns(rows: Sequence[tuple[str, ...]], right: Sequence[int]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.3g} s"
