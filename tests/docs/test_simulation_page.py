"""docs/simulation.md shows what its command prints, and a line of the log that it is printed from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import voxgate
from tests.docs.shell import REPOSITORY, blocks, voxgate_commands

EXAMPLE = REPOSITORY / "docs" / "examples" / "routing"
BLOCKS = blocks((REPOSITORY / "docs" / "simulation.md").read_text(encoding="utf-8"))


def test_the_output_shown_is_what_the_command_prints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(EXAMPLE)
    monkeypatch.setenv("VOXGATE_DATA", str(tmp_path))
    (_, script), (_, output) = BLOCKS[:2]
    (arguments,) = voxgate_commands(script)
    assert CliRunner().invoke(voxgate, arguments, catch_exceptions=False).stdout == output


def test_the_line_shown_is_one_of_the_log() -> None:
    (shown,) = [json.loads(content) for language, content in BLOCKS if language == "json"]
    lines = (EXAMPLE / "served.jsonl").read_text(encoding="utf-8").splitlines()
    assert shown in [json.loads(line) for line in lines]
