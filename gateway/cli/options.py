"""Options that many commands share, and the configuration that they lead to."""

from __future__ import annotations

import os
from pathlib import Path

import click

import gateway.hooks
from engines.registry import Registry
from gateway.configuration.load import Config, find_directory, load_config

config_option = click.option(
    "--config",
    "directory",
    type=click.Path(path_type=Path),
    help="Directory of the configuration; default: $VOXGATE_CONFIG, ./config, the shipped one.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def read_config(directory: Path | None) -> Config:
    """The configuration that `--config` or its defaults name. Raises ConfigError with every problem."""
    return configured(find_directory(directory, os.environ))[1]


def configured(directory: Path) -> tuple[Registry, Config]:
    """All plugins, and the configuration of a directory. Raises ConfigError with every problem."""
    registry = Registry.load([gateway.hooks])
    return registry, load_config(directory, registry, os.environ)
