"""Kind `espeak`: the embedded default voice, espeak-ng, installed by pip alone (espeakng-loader).

This module and `voices` say what the engine can do and load nothing of espeak-ng: it is GPL-3.0-or-later, and only a
worker process may have it in its memory.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from engines.contract import Engine, EngineInfo, EngineKind, Instance, Missing, Options
from engines.errors import Unavailable
from engines.espeak.voices import LICENCE, Catalogue
from engines.hooks import hookimpl

_DISTRIBUTION, _MODULE = "espeakng-loader", "espeakng_loader"
SAMPLE_RATE_HZ = 22050  # of espeak-ng's own data; the engine takes what the library says when it starts
DEFAULT_SLOTS = 2  # each is a private copy of the library: 2 ms to load, 2.5 MB


class EspeakOptions(Options):
    """Options of kind `espeak` in engines.yaml."""

    rate_wpm: Annotated[int, Field(ge=80, le=449, description="words per minute at speed 1")] = 175
    pitch: Annotated[int, Field(ge=0, le=99, description="50 is the voice's own")] = 50
    volume: Annotated[int, Field(ge=0, le=100, description="100 is full; more would clip")] = 100
    word_gap_ms: Annotated[int, Field(ge=0, le=1000, multiple_of=10, description="further silence between words")] = 0


def describe(
    instance: Instance, options: EspeakOptions, *, catalogue: Catalogue | None = None, sample_rate: int = SAMPLE_RATE_HZ
) -> EngineInfo:
    """What the engine can do, from the table of voices and the version of the installed distribution."""
    catalogue = catalogue or Catalogue.load()
    try:
        distribution = importlib.metadata.version(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        distribution = "absent"
    return EngineInfo(
        voices=catalogue.listed(sample_rate),
        languages=catalogue.languages,
        slots=instance.slots or DEFAULT_SLOTS,
        marks=True,
        normalises=True,
        ssml=True,
        licence=LICENCE,
        # the distribution holds library and data, so its version names both, before and after start
        version=f"{_DISTRIBUTION} {distribution} rate={options.rate_wpm} pitch={options.pitch} "
        f"volume={options.volume} gap={options.word_gap_ms}",
    )


def missing(instance: Instance, options: EspeakOptions) -> Missing | None:
    """Looks for the distribution without importing it."""
    if importlib.util.find_spec(_MODULE) is None:
        return Missing("not_installed", f"pip install {_DISTRIBUTION}")
    return None


def create(instance: Instance, options: EspeakOptions) -> Engine:
    """The engine, in a worker process. Raises Unavailable anywhere else."""
    if not instance.in_worker:
        raise Unavailable(
            "kind espeak runs in a process of its own only: espeak-ng is GPL-3.0-or-later, and loading it here would "
            "put the whole gateway under that licence; remove `isolation: inline`"
        )
    from engines.espeak.engine import EspeakEngine

    return EspeakEngine(instance, options)


KIND = EngineKind(
    name="espeak",
    options=EspeakOptions,
    create=create,
    summary="espeak-ng: over a hundred languages, Mandarin and Cantonese among them, first audio in milliseconds",
    licence=f"{LICENCE} (runs in a process of its own)",
    describe=describe,
    missing=missing,
    isolation="process",
    isolation_fixed=True,
)


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    return [KIND]
