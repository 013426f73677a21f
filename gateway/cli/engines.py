"""`voxgate engines`: what is installed, a new plugin package, the conformance kit, and exchanges on record.

Knows nothing about any particular engine, nor about how one is driven.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import gateway.hooks
from engines.registry import Registry
from gateway.cli import record
from gateway.cli.options import config_option, json_option
from gateway.configuration.load import Config, find_directory, load_config
from gateway.configuration.problems import ConfigError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Engines: what is installed, a new plugin package, the conformance kit, exchanges with servers."""


command.add_command(record.command, "record")


@command.command("list")
@config_option
@json_option
def list_(directory: Path | None, as_json: bool) -> None:
    """List the kinds that are installed, plugins that failed to load, and the engines configured."""
    registry = Registry.load([gateway.hooks])
    engines, trouble = _configured(directory, registry)
    told = {"kinds": _kinds(registry), "plugins": [asdict(one) for one in registry.plugins], "engines": engines}
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        _print(registry, told["kinds"], engines)
    if trouble:
        click.echo(trouble, err=True)
        raise click.exceptions.Exit(1)


@command.command()
@click.argument("name")
@click.option(
    "--dir", "parent", type=click.Path(path_type=Path), default=Path(), help="Where to write it; default: here."
)
def new(name: str, parent: Path) -> None:
    """Write a plugin package for a kind called NAME, complete, which passes the conformance kit at once."""
    from gateway.cli.scaffold import write_package

    try:
        written = write_package(name, parent)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"wrote {written}/: next, `cd {written} && pip install -e '.[test]' && pytest`")


@command.command()
@click.argument("target", metavar="MODULE:KIND")
@click.option("--options", default="{}", help="The kind's options, as JSON.")
def test(target: str, options: str) -> None:
    """Run the conformance kit against KIND of MODULE. Needs pytest."""
    from gateway.cli.conformance import run_kit

    try:
        status = run_kit(target, options)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    raise click.exceptions.Exit(status)


def _kinds(registry: Registry) -> list[dict[str, str]]:
    source = {kind: plugin.source for plugin in registry.plugins for kind in plugin.kinds}
    return [
        {
            "kind": name,
            "source": source[name],
            "isolation": kind.isolation,
            "licence": kind.licence,
            "summary": kind.summary,
        }
        for name, kind in sorted(registry.kinds.items())
    ]


def _configured(directory: Path | None, registry: Registry) -> tuple[list[dict[str, str]], str]:
    """Each engine of the configuration with what stands in its way; and what is wrong with the configuration."""
    try:
        config = load_config(find_directory(directory, os.environ), registry, os.environ)
    except ConfigError as error:
        return [], str(error)
    return [
        {"name": name, "kind": entry.kind.name, **_state(config, name)} for name, entry in config.engines.items()
    ], ""


def _state(config: Config, name: str) -> dict[str, str]:
    entry = config.engines[name]
    if not entry.enabled:
        return {"state": "disabled", "advice": ""}
    missing = entry.kind.missing(config.instance(name), entry.options) if entry.kind.missing else None
    return {"state": missing.state, "advice": missing.advice} if missing else {"state": "configured", "advice": ""}


def _print(registry: Registry, kinds: Any, engines: list[dict[str, str]]) -> None:
    _table(["kind", "source", "isolation", "licence", "summary"], kinds)
    for plugin in registry.plugins:
        if plugin.error:
            click.echo(f"plugin {plugin.name} ({plugin.source}) {plugin.error}")
    if engines:
        click.echo()
        _table(["name", "kind", "state", "advice"], engines)


def _table(columns: list[str], rows: list[dict[str, str]]) -> None:
    table = [[column.upper() for column in columns], *([row[column] for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
