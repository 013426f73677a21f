"""The benchmark of IndexTTS-2 runs from end to end, on a model of a few MB. How quick that is says nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

import bench.indextts.__main__ as bench
from bench.indextts.home import Home, NoRoom
from models import room


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in this process: starting others takes longer than the work."""

    def alone(work: Callable[..., object], *arguments: object) -> object:
        return work(*arguments)

    monkeypatch.setattr(bench, "alone", alone)


@pytest.mark.usefixtures("at_once")
def test_every_stage_and_the_engine_are_measured_in_the_way_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["--small", "--kv", "int8", "--steps", "2", "--folder", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    told = json.loads(text.splitlines()[-1])
    way, threads, figures = "int8, kv int8, onnxruntime", told["conditions"]["threads"], told["figures"]
    for what in (f"Stages: {way}", f"The engine at 2 solver steps: {way}"):
        assert {one["group"] for one in figures} > {what, f"{what}: processor time over {threads} threads"}
    assert all(math.isfinite(one["value"]) and one["value"] >= 0 for one in figures)
    named = {one["name"]: one["value"] for one in figures}
    for name in ("a code of 1 at once", "vocoder", "at 25 steps", "first audio of", "2 requests at once", "peak"):
        assert any(name in one and value > 0 for one, value in named.items()), name
        assert name in text


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.indextts.home.free_bytes", lambda _: 1_000_000)
    with pytest.raises(NoRoom, match=room.told_bytes(1_000_000)):
        Home(tmp_path).make("int8")
    assert not list(tmp_path.iterdir())
