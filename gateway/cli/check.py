"""`voxgate check`: every problem of every configuration file. Loads no model."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import click

from gateway.cli.options import config_option, json_option, read_config
from gateway.configuration.load import Config, find_directory
from gateway.configuration.problems import ConfigError, Problem
from gateway.telemetry.tracing import advice


@click.command()
@config_option
@json_option
def command(directory: Path | None, as_json: bool) -> None:
    """Check every configuration file; tell all errors at once."""
    config: Config | None = None
    problems: tuple[Problem, ...]
    try:
        config = read_config(directory)
        problems = (*config.warnings, *_telemetry(config))
    except ConfigError as error:
        problems = error.problems
    for problem in problems:
        click.echo(str(problem), err=True)
    if as_json:
        where = str(find_directory(directory, os.environ))
        told = [dataclasses.asdict(problem) for problem in problems]
        click.echo(json.dumps({"ok": config is not None, "directory": where, **_counts(config), "problems": told}))
    elif config:
        counts = ", ".join(f"{count} {name}" for name, count in _counts(config).items())
        click.echo(f"configuration OK: {counts}")
    if config is None:
        raise click.exceptions.Exit(1)


def _telemetry(config: Config) -> list[Problem]:
    """What the environment lacks of what the configuration asks for."""
    found = advice(config.settings.tracing, os.environ)
    file = str(config.directory / "gateway.yaml")
    return [Problem(file, 1, 1, "tracing", found, severity="warning")] if found else []


def _counts(config: Config | None) -> dict[str, int]:
    if config is None:
        return {}
    return {
        "engines": len(config.engines),
        "voices": len(config.voices.voices),
        "rules": len(config.policy.rules),
    }
