"""Writes all generated files, or names those that are not as they should be."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.configuration import reference, schema
from gateway.generated import Files, commands, errors, metrics, stale, write


def files(root: Path) -> Files:
    """Every generated file, by its path. `root`: where documents are read of which only a part is generated."""
    return {**schema.files(), **reference.files(), **commands.files(), **errors.files(root), **metrics.files(root)}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("root", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path())
@click.option("--write", "writes", is_flag=True, help="Write what is not as it should be.")
@click.option("--check", "checks", is_flag=True, help="Name it, and end with status 1 when there is any.")
def command(root: Path, writes: bool, checks: bool) -> None:
    """Write or check schemas, references and tables under ROOT, the top of the repository; default: here."""
    if writes == checks:
        raise click.UsageError("say --write or --check")
    if writes:
        for path in write(files(root), root):
            click.echo(f"wrote {root / path}")
    elif found := stale(files(root), root):
        for path in found:
            click.echo(f"{root / path} is not as generated: run `python -m gateway.generated --write`", err=True)
        sys.exit(1)


if __name__ == "__main__":
    command(prog_name="python -m gateway.generated")
