"""A log whose thread looks for lines all the time, and what a request leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engines.registry import Registry
from gateway import hooks
from gateway.configuration.load import Config, load_config
from gateway.configuration.standing import idle_snapshot
from gateway.prepared import Preparing, with_draw
from gateway.record import Attempt, Served
from gateway.request import ClientRequest
from gateway.served_log import log
from gateway.served_log.log import Noted
from policies.decide import decide

ROUTING = Path(__file__).parents[3] / "docs" / "examples" / "routing"


@pytest.fixture(scope="session")
def config() -> Config:
    return load_config(ROUTING, Registry.load([hooks]), {"VOXGATE_DATA": "/nonexistent"})


@pytest.fixture
def noted(config: Config) -> Callable[..., Noted]:
    """What the pipeline hands over for a request of that id: `noted("id", text, **fields of Served)`."""

    def note(request_id: str, text: str = "One two three.", **fields: object) -> Noted:
        request, snapshot = ClientRequest(text), idle_snapshot(config)
        prepared = Preparing(config).prepare(request)
        plan = decide(with_draw(prepared.ask, request_id), snapshot, config.policy)
        received = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
        served = Served(request_id, received, plan=plan, engine="espeak", total_s=0.25, outcome="complete")
        served.attempts.append(Attempt("espeak", "en-us+f3", 0, 0.0, 0.01, 0.02, 1.5, cost=0.25))
        for name, value in fields.items():
            setattr(served, name, value)
        return Noted(served, prepared, snapshot)

    return note


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "FLUSH_EVERY_S", 0.01)
