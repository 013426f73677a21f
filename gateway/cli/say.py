"""`voxgate say`: one synthesis without a server, of a text of any length, in bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import sys
import uuid
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, Protocol, get_args

import click

from engines.errors import InvalidRequest
from gateway.audio.encode import Encoder, open_encoder
from gateway.audio.files import ClipWriter
from gateway.audio.rates import check_sample_rate, encoder_rate
from gateway.cli.options import config_option
from gateway.configuration.load import find_directory
from gateway.failover import Spoken
from gateway.pipeline import Speech, at_rate
from gateway.request import FORMATS, ClientRequest, Format, InputType
from gateway.runtime import Runtime
from gateway.text.prepare import iter_scripts
from gateway.text.script import Script

#: a text from stdin is read in pieces of this many characters
PIECE_CHARS = 4096
SUFFIXES: dict[str, Format] = {".ogg": "opus", ".raw": "pcm", **{f".{name}": name for name in FORMATS}}


@click.command()
@click.argument("text")
@click.option("-o", "--output", required=True, help="File to write; `-`: stdout.")
@click.option("--voice", default="", help="A name of voices.yaml, or ENGINE:VOICE.")
@click.option("--engine", default="", help="This engine alone, without fallback.")
@click.option("--language", default="", help="Language of the text, such as zh or en; default: found per sentence.")
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Default: by the file's name, else mp3.")
@click.option("--speed", type=click.FloatRange(0.25, 4.0), default=1.0, help="1: the voice's natural rate.")
@click.option("--sample-rate", type=int, default=24000, help="Hz.")
@click.option("--input-type", type=click.Choice(get_args(InputType)), default="text", help="How to read TEXT.")
@config_option
def command(
    text: str,
    output: str,
    voice: str,
    engine: str,
    language: str,
    format_: Format | None,
    speed: float,
    sample_rate: int,
    input_type: InputType,
    directory: Path | None,
) -> None:
    """Speak TEXT into a file. TEXT `-` reads stdin, of any length."""
    check_sample_rate(sample_rate)
    format_ = format_ or SUFFIXES.get(Path(output).suffix.lower(), "mp3")
    request = ClientRequest(
        input="" if text == "-" else text,
        model=engine or "auto",
        voice=voice,
        format=format_,
        speed=speed,
        language=language,
        sample_rate=sample_rate,
        input_type=input_type,
        cache="bypass",
    )
    pieces = read_pieces(sys.stdin.buffer) if text == "-" else [text]
    scripts = iter_scripts(pieces, input_type=input_type, language=language)
    rate = encoder_rate(format_, sample_rate)
    with Out(output, format_, rate) as out:
        asyncio.run(narrate(request, scripts, rate, out, find_directory(directory, os.environ)))


class Out(Protocol):
    """Where the sound goes."""
