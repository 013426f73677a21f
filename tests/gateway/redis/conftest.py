"""Stores that speak to a server at hand, closed at the test's end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.configuration.settings import Redis as Settings
from gateway.redis import store as module
from gateway.redis.store import Store

MakeStore = Callable[..., Store]


@pytest.fixture
async def make_store(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[MakeStore, None]:
    """A factory: `make_store(url, environ, budget_ms=…)`. It probes a hundred times as often as in earnest."""
    monkeypatch.setattr(module, "FIRST_PROBE_S", 0.01)
    monkeypatch.setattr(module, "LAST_PROBE_S", 0.05)
    async with AsyncExitStack() as stack:

        def make(url: str, environ: dict[str, str] | None = None, **settings: Any) -> Store:
            # more than in earnest, where a test does not say: a machine that runs tests may be slower than any Redis
            one = Store(Settings(url=url, **{"budget_ms": 2000} | settings), environ or {}, SystemClock())
            stack.push_async_callback(one.aclose)
            return one

        yield make
