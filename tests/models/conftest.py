"""A stand-in for the hubs, and connections to it that wait for nothing."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from models.hub import Patience, make_client
from models.pull import Lines
from tests.models.stand_in import StandIn, stand_in


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    """How long was to be waited between tries."""
    return []


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with make_client() as client:
        yield client


@pytest.fixture
def lines(client: httpx.Client, waits: list[float]) -> Lines:
    """Three tries each, without waiting in between."""
    return Lines(client, Patience(3, waits.append))
