"""`voxgate init`: copies the shipped configuration out. Knows nothing about what is in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from gateway.configuration.load import shipped_directory


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Write over files that are there already.")
@click.option("--missing", is_flag=True, help="Write only those that are not there; the others stay as they are.")
def command(directory: Path, force: bool, missing: bool) -> None:
    """Copy the shipped configuration to DIR, ready to edit."""
    shipped = shipped_directory()
    files = sorted(one.relative_to(shipped) for one in shipped.rglob("*") if one.suffix in (".yaml", ".json"))
    files = [one for one in files if one.name != "keys.yaml"]  # of a checkout: nobody else's keys open a new door
    if not files:
        raise click.ClickException(
            f"{shipped}: holds no configuration: the installation is damaged, install voxgate again"
        )
    there = [one for one in files if (directory / one).exists()]
    if missing:
        files = [one for one in files if one not in there]
    elif there and not force:
        shown = f"{directory / there[0]}" + (f" and {len(there) - 1} more" if len(there) > 1 else "")
        raise click.ClickException(
            f"{shown} would be overwritten: choose another directory, or add --missing or --force"
        )
    try:
        for one in files:
            (directory / one).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shipped / one, directory / one)
    except shutil.SameFileError:
        raise click.ClickException(
            f"{directory} is the shipped configuration itself: choose another directory"
        ) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or directory}: cannot be written ({error.strerror})") from None
    click.echo(f"wrote {len(files)} files to {directory}; edit them, then: voxgate check --config {directory}")
