"""`voxgate voices`: the voices of voices.yaml and who speaks them, and those that engines clone from recordings.

Knows nothing about how any engine makes a voice (`engines.contract.VoiceMaker`). Writes no configuration.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from textwrap import indent
from typing import Any, get_args

import click
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from engines.contract import ClonedVoice, Gender, NewVoice, VoiceMaker
from engines.errors import near_names
from gateway.cli.bars import Bars
from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.plainly import plainly
from gateway.configuration.load import Config
from gateway.voices import VoiceEntry
from models.room import told_bytes

engine_option = click.option(
    "--engine", default="", metavar="ENGINE", help="Whose voice it is; default: the only engine that clones voices."
)
_RECORDING = click.Path(exists=True, dir_okay=False, path_type=Path)
#: languages of a voice that a list names; of more it gives the number
_SHOWN = 3


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Voices: who speaks them; made of a recording, verified, removed."""


@command.command("list")
@config_option
@json_option
def list_(directory: Path | None, as_json: bool) -> None:
    """List the voices of voices.yaml with the engines that speak them, and all that were made of recordings."""
    config = read_config(directory)
    with plainly():
        cloned = _cloned(config)
    if as_json:
        told = [{"engines": engines, **_fields(one), "named": _named(config, engines, one)} for engines, one in cloned]
        click.echo(json.dumps({"voices": _voices(config), "cloned": told}, ensure_ascii=False))
        return
    _table(("VOICE", "GENDER", "LANGUAGES", "SPOKEN BY"), [_voice_row(*one) for one in config.voices.voices.items()])
    if cloned:
        click.echo()
        columns = ("MADE OF A RECORDING", "ENGINE", "STATE", "RECORDING", "SIZE", "LANGUAGES", "MADE", "IN VOICES.YAML")
        _table(columns, [_cloned_row(config, engines, one) for engines, one in cloned])
    for _, one in cloned:
        if one.problem:
            click.echo(f"{one.name}: {one.problem}", err=True)


@command.command()
@click.argument("name")
@click.argument("reference", metavar="REF.wav", type=_RECORDING)
@engine_option
@click.option("--emotion-audio", type=_RECORDING, help="A second recording, whose emotion the voice shall have.")
@click.option("--consent", default="", metavar="TEXT", help="Whose voice it is, and with what permission. Needed.")
@click.option("--licence", default="", metavar="TEXT", help="Of the recording, or how the voice may be used.")
@click.option("--language", "languages", multiple=True, help="That it speaks, again for each; default: the engine's.")
@click.option("--gender", type=click.Choice([one for one in get_args(Gender) if one]), help="For who asks by gender.")
@click.option("--replace", is_flag=True, help="In place of the voice that is called so.")
@config_option
@json_option
def add(
    name: str,
    reference: Path,
    engine: str,
    emotion_audio: Path | None,
    consent: str,
    licence: str,
    languages: tuple[str, ...],
    gender: Gender | None,
    replace: bool,
    directory: Path | None,
    as_json: bool,
) -> None:
    """Make a voice called NAME of a recording: 5 to 15 seconds of one person, clear and without music.

    Running gateways know it in some seconds. Prints what to put into voices.yaml, which stays yours to write.
    """
    config = read_config(directory)
    engine, maker = _maker(config, engine)
    wanted = NewVoice(
        name,
        reference,
        consent or _ask_consent(),
        emotion_audio,
        licence,
        tuple(dict.fromkeys(languages)),
        gender or "",
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with plainly(), Bars() as bars:
            made = maker.make(wanted, replace, bars)
    except KeyboardInterrupt:
        raise click.ClickException("stopped: nothing was kept; the same command begins anew") from None
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    named, (place, snippet) = _named(config, [engine], made), _snippet(config, engine, made)
    if as_json:
        told = {"engine": engine, **_fields(made), "named": named, "voices_yaml": snippet}
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    click.echo(f"{name}: {told_bytes(made.size_bytes)} in {made.path}; ask for it as voice {engine}:{name}", err=True)
    if named:
        click.echo(f"voices.yaml has it already, as {', '.join(named)}", err=True)
    else:
        click.echo(f"for a name that does not tell the engine, put this into voices.yaml {place}:", err=True)
        click.echo(snippet)


@command.command()
@click.argument("name")
@engine_option
@config_option
@json_option
def verify(name: str, engine: str, directory: Path | None, as_json: bool) -> None:
    """Check the voice NAME: every byte by its digest, and that it is of the model that is there."""
    engine, maker = _maker(read_config(directory), engine)
    with plainly():
        checks = list(maker.verify(name))
    failed = [one for one in checks if not one.passed]
    if as_json:
        told = {"name": name, "engine": engine, "passed": not failed, "checks": [asdict(one) for one in checks]}
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        for one in checks:
            click.echo(f"{'ok    ' if one.passed else 'FAILED'} {one.name}: {one.found}")
    if failed:
        raise click.ClickException(f"the voice {name!r} failed {len(failed)} of {len(checks)} checks")


@command.command()
@click.argument("name")
@engine_option
@config_option
def rm(name: str, engine: str, directory: Path | None) -> None:
    """Remove the voice NAME. What speaks with it now is finished; its recording is not touched."""
    config = read_config(directory)
    engine, maker = _maker(config, engine)
    with plainly():
        gone = maker.remove(name)
    click.echo(f"removed {gone.path}: {told_bytes(gone.size_bytes)}")
    if named := _named(config, [engine], gone):
        click.echo(f"voices.yaml still names it, in {', '.join(named)}: take it out there", err=True)


def _makers(config: Config) -> dict[str, VoiceMaker]:
    """Of every engine that makes voices, those that are not enabled too."""
    return {
        name: entry.kind.voices(config.instance(name), entry.options)
        for name, entry in config.engines.items()
        if entry.kind.voices is not None
    }


def _maker(config: Config, engine: str) -> tuple[str, VoiceMaker]:
    """The engine meant, and its voices. Raises ClickException."""
    makers = _makers(config)
    if engine in makers:
        return engine, makers[engine]
    if engine in config.engines:
        raise click.ClickException(f"the engine {engine!r} has voices of its own; {_cloners(makers)}")
    if engine:
        raise click.ClickException(
            f"there is no engine {engine!r} in engines.yaml; {near_names(engine, config.engines)}"
        )
    if len(makers) != 1:
        raise click.ClickException(f"say --engine; {_cloners(makers)}")
    return next(iter(makers.items()))


def _cloners(makers: Mapping[str, VoiceMaker]) -> str:
    return f"voices are made for {', '.join(makers)}" if makers else "no engine in engines.yaml makes voices"


def _ask_consent() -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.ClickException("say --consent: whose voice it is, and with what permission")
    answer: str = click.prompt("Whose voice is it, and with what permission may it be used", err=True)
    return answer


def _cloned(config: Config) -> list[tuple[list[str], ClonedVoice]]:
    """Every voice that was made, once, with the engines that it is a voice of: those of one kind share them."""
    found: dict[Path, tuple[list[str], ClonedVoice]] = {}
    for engine, maker in _makers(config).items():
        for one in maker.list():
            found.setdefault(one.path, ([], one))[0].append(engine)
    return list(found.values())


def _named(config: Config, engines: Sequence[str], cloned: ClonedVoice) -> list[str]:
    """The voices of voices.yaml that this one speaks for."""
    return [
        name
        for name, entry in config.voices.voices.items()
        if any(cloned.name in _own_names(entry, engine) for engine in engines)
    ]


def _own_names(entry: VoiceEntry, engine: str) -> Sequence[str]:
    own = entry.engines.get(engine, ())
    return [own] if isinstance(own, str) else list(own.values()) if isinstance(own, Mapping) else []


def _snippet(config: Config, engine: str, made: ClonedVoice) -> tuple[str, str]:
    """Where in voices.yaml something goes, and what: the voice, or the engine alone where it has one of that name."""
    engines = {engine: made.name}
    if made.name in config.voices.voices:
        return f"under the `engines:` of {made.name}", indent(_yaml(engines), " " * 6)
    languages = CommentedSeq(made.languages)
    languages.fa.set_flow_style()
    gender = {"gender": made.gender} if made.gender else {}
    return "under `voices:`", indent(_yaml({made.name: {**gender, "languages": languages, "engines": engines}}), "  ")


def _yaml(value: Mapping[str, Any]) -> str:
    stream = StringIO()
    YAML().dump(value, stream)
    return stream.getvalue().rstrip()


def _voices(config: Config) -> list[dict[str, Any]]:
    """The voices of voices.yaml for programs."""
    return [
        {
            "name": name,
            "default": name == config.voices.resolve(config.voices.default),
            "aliases": [alias for alias, meant in config.voices.aliases.items() if meant == name],
            **entry.model_dump(mode="json"),
        }
        for name, entry in config.voices.voices.items()
    ]


def _fields(cloned: ClonedVoice) -> dict[str, Any]:
    """A voice that was made, for programs."""
    return {**asdict(cloned), "path": str(cloned.path)}


def _voice_row(name: str, entry: VoiceEntry) -> tuple[str, ...]:
    spoken = [f"{one} ({own})" if isinstance(own, str) else one for one, own in entry.engines.items()]
    return name, entry.gender or "-", _languages(entry.languages), ", ".join(spoken) or "-"


def _cloned_row(config: Config, engines: Sequence[str], one: ClonedVoice) -> tuple[str, ...]:
    recording = f"{one.seconds:.1f} s" if one.seconds else "-"
    named = ", ".join(_named(config, engines, one)) or "-"
    state = one.state.replace("_", " ")
    size, made = told_bytes(one.size_bytes), one.created or "-"
    return one.name, ", ".join(engines), state, recording, size, _languages(one.languages), made, named


def _languages(codes: Sequence[str]) -> str:
    more = f" and {len(codes) - _SHOWN} more" if len(codes) > _SHOWN else ""
    return ", ".join(codes[:_SHOWN]) + more or "-"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (columns, *rows)) for column in range(len(columns))]
    for row in (columns, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
