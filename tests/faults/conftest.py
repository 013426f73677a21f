"""Fixtures: gateways whose engines break, and a gate that holds one back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scene import Gate, Yaml, files
from tests.gateway.http.conftest import Gateway, running

#: a gateway with these engines beside `spare`, these rules, and settings of gateway.yaml
Stage = Callable[..., Gateway]


@pytest.fixture
def nobody_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process works for an engine, there is no loss of one to wait for."""
    monkeypatch.setattr("gateway.fleet.member.NOTICED_IN_S", 0.0)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def stage(tmp_path: Path, gate: Gate) -> Iterator[Stage]:
    with ExitStack() as stack:
        count = 0

        def start(engines: dict[str, Yaml], rules: list[Yaml], **settings: Any) -> Gateway:
            nonlocal count
            count += 1
            texts = files(engines, rules, **settings)
            return stack.enter_context(running(tmp_path / str(count), [gate.kind], **texts))

        yield start
