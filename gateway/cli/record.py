"""`voxgate engines record`: a server's behaviour on record, and how it differs from what its engine's code knows.

Knows no protocol: kinds declare what is worth a record (`engines.remote.exchange`).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import click

import gateway.hooks
from engines.errors import SpeechError, near_names, without_addresses
from engines.registry import Registry
from engines.remote.exchange import Exchange, Exchanges, Known
from gateway.cli.options import config_option, read_config
from gateway.cli.plainly import plainly
from gateway.configuration.load import Config
from gateway.recording.differences import compare, summary
from gateway.recording.masks import Masks
from gateway.recording.tape import Recording, Tape, read

#: characters that may be spent where nobody says how many: enough for the usual exchanges
SPEND_CHARS = 300
#: the exit status of what was stopped by Ctrl-C, as shells have it
STOPPED = 130
#: how an exchange ends that met no server, where nothing was received
_NOBODY_THERE = frozenset({"unavailable", "fault"})


@click.command()
@click.argument("name", required=False, default="")
@click.option(
    "--cases",
    default="usual",
    help="Exchanges to record, with commas between. `usual`, the default: those that cost little; `all`.",
)
@click.option(
    "--list", "only_list", is_flag=True, help="Say what can be recorded and what it costs, and record nothing."
)
@click.option("--spend", default=SPEND_CHARS, show_default=True, help="Characters that the account may be charged for.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; default: NAME-exchanges.jsonl.")
@click.option(
    "--compare",
    "earlier",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare this recording, and record nothing: it needs no key and no engine of that name.",
)
@config_option
def command(
    name: str,
    cases: str,
    only_list: bool,
    spend: int,
    output: Path | None,
    earlier: Path | None,
    directory: Path | None,
) -> None:
    """Record exchanges of engine NAME with its server, and tell what differs from what is known of it.

    For the first run with a real key, and for later ones when a server seems to have changed. The file holds times,
    messages, headers and close codes; audio as its length and hash; keys and accounts not at all. Ends with 1 where
    there are differences.
    """
    if earlier:
        with plainly():
            recording = read(earlier)
        _tell(recording, _known(recording.kind))
        return
    if not name:
        raise click.UsageError("say whose exchanges: NAME of engines.yaml, or --compare FILE")
    config = read_config(directory)
    declared = _declared(config, name)
    exchanges = declared.of(config.instance(name), config.engines[name].options)
    if only_list:
        _print(exchanges)
        return
    chosen = _chosen(exchanges, cases)
    _require(config, name, chosen, spend)
    output = output or Path(f"{name}-exchanges.jsonl")
    tape: Tape | None = None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C does: the file says that it was stopped
    try:
        with Tape(output, name, config.engines[name].kind.name, _masks(config, name)) as tape:
            asyncio.run(_record(chosen, tape))
    except KeyboardInterrupt:
        kept = f"{output} holds what was recorded until then" if tape and tape.heard else "nothing was recorded"
        click.echo(f"stopped: {kept}", err=True)
        raise click.exceptions.Exit(STOPPED) from None
    except FileExistsError:
        raise click.ClickException(f"{output} is there already: remove it, or name another file with -o") from None
    click.echo(f"recorded in {output}; look through it before you pass it on", err=True)
    _tell(read(output), declared.known())


async def _record(chosen: Sequence[Exchange], tape: Tape) -> None:
    """One exchange after another. Raises OSError where the recording cannot be written, ClickException where there is
    no server to record: the other exchanges would only wait for it, too."""
    for exchange in chosen:
        click.echo(f"{exchange.name}: {exchange.summary} …", err=True)
        tape.begin(exchange)
        code, message = await _have(exchange, tape)
        tape.end(code, message)
        tape.check()
        if not tape.heard and code in _NOBODY_THERE:
            raise click.ClickException(f"nothing was recorded: {message}")


async def _have(exchange: Exchange, tape: Tape) -> tuple[str, str]:
    """How an exchange ended: a code, and what was said."""
    try:
        async with asyncio.timeout(exchange.within_s) as bound:
            await exchange.run(tape)
    except SpeechError as error:
        return error.code, error.message
    except TimeoutError as error:
        return ("timeout", f"not over within {exchange.within_s:g} s") if bound.expired() else _fault(error)
    except Exception as error:  # on record like all else: the next exchange may go well
        return _fault(error)
    return "", ""


def _fault(error: Exception) -> tuple[str, str]:
    return "fault", f"{type(error).__name__}: {without_addresses(str(error))}"


def _declared(config: Config, name: str) -> Exchanges:
    """What the kind of an engine declares. Raises ClickException."""
    if name not in config.engines:
        raise click.ClickException(f"there is no engine {name!r} in engines.yaml; {near_names(name, config.engines)}")
    kind = config.engines[name].kind
    if kind.exchanges is None:
        able = [one for one, other in config.engines.items() if other.kind.exchanges]
        others = f"; these have: {', '.join(able)}" if able else ""
        raise click.ClickException(f"{name} is of kind {kind.name}, which has no exchanges to record{others}")
    return kind.exchanges


def _chosen(exchanges: Sequence[Exchange], cases: str) -> list[Exchange]:
    """The exchanges asked for, in the order of the kind. Raises ClickException for one that is not there."""
    known = {one.name: one for one in exchanges}
    names = {name.strip() for name in cases.split(",")}
    for name in sorted(names - known.keys() - {"all", "usual"}):
        raise click.ClickException(f"there is no exchange {name!r}; {near_names(name, known)}")
    return [one for one in exchanges if "all" in names or one.name in names or (one.usual and "usual" in names)]


def _require(config: Config, name: str, chosen: Sequence[Exchange], spend: int) -> None:
    """Says what it will cost. Raises ClickException where that is too much, or the engine lacks something."""
    entry, chars = config.engines[name], sum(one.chars for one in chosen)
    if entry.kind.missing and (missing := entry.kind.missing(config.instance(name), entry.options)):
        raise click.ClickException(f"{name} is {missing.state.replace('_', ' ')}: {missing.advice}")
    if chars > spend:
        raise click.ClickException(f"this may be charged as {chars:,} characters: if that is well, say --spend {chars}")
    count = "1 exchange" if len(chosen) == 1 else f"{len(chosen)} exchanges"
    click.echo(f"{count}; the account may be charged for up to {chars:,} characters", err=True)


def _masks(config: Config, name: str) -> Masks:
    """Knows the keys of the environment, and what the engine's options name of it."""
    options = config.engines[name].options.model_dump(mode="json")
    named = [value for value in options.values() if isinstance(value, str)]
    return Masks(os.environ, [os.environ[value] for value in named if value in os.environ])


def _known(kind: str) -> Known:
    """What is known of the servers of a kind. Raises ClickException where this installation does not know the kind."""
    declared = Registry.load([gateway.hooks]).kinds.get(kind)
    if declared is None or declared.exchanges is None:
        raise click.ClickException(f"it is a recording of kind {kind!r}, of which nothing is known here: install it")
    return declared.exchanges.known()


def _tell(recording: Recording, known: Known) -> None:
    """What was recorded, and each difference. Raises Exit(1) where there is one."""
    width = max((len(case.name) for case in recording.cases), default=0)
    for case in recording.cases:
        click.echo(f"{case.name.ljust(width)}  {summary(case, known)}")
    if not recording.whole:
        click.echo("the recording was stopped before its end", err=True)
    differences = compare(recording, known)
    if not differences:
        click.echo(f"no difference from what is known of the servers of kind {recording.kind}")
        return
    click.echo(f"differences from what is known of the servers of kind {recording.kind}:")
    for line in differences:
        click.echo(f"  {line}")
    raise click.exceptions.Exit(1)


def _print(exchanges: Sequence[Exchange]) -> None:
    rows = [(one.name, f"{one.chars:,}", "yes" if one.usual else "no", one.summary) for one in exchanges]
    rows.insert(0, ("EXCHANGE", "CHARACTERS", "USUAL", "WHAT"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))
