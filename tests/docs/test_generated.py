"""What is generated is as its generators make it, and only what is stale is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.generated import put_between, stale, write
from gateway.generated.__main__ import command, files

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("path", files(REPOSITORY))
def test_a_generated_file_is_as_generated(path: str) -> None:
    assert stale({path: files(REPOSITORY)[path]}, REPOSITORY) == []


def test_what_is_missing_or_differs_is_stale_and_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    wanted = {"a": "1", "b": "2", "deep/c": "3"}
    assert stale(wanted, tmp_path) == ["b", "deep/c"]
    assert write(wanted, tmp_path) == ["b", "deep/c"]
    assert stale(wanted, tmp_path) == []


def test_a_part_of_a_document_is_replaced_and_the_rest_stays() -> None:
    document = "above\n<!-- generated: x -->\nold\n<!-- end: x -->\nbelow\n"
    made = put_between(document, "x", "new\n")
    assert made == "above\n<!-- generated: x -->\nnew\n<!-- end: x -->\nbelow\n"
    assert put_between(made, "x", "new\n") == made


@pytest.mark.parametrize(
    "document",
    [
        "no place",
        "<!-- generated: x -->\nopen",
        "<!-- end: x -->\n<!-- generated: x -->\n",
        "<!-- generated: x -->\n<!-- end: x -->\n" * 2,
    ],
)
def test_a_document_without_one_place_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match="generated: x"):
        put_between(document, "x", "new\n")


def test_the_command_tells_what_is_stale_and_mends_it(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for document in ("http.md", "operations.md"):  # of which only a part is generated
        (tmp_path / "docs" / document).write_bytes((REPOSITORY / "docs" / document).read_bytes())
    found = CliRunner().invoke(command, [str(tmp_path), "--check"])
    assert found.exit_code == 1
    assert "docs/configuration.md is not as generated" in found.stderr
    assert CliRunner().invoke(command, [str(tmp_path), "--write"]).exit_code == 0
    assert CliRunner().invoke(command, [str(tmp_path), "--check"]).exit_code == 0
