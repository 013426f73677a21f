"""What documents name exists: files and headings that they link to, commands and options that they show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.cli import voxgate
from tests.docs.shell import REPOSITORY, blocks, documents, spans, voxgate_commands, without_blocks

DOCUMENTS = documents()
EXAMPLE = REPOSITORY / "docs" / "examples" / "routing"


def read(path: Path) -> str:
    return (REPOSITORY / path).read_text(encoding="utf-8")


def links(path: Path) -> list[str]:
    """Targets of a document's links to files of the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", without_blocks(read(path)))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def headings(path: Path) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", read(path), flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(path: Path) -> Iterator[list[str]]:
    """Arguments of the `voxgate` commands in a document's shell blocks and code spans."""
    for language, content in blocks(read(path)):
        if language == "sh":
            yield from voxgate_commands(content)
    for span in spans(read(path)):
        if re.match(r"(\S*/)?voxgate [a-z]", span):
            yield from voxgate_commands(span)


def parse(arguments: list[str]) -> None:
    """Raises click's UsageError for a command or an option that does not exist."""
    command: click.Command = voxgate
    context = click.Context(command, info_name="voxgate")
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, info_name=found.name, parent=context)
    command.make_parser(context).parse_args(rest)


def test_there_are_documents() -> None:
    assert {Path("README.md"), Path("README.zh-CN.md"), Path("docs/http.md")} <= set(DOCUMENTS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_link_to_a_file_leads_somewhere(path: Path) -> None:
    for target in links(path):
        file, _, anchor = target.partition("#")
        found = (path.parent / file) if file else path
        assert (REPOSITORY / found).exists(), target
        if anchor:
            assert anchor in headings(found), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_command_and_option_exists(path: Path) -> None:
    for arguments in commands(path):
        parse(arguments)


@pytest.mark.parametrize(
    "arguments",
    [["keys", "make", "x"], ["serve", "--prot", "1"], ["engines", "make", "x"], ["explain", "--board"]],
    ids=" ".join,
)
def test_a_command_that_does_not_exist_is_found_out(arguments: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse(arguments)


def test_commands_are_found_wherever_they_stand_in_a_line() -> None:
    script = "cd x && A=1 .venv/bin/voxgate check | head  # voxgate no\nscripts/run --port 1\ndocker run voxgate\n"
    assert list(voxgate_commands(script)) == [["check"], ["serve", "--port", "1"]]


def shown_outputs() -> list[tuple[list[str], str, str]]:
    """Commands of docs/policies.md with the output that stands below each: arguments, its language, the output."""
    found = blocks(read(Path("docs/policies.md")))
    shown = []
    for (language, script), (kind, output) in pairwise(found):
        arguments = list(voxgate_commands(script)) if language == "sh" else []
        if arguments and "--config" in arguments[0]:
            shown.append((arguments[0], kind, output))
    return shown


@pytest.mark.parametrize(("arguments", "kind", "output"), shown_outputs(), ids=lambda value: str(value)[:40])
def test_the_page_on_policies_shows_what_its_commands_print(
    arguments: list[str], kind: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLE)
    printed = CliRunner().invoke(voxgate, arguments, catch_exceptions=False).stdout
    if kind == "json":
        assert json.loads(printed) == json.loads(output)
    else:
        assert printed == output


def test_the_page_on_policies_shows_outputs() -> None:
    assert len(shown_outputs()) >= 4


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_init_is_shown_with_a_folder_that_a_checkout_does_not_have(path: Path) -> None:
    for arguments in commands(path):
        if arguments[:1] == ["init"]:
            assert not (REPOSITORY / arguments[1]).exists(), f"`voxgate init {arguments[1]}` would refuse to overwrite"
