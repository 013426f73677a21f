"""`voxgate explain`: the plan for a text, with the reason for each step and each skip. Speaks and loads nothing."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from engines.errors import InvalidRequest
from gateway.cli.options import config_option, json_option, read_config
from gateway.configuration.advice import note_errors
from gateway.configuration.load import Config
from gateway.configuration.problems import ConfigError, Problem, near
from gateway.configuration.standing import idle_snapshot
from gateway.configuration.yaml import Document, parse_document
from gateway.explain import explain, why_not_earlier
from gateway.request import FORMATS, ClientRequest
from policies.board_file import BoardFile, snapshot_from
from policies.explain import render
from policies.types import Snapshot


@click.command()
@click.argument("text")
@config_option
@json_option
@click.option("--voice", default="", help="A name of voices.yaml, or ENGINE:VOICE.")
@click.option("--model", default="auto", show_default=True, help="`auto`, an alias, or an engine's name.")
@click.option("--language", default="", help="Base code such as zh; default: found in the text.")
@click.option("--format", "audio_format", type=click.Choice(FORMATS), default="mp3", show_default=True)
@click.option("--tag", "tags", multiple=True, help="May be given several times.")
@click.option("--key", default="", metavar="NAME", help="The name of the API key that asks.")
@click.option("--speed", type=click.FloatRange(0.25, 4.0), default=1.0, show_default=True)
@click.option(
    "--deadline-ms", type=click.IntRange(min=1), help="The time in which the whole speech must be made; default: any."
)
@click.option("--input-type", type=click.Choice(["text", "ssml", "markdown"]), default="text", show_default=True)
@click.option(
    "--board", type=click.Path(path_type=Path), metavar="FILE.json", help="Engines' state, as GET /v1/engines gives it."
)
def command(text: str, directory: Path | None, as_json: bool, board: Path | None, **asked: Any) -> None:
    """Show the plan for TEXT (`-`: standard input), with the reason for each step and each skip."""
    config = read_config(directory)
    request = ClientRequest(
        input=_read(text),
        voice=asked["voice"],
        model=asked["model"],
        language=asked["language"],
        format=asked["audio_format"],
        tags=frozenset(asked["tags"]),
        speed=asked["speed"],
        deadline_ms=asked["deadline_ms"],
        input_type=asked["input_type"],
    )
    request, snapshot = _asked_by(asked["key"], request, config), _snapshot(config, board)
    plan = explain(request, config, snapshot)
    if as_json:
        click.echo(json.dumps(plan, ensure_ascii=False))
    else:
        click.echo(render(plan, why_not_earlier(request, config, snapshot)), nl=False)
    if not plan["steps"]:
        raise click.exceptions.Exit(1)


def _asked_by(key: str, request: ClientRequest, config: Config) -> ClientRequest:
    """The request as the key of that name would make it, expired or not; one that is not there yet may do all."""
    if found := config.keys.keys.get(key):
        if (state := found.state(datetime.now(UTC))) != "active":
            click.echo(
                f"voxgate: the key {key!r} is {state}: its requests are refused; planned as if it were not", err=True
            )
        return found.caller.ask(request)
    if key:
        text = f"voxgate: there is no key {key!r}: planned as for one that may do all; {near(key, config.keys.keys)}"
        click.echo(text.rstrip("; "), err=True)
    return replace(request, key=key)


def _read(text: str) -> str:
    try:
        return sys.stdin.buffer.read().decode() if text == "-" else text.encode().decode()
    except UnicodeError:
        raise InvalidRequest("the text is not UTF-8", param="input") from None


def _snapshot(config: Config, board: Path | None) -> Snapshot:
    """All engines idle, or as the board file says. Raises ConfigError with its problems, OSError."""
    idle = idle_snapshot(config)
    if board is None:
        return idle
    text, name = board.read_bytes().decode("utf-8-sig", "replace"), str(board)
    try:
        data = json.loads(text)
    except ValueError as error:
        line, column = (error.lineno, error.colno) if isinstance(error, json.JSONDecodeError) else (1, 1)
        advice = f"not JSON: {getattr(error, 'msg', error)}: the shape is that of `GET /v1/engines`"
        raise ConfigError([Problem(name, line, column, "", advice)]) from None
    # JSON is YAML: read as that, each value has its place
    document = Document(name, data, parse_document(text, name, {}).places)
    try:
        return snapshot_from(data, idle.engines, now=idle.now)
    except ValidationError as error:
        note_errors(error, BoardFile, document)
        raise ConfigError(document.problems) from None
