"""What is generated is as its generators make it, and only what is stale is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.generated import stale, write
from gateway.generated.__main__ import command, files

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("path", files())
def test_a_generated_file_is_as_generated(path: str) -> None:
    assert stale({path: files()[path]}, REPOSITORY) == []


def test_what_is_missing_or_differs_is_stale_and_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    wanted = {"a": "1", "b": "2", "deep/c": "3"}
    assert stale(wanted, tmp_path) == ["b", "deep/c"]
    assert write(wanted, tmp_path) == ["b", "deep/c"]
    assert stale(wanted, tmp_path) == []


def test_the_command_tells_what_is_stale_and_mends_it(tmp_path: Path) -> None:
    found = CliRunner().invoke(command, [str(tmp_path), "--check"])
    assert found.exit_code == 1
    assert "docs/configuration.md is not as generated" in found.stderr
    assert CliRunner().invoke(command, [str(tmp_path), "--write"]).exit_code == 0
    assert CliRunner().invoke(command, [str(tmp_path), "--check"]).exit_code == 0
