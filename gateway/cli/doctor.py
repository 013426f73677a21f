"""`voxgate doctor`: what would keep speech from working on this machine, and what to do about it."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import click

import gateway.hooks
from engines.registry import Registry
from gateway.cli.options import config_option, json_option
from gateway.configuration.load import find_directory, load_config
from gateway.configuration.problems import ConfigError
from gateway.doctor import Finding, examine

SIGNS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


@click.command()
@config_option
@json_option
def command(directory: Path | None, as_json: bool) -> None:
    """Look at machine, installation and configuration."""
    registry = Registry.load([gateway.hooks])
    directory = find_directory(directory, os.environ)
    findings = []
    try:
        config = load_config(directory, registry, os.environ)
        findings.append(Finding("configuration", "ok", str(directory.resolve())))
    except ConfigError as error:
        config = None
        findings += [Finding("configuration", "problem", str(problem)) for problem in error.problems]
    findings += examine(registry, config)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in findings], ensure_ascii=False, indent=2))
    else:
        for one in findings:
            advice = f"; {one.advice}" if one.advice else ""
            click.echo(f"{SIGNS[one.level]} {one.subject}: {one.message}{advice}")
    if any(one.level == "problem" for one in findings):
        raise SystemExit(1)
