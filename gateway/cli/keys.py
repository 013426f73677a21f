"""`voxgate keys`: API keys, made, listed and revoked. A key is shown once, when it is made; only its hash is kept."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from ruamel.yaml.comments import CommentedMap

from engines.errors import near_names
from gateway.cli.options import config_option, json_option, read_config
from gateway.configuration.across import unknown_engine, unknown_voice
from gateway.configuration.keys import KeyEntry, KeyLimits, KeysFile, check_name, parse_time
from gateway.configuration.keys_file import change_keys, entry, read_keys
from gateway.configuration.load import find_directory, shipped_directory
from gateway.configuration.settings import Limits
from gateway.keys.keyring import digest_of, new_key

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """API keys: made, listed, revoked. Only their hashes are kept, in keys.yaml."""


def _name(_: click.Context, __: click.Parameter, given: str) -> str:
    try:
        return check_name(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _names(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> list[str] | None:
    """Names with commas between them, or the option again; None when it was not given."""
    names = [name.strip() for one in given for name in one.split(",")]
    return list(dict.fromkeys(name for name in names if name)) if given else None


def _moment(_: click.Context, __: click.Parameter, given: str | None) -> datetime | None:
    if given is None:
        return None
    now = datetime.now(UTC)
    try:
        if duration := re.fullmatch(r"(\d+)([mhdw])", given):
            moment = now + int(duration[1]) * _UNITS[duration[2]]
        else:
            moment = parse_time(given)
    except OverflowError:
        raise click.BadParameter(f"{given!r} is further away than any date: leave the option out") from None
    except ValueError as error:
        raise click.BadParameter(f"{given!r} {error}, or how long from now, such as 12h or 30d") from None
    if moment <= now:
        raise click.BadParameter(f"{given!r} has passed already")
    return moment


def _limits(function: Callable[..., None]) -> Callable[..., None]:
    """An option for each limit, by its name."""
    for name, field in reversed(Limits.model_fields.items()):
        about = f"{str(field.description).capitalize()}; 0: no limit; default: as gateway.yaml says."
        option = click.option(f"--{name.replace('_', '-')}", name, type=click.IntRange(0), metavar="N", help=about)
        function = option(function)
    return function


@command.command()
@click.argument("name", callback=_name)
@config_option
@_limits
@click.option("--voices", multiple=True, callback=_names, metavar="A,B", help="It may ask for these alone.")
@click.option("--engines", multiple=True, callback=_names, metavar="A,B", help="These alone may speak for it.")
@click.option("--tags", multiple=True, callback=_names, metavar="A,B", help="Added to its requests, for policies.")
@click.option("--expires", callback=_moment, metavar="WHEN", help="A date, a time with its zone, or 12h, 30d, 8w.")
@click.option("--admin", is_flag=True, help="It sees details of engines, and may use /metrics and /v1/admin.")
def add(name: str, directory: Path | None, **given: Any) -> None:
    """Make a key called NAME and print it, this once. The name of a revoked key may be used again."""
    directory = _own_directory(directory)
    if given["voices"] or given["engines"]:
        _check_names(directory, given["voices"] or (), given["engines"] or ())
    key = new_key()
    limits = {limit: given[limit] for limit in KeyLimits.model_fields if given[limit] is not None}
    fields = {
        "sha256": digest_of(key.encode()).hex(),
        "limits": limits or None,
        "tags": given["tags"],
        "voices": given["voices"],
        "engines": given["engines"],
        "expires": _written(given["expires"]),
        "admin": given["admin"] or None,
        "created": _written(datetime.now(UTC)),
    }

    def change(entries: CommentedMap, meant: KeysFile) -> None:
        there = meant.keys.get(name)
        if there is not None and there.revoked is None:
            raise click.ClickException(f"there is a key {name!r} already: choose another name, or revoke it first")
        entries[name] = entry({field: value for field, value in fields.items() if value is not None})

    change_keys(directory / "keys.yaml", os.environ, change)
    click.echo(f"wrote {directory / 'keys.yaml'}; the key is shown this once:", err=True)
    click.echo(key)


@command.command("list")
@config_option
@json_option
def list_(directory: Path | None, as_json: bool) -> None:
    """List the keys: their names, what they may, and whether they still open the door. Never a key or its hash."""
    file = find_directory(directory, os.environ) / "keys.yaml"
    read, now = read_keys(file, os.environ), datetime.now(UTC)
    keys = read.keys
    states = {name: key.state(now) for name, key in read.keyring(Limits()).keys.items()}
    if as_json:
        told = [_fields(name, states[name], key) for name, key in keys.items()]
        click.echo(json.dumps(told, ensure_ascii=False))
    elif not keys:
        click.echo(f"no keys in {file.parent}: `voxgate keys add NAME` makes the first")
    else:
        rows = [("NAME", "STATE", "ADMIN", "EXPIRES", "LIMITS AND WHAT IT MAY")]
        rows += [_row(name, states[name], key) for name, key in keys.items()]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for row in rows:
            click.echo(
                "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
            )


@command.command()
@click.argument("name")
@config_option
def revoke(name: str, directory: Path | None) -> None:
    """Refuse the key called NAME from now on; what it began is finished. Running gateways know within a second."""
    file = _own_directory(directory) / "keys.yaml"

    def change(entries: CommentedMap, meant: KeysFile) -> None:
        there = meant.keys.get(name)
        if there is None:
            raise click.ClickException(f"there is no key {name!r} in {file}; {near_names(name, meant.keys)}")
        if there.revoked is not None:
            raise click.ClickException(f"the key {name!r} was revoked on {_shown(there.revoked)} already")
        entries[name]["revoked"] = _written(datetime.now(UTC))

    change_keys(file, os.environ, change)
    click.echo(f"revoked {name}")


def _own_directory(given: Path | None) -> Path:
    """The directory of a configuration that is the operator's. Raises ClickException for the shipped one."""
    directory = find_directory(given, os.environ)
    if directory.resolve() == shipped_directory().resolve():
        raise click.ClickException(
            f"{directory} is the shipped configuration, which an update replaces: `voxgate init DIR` copies it, "
            "then say --config DIR here and to serve"
        )
    if not directory.is_dir():
        raise click.ClickException(f"{directory}: no such directory: `voxgate init {directory}` writes one")
    return directory


def _check_names(directory: Path, voices: Iterable[str], engines: Iterable[str]) -> None:
    """Raises ClickException for the first name that is nowhere, and ConfigError when that cannot be said."""
    config = read_config(directory)
    known = [*config.voices.voices, *config.voices.aliases]
    wrong = [unknown_voice(voice, known, config.engines) for voice in voices]
    wrong += [unknown_engine(engine, config.engines) for engine in engines]
    for text in filter(None, wrong):
        raise click.ClickException(text)


def _fields(name: str, state: str, key: KeyEntry) -> dict[str, Any]:
    """A key for programs; null: as gateway.yaml says, all, or never."""
    return {"name": name, "state": state, **key.model_dump(mode="json", exclude={"sha256"})}


def _row(name: str, state: str, key: KeyEntry) -> tuple[str, str, str, str, str]:
    may = [f"{limit} {value}" for limit, value in key.limits.model_dump(exclude_none=True).items()]
    lists = {"voices": key.voices, "engines": key.engines, "tags": key.tags or None}
    may += [f"{what} {','.join(names) or 'none'}" for what, names in lists.items() if names is not None]
    expires = _shown(key.expires) if key.expires else "never"
    return name, state, "admin" if key.admin else "-", expires, ", ".join(may)


def _written(moment: datetime | None) -> str | None:
    """As it stands in the file: UTC, to the second."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
