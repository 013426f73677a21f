"""`voxgate say`: one synthesis without a server, of a text of any length, in bounded memory."""

from __future__ import annotations

import asyncio
import codecs
import errno
import os
import signal
import stat
import sys
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Self, get_args

import click

from engines.errors import InvalidRequest
from gateway.audio.encode import open_encoder
from gateway.audio.files import ClipWriter
from gateway.audio.rates import check_sample_rate, encoder_rate
from gateway.cli.options import config_option, configured
from gateway.configuration.load import find_directory
from gateway.encoding import at_rate
from gateway.failover import Spoken
from gateway.pipeline import Speech
from gateway.request import FORMATS, ClientRequest, Format, InputType
from gateway.runtime import Runtime
from gateway.text.prepare import iter_scripts
from gateway.text.script import Script

#: a text from stdin is read in pieces of at most this many bytes
PIECE_BYTES = 8192
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
    format_ = format_ or format_of(output)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C does: a file half written is taken away
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
    scripts = iter_scripts(stdin_pieces() if text == "-" else [text], input_type=input_type, language=language)
    rate = encoder_rate(format_, sample_rate)
    with StandardOutput(format_, rate) if output == "-" else ClipWriter(output, format_, rate) as out:
        asyncio.run(narrate(request, scripts, rate, out, find_directory(directory, os.environ)))


def format_of(output: str) -> Format:
    """The format that a file's name asks for. Raises UsageError for a name that asks for another than there is."""
    suffix = Path(output).suffix.lower()
    if suffix and suffix not in SUFFIXES:
        raise click.UsageError(f"{output}: there is no format {suffix}; name one with --format: {', '.join(FORMATS)}")
    return SUFFIXES.get(suffix, "mp3")


class StandardOutput:
    """One file on stdout, streamed. Nothing is buffered: what cannot be written is told once, here. Raises OSError."""

    def __init__(self, format: Format, sample_rate: int) -> None:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "stdout is closed: there is nowhere to write")
        self._encoder = open_encoder(format, sample_rate)
        self._descriptor = sys.stdout.fileno()

    def write(self, pcm: bytes) -> None:
        self._send(self._encoder.encode(pcm))

    def _send(self, encoded: bytes) -> None:
        left = memoryview(encoded)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._encoder:
            if kind is None:
                self._send(self._encoder.finish())


async def narrate(
    request: ClientRequest, scripts: Iterator[Script], rate: int, out: StandardOutput | ClipWriter, directory: Path
) -> None:
    """Speak all scripts, one after the other, into one output."""
    registry, config = configured(directory)
    runtime = Runtime.build(config, registry)
    runtime.make_folders()
    progress = Progress()
    async with runtime:
        await runtime.fleet.settled()  # the engine that the rules prefer may take longer than the first that is up
        async with aclosing(at_rate(spoken(request, scripts, runtime, progress), rate)) as pcm:
            async for piece in pcm:
                out.write(piece)
    progress.finish()


async def spoken(
    request: ClientRequest, scripts: Iterator[Script], runtime: Runtime, progress: Progress
) -> AsyncGenerator[Spoken, None]:
    """Audio of all scripts. The text is read in a thread: a slow pipe must not stop the engines."""
    while (script := await asyncio.to_thread(next, scripts, None)) is not None:
        speech = Speech.prepare(request, runtime, uuid.uuid4().hex, script)
        async with aclosing(speech.spoken()) as audio:
            async for one in audio:
                progress.heard(one.chunk.seconds)
                yield one
        progress.said(script.chars)


def stdin_pieces() -> Iterator[str]:
    """Text from stdin as it comes. Raises InvalidRequest when it is no UTF-8, or when stdin is closed."""
    if sys.stdin is None:
        raise InvalidRequest("stdin is closed: there is no text to read")
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = 0
    try:
        while data := os.read(sys.stdin.fileno(), PIECE_BYTES):
            begun = len(decoder.getstate()[0])  # bytes of a character whose end had not come yet
            yield decoder.decode(data)
            read += len(data)
        begun = len(decoder.getstate()[0])
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        where = read - begun + error.start
        raise InvalidRequest(f"stdin is not UTF-8 text: {error.reason} at byte {where}") from None


class Progress:
    """On a terminal, one line that grows while a text is spoken: a bar where the length is known, else counts."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        status = os.fstat(sys.stdin.fileno()) if sys.stdin is not None else None
        self._whole_bytes = status.st_size if status and stat.S_ISREG(status.st_mode) else 0
        self._chars, self._audio_s = 0, 0.0

    def heard(self, seconds: float) -> None:
        self._audio_s += seconds
        self._show()

    def said(self, chars: int) -> None:
        self._chars += chars
        self._show()

    def finish(self) -> None:
        if self._shown:
            click.echo(err=True)

    def _show(self) -> None:
        if not self._shown:
            return
        minutes, seconds = divmod(int(self._audio_s), 60)
        bar = ""
        if self._whole_bytes:
            done = min(1.0, os.lseek(sys.stdin.fileno(), 0, os.SEEK_CUR) / self._whole_bytes)
            bar = f"[{'#' * int(done * 30):30}] {done:4.0%}  "
        click.echo(f"\r{bar}{self._chars:,} characters, {minutes}:{seconds:02} of speech", nl=False, err=True)
