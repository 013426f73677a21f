"""`voxgate models`: the models of installed engines, fetched, exported into bundles, verified and removed.

Knows nothing about any particular model: each is made as its recipe says (`engines.contract.ModelRecipe`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from engines.contract import HubFile, ModelRecipe, Options
from engines.errors import near_names
from gateway.cli.bars import Bars
from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.plainly import plainly
from gateway.cli.recipes import ExportCommand, Offered, export_options, offered, recipe_of, require_packages
from models.bundle import Bundle
from models.room import taken_bytes, told_bytes
from models.store import Leftover, Store, clear_away, readers_of


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Models: fetched from the hubs where they are published, made into the bundles that engines read, and removed."""


@command.command("list")
@config_option
@json_option
def list_(directory: Path | None, as_json: bool) -> None:
    """List the models that installed engines can use, and all that is on this disk of any."""
    store, known = _store(directory), offered()
    names = dict.fromkeys([*known, *(one.name for one in store.kept())])
    told = [_told(store, name, known.get(name)) for name in names]
    left = store.leftovers()
    if as_json:
        size_bytes = sum(one.size_bytes for one in left)
        click.echo(json.dumps({"folder": str(store.folder), "models": told, "prunable_bytes": size_bytes}))
        return
    rows = [("NAME", "STATE", "SIZE", "ENGINE", "VERSION", "LICENCE", "ABOUT"), *(_row(one) for one in told)]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[6]]).rstrip())
    if left:
        click.echo(f"`voxgate models prune` would free {told_bytes(sum(one.size_bytes for one in left))}", err=True)


@command.command(cls=ExportCommand)
@click.argument("name")
@config_option
@click.option(
    "--hub",
    type=click.Choice(["auto", "huggingface", "modelscope"]),
    default="auto",
    help="Where to fetch from; auto: each repository from the first hub that can be reached and has it.",
)
@click.option(
    "--revision", default="", help="Branch, tag or commit of the model's own repository; default: its newest."
)
@click.option("--accept-licence", is_flag=True, help="You have read the model's licence and agree to it.")
@click.option("--keep-download", is_flag=True, help="Keep the fetched files once the bundle is made of them.")
@click.option("--force", is_flag=True, help="Fetch and export it again although it is there.")
def pull(
    name: str,
    directory: Path | None,
    hub: str,
    revision: str,
    accept_licence: bool,
    keep_download: bool,
    force: bool,
    **given: Any,
) -> None:
    """Fetch the files of model NAME and make its bundle of them.

    Stopped or cut off, the same command goes on from where it was. Every file is checked by its digest. HF_ENDPOINT
    and MODELSCOPE_ENDPOINT name mirrors; HF_TOKEN and MODELSCOPE_API_TOKEN let you in where an account is needed.
    """
    recipe, store = recipe_of(name), _store(directory)
    options = export_options(recipe, given)
    require_packages(recipe)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C does
    with plainly(), store.working(name):
        there = store.look(name, recipe.format)
        if there.state == "whole" and not force and all(value is None for value in given.values()):
            click.echo(f"{name} {there.version} is there already, in {there.folder}; --force makes it again", err=True)
            return
        _agree(recipe, accept_licence)
        source = store.download(name)
        with _kept_on_failure(source):
            _fetch(recipe, options, source, hub, revision)
            _export(recipe, source, store, options)
        if not keep_download:
            clear_away(Leftover(source, "download", 0))


@command.command(cls=ExportCommand)
@click.argument("name")
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of the files as they are published.",
)
@config_option
def export(name: str, source: Path, directory: Path | None, **given: Any) -> None:
    """Make the bundle of model NAME from files that you have. It replaces one that is there once it is whole."""
    recipe, store = recipe_of(name), _store(directory)
    options = export_options(recipe, given)
    require_packages(recipe)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with plainly(), store.working(name):
        _tell_licences(recipe)
        try:
            _export(recipe, source, store, options)
        except KeyboardInterrupt:
            stopped = "stopped: what is done is kept, and the same command goes on from there"
            raise click.ClickException(stopped) from None


@command.command()
@click.argument("name")
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The files that it was made of, to compare with; default: the download, where it was kept.",
)
@config_option
@json_option
def verify(name: str, source: Path | None, directory: Path | None, as_json: bool) -> None:
    """Check the bundle of model NAME: every file by its digest, and its numbers against the files it was made of."""
    recipe, store = recipe_of(name), _store(directory)
    with plainly():
        if source is None and (downloaded := store.download(name)).is_dir():
            source = downloaded
        with Bars() as bars:
            checks = list(recipe.verify(Bundle.read(store.bundle(name)).folder, source, bars))
    failed = [one for one in checks if not one.passed]
    if as_json:
        compared = None if source is None else str(source)
        told = {
            "name": name,
            "passed": not failed,
            "compared_with": compared,
            "checks": [asdict(one) for one in checks],
        }
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        for one in checks:
            click.echo(f"{'ok    ' if one.passed else 'FAILED'} {one.name}: {one.found}")
    if failed:
        names = ", ".join(one.name for one in failed)
        raise click.ClickException(f"{name} failed {len(failed)} of {len(checks)} checks: {names}")


@command.command()
@click.argument("name")
@config_option
@click.option("--force", is_flag=True, help="Remove it although a process uses it, which keeps what it has open.")
def rm(name: str, directory: Path | None, force: bool) -> None:
    """Remove the bundle of model NAME, and what was fetched of it."""
    store = _store(directory)
    with plainly(), store.working(name):
        if not store.all_of(name):
            there = [one.name for one in store.kept()]
            raise click.ClickException(
                f"there is nothing of a model {name!r} in {store.folder}; {near_names(name, there)}"
            )
        using = ", ".join(f"process {process} ({what})" for process, what in readers_of(store.bundle(name)))
        if using and not force:
            raise click.ClickException(
                f"{name} is in use by {using}: set `enabled: false` for its engine in engines.yaml first; or --force: "
                "it goes on speaking with what it has open, frees the room when it ends, and will not start again"
            )
        for gone in store.remove(name):
            click.echo(f"removed {gone.what} {gone.path}: {told_bytes(gone.size_bytes)}")


@command.command()
@config_option
@click.option("--dry-run", is_flag=True, help="Remove nothing, only say what would go.")
@json_option
def prune(directory: Path | None, dry_run: bool, as_json: bool) -> None:
    """Remove what nothing reads: bundles replaced or unfinished, parts of downloads, downloads that are bundles now."""
    store = _store(directory)
    with plainly(), store.alone():
        found = store.leftovers()
        gone = found if dry_run else [clear_away(one) for one in found]
    freed_bytes = sum(one.size_bytes for one in gone)
    if as_json:
        entries = [{"path": str(one.path), "what": one.what, "size_bytes": one.size_bytes} for one in gone]
        click.echo(json.dumps({"dry_run": dry_run, "freed_bytes": freed_bytes, "removed": entries}))
        return
    for one in gone:
        click.echo(f"{'would remove' if dry_run else 'removed'} {one.path}: {told_bytes(one.size_bytes)}, {one.what}")
    click.echo(f"{'would free' if dry_run else 'freed'} {told_bytes(freed_bytes)}")


def _store(directory: Path | None) -> Store:
    return Store(read_config(directory).settings.data_dir / "models")


def _fetch(recipe: ModelRecipe, options: Options, folder: Path, hub: str, revision: str) -> None:
    """Bring the files into `folder` that the export will want. Raises HubError and OSError."""
    from models import hub as hubs
    from models.pull import Lines, check_room, fetch_all, missing, survey

    known = [one.of(os.environ) for one in hubs.HUBS]
    chosen = [one for one in known if hub in ("auto", one.name)]
    sources = [replace(one, files=tuple(_wanted(one.files, options))) for one in recipe.sources]
    with hubs.make_client() as client, Bars(told_bytes) as bars:
        wanted = survey(sources, chosen, known, revision, Lines(client, hubs.Patience(3, time.sleep)))
        left = missing(wanted, folder, bars)
        check_room(left, folder, recipe.bundle_bytes)
        for one in {(fetch.hub, fetch.repository) for fetch in left}:
            click.echo(f"fetching from {one[0].page(one[1])}", err=True)
        fetch_all(left, wanted, folder, Lines(client, hubs.Patience(6, time.sleep)), bars)


def _wanted(files: Iterable[HubFile], options: Options) -> Iterator[HubFile]:
    return (one for one in files if not one.only_for or getattr(options, one.only_for))


def _export(recipe: ModelRecipe, source: Path, store: Store, options: Options) -> None:
    folder = store.bundle(recipe.name)
    with Bars() as bars:
        recipe.export(source, folder, options, bars)
    made = Bundle.read(folder)
    click.echo(
        f"{made.name} {made.version} ({made.licence}): {told_bytes(store.look(recipe.name).size_bytes)} in {folder}"
    )


def _tell_licences(recipe: ModelRecipe) -> None:
    click.echo(f"{recipe.name}: {recipe.summary}", err=True)
    click.echo(f"licence: {recipe.licence}, {recipe.licence_url}", err=True)
    for source in recipe.sources:
        if source.licence:
            click.echo(f"licence of {source.huggingface or source.modelscope}: {source.licence}", err=True)


def _agree(recipe: ModelRecipe, accepted: bool) -> None:
    """Show the licence, and go on when it is agreed to. Raises ClickException."""
    _tell_licences(recipe)
    if accepted:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.ClickException("read the licence; --accept-licence says that you agree to it")
    if not click.confirm("Do you agree?", err=True):
        raise click.ClickException("nothing was fetched")


@contextmanager
def _kept_on_failure(download: Path) -> Iterator[None]:
    """Whatever ends a pull, say what it can be gone on with. Raises ClickException when it was stopped."""
    try:
        yield
    except (KeyboardInterrupt, ValueError) as error:
        kept_bytes = taken_bytes(download)
        kept = f"{told_bytes(kept_bytes)} of the download are kept in {download}; the same command goes on from there"
        if isinstance(error, KeyboardInterrupt):
            raise click.ClickException(f"stopped: {kept if kept_bytes else 'nothing had been fetched'}") from None
        raise ValueError(f"{error}; {kept}" if kept_bytes else str(error)) from error


def _told(store: Store, name: str, offer: Offered | None) -> dict[str, Any]:
    """A model for programs; what is not known is empty."""
    kept = store.look(name, offer.recipe.format if offer else None)
    return {
        "name": name,
        "engine": offer.kind if offer else "",
        "summary": offer.recipe.summary if offer else "",
        **{field: value for field, value in asdict(kept).items() if field != "name"},
        "folder": str(kept.folder),
        "licence": kept.licence or (offer.recipe.licence if offer else ""),
    }


def _row(told: dict[str, Any]) -> tuple[str, ...]:
    state, size_bytes = told["state"], told["size_bytes"]
    for what in ("unfinished", "download"):
        if told[f"{what}_bytes"]:
            state += f", {what} {told_bytes(told[f'{what}_bytes'])}"
    size = told_bytes(size_bytes) if size_bytes else "-"
    return (
        told["name"], state, size, told["engine"] or "-", told["version"] or "-", told["licence"] or "-",
        told["problem"] or told["summary"],
    )  # fmt: skip
