"""`voxgate simulate`: recorded requests against a candidate policy, and what would be different. Loads no engine."""

from __future__ import annotations

import dataclasses
import errno
import heapq
import itertools
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path

import click

from engines.registry import Registry
from gateway.cli.options import config_option, configured, json_option
from gateway.configuration.load import Config, find_directory, read_config
from gateway.configuration.problems import ConfigError, near
from gateway.configuration.standing import idle_snapshot
from gateway.configuration.yaml import read_source
from gateway.served_log.line import Line
from gateway.served_log.log import SECRET
from gateway.served_log.reading import LogReader
from gateway.served_log.seal import Seal
from gateway.served_log.secret import read_secret
from gateway.simulation.asks import looks_at_texts
from gateway.simulation.pace import Disorder, Pace, Survey
from gateway.simulation.replay import Replay, build_world, in_order
from gateway.simulation.report import report
from gateway.simulation.show import show
from gateway.simulation.world import World

#: lines between two steps of the progress bar
STEP = 1000


def moment(ctx: click.Context, param: click.Parameter, given: str | None) -> datetime | None:
    """A time; without a zone, on this machine's clock. Raises BadParameter."""
    try:
        return None if given is None else datetime.fromisoformat(given).astimezone()
    except ValueError:
        raise click.BadParameter(
            f"{given!r} is no time: write it as 2026-11-20T23:30:00+08:00, or 2026-11-20", ctx, param
        ) from None


def assumptions(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, Pace]:
    """`ENGINE=rtf:0.5,first_audio:0.3`, each. Raises BadParameter."""
    paces = {}
    for one in given:
        engine, _, figures = one.partition("=")
        found = {name: float(value) for name, value in re.findall(r"(\w+):(\d+(?:\.\d+)?)(?:,|$)", figures)}
        if sorted(found) != ["first_audio", "rtf"]:
            advice = "write it as sambert=rtf:0.5,first_audio:0.3 (the real-time factor, and seconds)"
            raise click.BadParameter(f"{one!r} says nothing of an engine's pace: {advice}", ctx, param)
        paces[engine] = Pace(found["first_audio"], found["rtf"], found["first_audio"], "assumed")
    return paces


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--policies", type=click.Path(path_type=Path), metavar="NEW.yaml", help="The candidate's rules.")
@click.option("--voices", type=click.Path(path_type=Path), metavar="NEW.yaml", help="Its voices; default: as they are.")
@click.option(
    "--engines", type=click.Path(path_type=Path), metavar="NEW.yaml", help="Its engines; default: as they are."
)
@click.option(
    "--assume",
    multiple=True,
    callback=assumptions,
    metavar="ENGINE=rtf:R,first_audio:S",
    help="How quick an engine is, in place of what was measured. May be given several times.",
)
@click.option("--since", callback=moment, metavar="TIME", help="Leave out requests that came before.")
@click.option("--until", callback=moment, metavar="TIME", help="Leave out requests that came then or later.")
@click.option("--limit", type=click.IntRange(1), help="Replay so many requests at most.")
@config_option
@json_option
def command(
    files: tuple[Path, ...],
    policies: Path | None,
    voices: Path | None,
    engines: Path | None,
    assume: dict[str, Pace],
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    directory: Path | None,
    as_json: bool,
) -> None:
    """Replay recorded requests against other policies, and show what changes.

    FILE is a served.jsonl, also a rotated or compressed one, or several in any order; `-`: standard input.
    """
    given = {"policies.yaml": policies, "voices.yaml": voices, "engines.yaml": engines}
    instead = {name: path for name, path in given.items() if path is not None}
    if not instead:
        raise click.UsageError("nothing to compare with: name the candidate by --policies, --voices or --engines")
    registry, config = configured(find_directory(directory, os.environ))
    new = candidate(config, registry, instead)
    for name in assume.keys() - config.engines.keys() - new.engines.keys():
        advice = near(name, {*config.engines, *new.engines})
        raise click.BadParameter(f"there is no engine {name!r}; {advice}", param_hint="--assume")
    with ExitStack() as stack:
        readers = [stack.enter_context(LogReader(path)) for path in files]
        log = Log(readers, seals([*files, config.settings.data_dir / SECRET]))
        log.look_through()
        replay = Replay(*(log.world(one, assume) for one in (config, new)))
        for line in itertools.islice(log.lines(since, until), limit):
            replay.add(line)
        replay.finish()
        log.progress.finish()
    sealed = log.sealed if looks_at_texts(config.policy) or looks_at_texts(new.policy) else 0
    found = {"log": {"unreadable": log.unreadable, "sealed": sealed}, **report(replay)}
    click.echo(json.dumps(found, ensure_ascii=False) if as_json else show(found), nl=as_json)


def candidate(config: Config, registry: Registry, instead: Mapping[str, Path]) -> Config:
    """The configuration with other files in place of some of its own; their warnings are told. Raises ConfigError."""
    sources = {**config.sources, **{name: read_source(path) for name, path in instead.items()}}
    reading = read_config(config.directory, sources, registry, config.environ)
    names = {str(config.directory / name): str(path) for name, path in instead.items()}
    problems = [dataclasses.replace(one, file=names.get(one.file, one.file)) for one in reading.problems]
    if reading.routing is None or reading.errors:
        raise ConfigError(problems)
    for problem in problems:
        if problem.file in names.values():
            click.echo(str(problem), err=True)
    return config.renewed(reading)


def seals(beside: Sequence[Path]) -> dict[str, Seal]:
    """The secrets that lie beside these files and may be read, by their names. Raises OSError for one that is none."""
    found = {}
    for path in beside:
        with suppress(FileNotFoundError, PermissionError):
            seal = Seal(read_secret(path.with_name(SECRET)))
            found[seal.name] = seal
    return found


class Log:
    """Several logs as one. They are gone through twice: what all of them tell is needed before the first request."""

    def __init__(self, readers: Sequence[LogReader], seals: Mapping[str, Seal]) -> None:
        self.unreadable = self.sealed = 0
        self.progress = Progress(2 * sum(reader.size_bytes for reader in readers))
        self._readers, self._seals = readers, seals
        self._survey = Survey()
        self._disorders = [Disorder() for _ in readers]

    def look_through(self) -> None:
        """Raises OSError for a file that is no log."""
        sealed: Counter[str] = Counter()
        for reader, disorder in zip(self._readers, self._disorders, strict=True):
            before = self._survey.requests
            for line in self._watched(reader):
                self._survey.add(line)
                disorder.add(line)
                sealed[line.ask.text_hash.partition("-")[0]] += 1
            if reader.unreadable and self._survey.requests == before:
                raise OSError(errno.EINVAL, "no line of it is one of a served.jsonl", str(reader.path))
            self.unreadable += reader.unreadable
        self.sealed = sum(count for name, count in sealed.items() if name not in self._seals)

    def world(self, config: Config, assumed: Mapping[str, Pace]) -> World:
        return build_world(config, idle_snapshot(config).engines, self._survey, assumed, self._seals)

    def lines(self, since: datetime | None, until: datetime | None) -> Iterator[Line]:
        """By the time when their requests came, whichever file they are in."""
        files = zip(self._readers, self._disorders, strict=True)
        ordered = [in_order(self._watched(reader), disorder.seconds) for reader, disorder in files]
        for line in heapq.merge(*ordered, key=lambda one: one.received):
            if until is not None and line.received >= until:
                return
            if since is None or line.received >= since:
                yield line

    def _watched(self, reader: LogReader) -> Iterator[Line]:
        before = 0
        for count, line in enumerate(reader.lines()):
            if not count % STEP:
                self.progress.read(reader.read_bytes - before)
                before = reader.read_bytes
            yield line
        self.progress.read(reader.size_bytes - before)


class Progress:
    """On a terminal, how much of the files has been read."""

    def __init__(self, whole_bytes: int) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        self._whole_bytes, self._read_bytes = whole_bytes, 0

    def read(self, more_bytes: int) -> None:
        self._read_bytes += more_bytes
        if self._shown and self._whole_bytes:
            done = min(1.0, self._read_bytes / self._whole_bytes)
            click.echo(f"\r[{'#' * int(done * 30):30}] {done:4.0%}", nl=False, err=True)

    def finish(self) -> None:
        if self._shown:
            click.echo("\r" + " " * 40 + "\r", nl=False, err=True)
