"""Decisions: what a request costs before anything is spoken, with few voices and rules, and with very many.

Each request has a text that was never seen before: what is remembered of equal requests does not help. The rule that
decides is the last one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.configuration import write_configuration
from bench.misses import sentences
from bench.report import Figure
from engines.registry import Registry
from engines.slots import Slots
from gateway.clock import SystemClock
from gateway.configuration.load import Config, load_config
from gateway.explain import explain
from gateway.health.board import Board
from gateway.prepared import Preparing
from gateway.request import ClientRequest
from gateway.voices import Voices
from policies.decide import decide
from policies.policy import Policy
from policies.types import Snapshot

VOICES, RULES = 10_000, 1_000
#: how many times as long a decision may take with all of these
RATIO_AIM = 2.0
ROUNDS, EACH = 5, 400


def measure_decisions(folder: Path) -> list[Figure]:
    """The same requests under two configurations, in turn."""
    few = load_config(write_configuration(folder / "decisions"), Registry.load(), {"VOXGATE_DATA": str(folder)})
    many = replace(few, voices=_voices(VOICES), policy=_policy(RULES))
    few = replace(few, voices=_voices(3), policy=_policy(3))
    texts = sentences()
    measured: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        requests = [ClientRequest(next(texts), voice=f"v{number % 3}") for number in range(EACH)]
        for name, config in (("few", few), ("many", many)):
            for what, work in _works(config, requests).items():
                measured.setdefault((what, name), []).append(_times_us(work, EACH))
    group = f"Decisions, {VOICES} voices and {RULES} rules"
    figures = []
    for what in ("decide alone", "prepare and decide", "POST /v1/plan without HTTP"):
        small, large = (statistics.median(measured[what, name]) for name in ("few", "many"))
        figures += [
            Figure(group, f"{what}, 3 voices and 3 rules", small, "us"),
            Figure(group, f"{what}, all of them", large, "us"),
            Figure(group, f"{what}, ratio", large / small, "times", RATIO_AIM),
        ]
    return figures


def _works(config: Config, requests: list[ClientRequest]) -> dict[str, Callable[[int], object]]:
    """What is measured, for the request of that number."""
    snapshot, policy, preparing = _snapshot(config), config.policy, Preparing(config)
    asks = [Preparing(config).prepare(one).ask for one in requests]
    return {
        "decide alone": lambda number: decide(asks[number], snapshot, policy),
        "prepare and decide": lambda number: decide(preparing.prepare(requests[number]).ask, snapshot, policy),
        "POST /v1/plan without HTTP": lambda number: explain(requests[number], config, snapshot),
    }


def _times_us(work: Callable[[int], object], count: int) -> float:
    began_s = time.perf_counter()
    for number in range(count):
        work(number)
    return (time.perf_counter() - began_s) / count * 1e6


def _snapshot(config: Config) -> Snapshot:
    board = Board(SystemClock())
    for name in config.engines:
        board.add(name, Slots(1, 8)).set_state("up")
    return board.snapshot()


def _voices(count: int) -> Voices:
    voices = {f"v{number}": {"languages": ["zh", "en"], "engines": {"tone": "tone"}} for number in range(count)}
    return Voices.model_validate({"version": 1, "default": "v0", "voices": voices})


def _policy(count: int) -> Policy:
    """Rules for one voice each, for loaded and sick engines, for night hours; none of them holds but the last."""
    kinds: list[dict[str, object]] = [
        {"voices": ["nobody"], "max_chars": 40},
        {"min_chars": 3000, "languages": ["zh", "en"]},
        {"load_above": {"tone": 0.8}, "keys": ["kiosk"]},
        {"unhealthy": ["espeak"], "tags": ["urgent"]},
        {"wait_above_ms": {"tone": 500}},
        {"not": {"stream": True}},
    ]
    rules = [
        {"name": f"rule {number}", "when": {"voices": [f"v{number + 10}"]} if number % 2 else kinds[number // 2 % 6]}
        for number in range(count - 1)
    ]
    last = {"name": "everything else"}
    every = [{**rule, "use": ["tone", "espeak"]} for rule in (*rules, last)]
    return Policy.model_validate({"version": 1, "rules": every, "last_resort": "espeak"})
