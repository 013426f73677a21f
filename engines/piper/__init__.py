"""Kind `piper`: voices made for Piper, which their user downloads: small networks, quicker than speech on a CPU.

This module says what the engine can do and what it lacks, and loads nothing of it: no numpy, no graphs, no espeak-ng.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from engines.contract import Engine, EngineInfo, EngineKind, Instance, Missing
from engines.errors import Unavailable
from engines.hooks import hookimpl
from engines.piper.options import PiperOptions
from engines.piper.shelf import Shelf, voices

#: of the engine's code: raise it when the same voices, options and text would sound different
SOUND = "1"
DEFAULT_SLOTS = 2
LICENCE = "each voice has its own; espeak-ng GPL-3.0-or-later (runs in a process of its own)"
_PACKAGES = ("numpy", "onnxruntime")
_INSTALL = "scripts/install piper (in a checkout), or: pip install 'voxgate[piper]'"
_EXAMPLE = "https://huggingface.co/rhasspy/piper-voices/resolve/main/en/en_US/lessac/medium/en_US-lessac-medium.onnx"


def folder_of(instance: Instance, options: PiperOptions) -> Path:
    """A path as it is; a name counts from `models` in the data directory."""
    return instance.data_dir / "models" / Path(options.folder).expanduser()


def describe(instance: Instance, options: PiperOptions, *, shelf: Shelf | None = None) -> EngineInfo:
    """What the engine can do, from the descriptions beside the voices."""
    listed = voices((shelf or Shelf(folder_of(instance, options))).entries().values())
    return EngineInfo(
        voices=listed,
        languages=frozenset(language for voice in listed for language in voice.languages),
        slots=instance.slots or DEFAULT_SLOTS,
        cloning=True,  # its user's folder: a voice that is not there may come, and one that is there may change
        normalises=True,
        licence=LICENCE,
        version=f"piper {SOUND} {options.heard()}",
    )


def missing(instance: Instance, options: PiperOptions) -> Missing | None:
    """Looks for packages, and then for a voice that can speak, and loads none of them."""
    if absent := [one for one in _PACKAGES if find_spec(one) is None]:
        return Missing("not_installed", f"{', '.join(absent)} not installed: {_INSTALL}")
    folder = folder_of(instance, options)
    entries = Shelf(folder).entries().values()
    if not entries:
        return Missing(
            "not_installed",
            f"it has no voice yet: mkdir -p {folder} && cd {folder} && "
            f"curl -fL --remote-name-all {_EXAMPLE} {_EXAMPLE}.json",
        )
    if all(entry.problem for entry in entries):
        problems = "; ".join(f"{entry.name}: {entry.problem}" for entry in entries)
        return Missing("not_configured", f"none of the voices in {folder} can be used: {problems}")
    return None


def create(instance: Instance, options: PiperOptions) -> Engine:
    """The engine, in a worker process. Raises Unavailable anywhere else."""
    if not instance.in_worker:
        raise Unavailable(
            "kind piper runs in a process of its own only: espeak-ng, which tells most voices how a text is said, is "
            "GPL-3.0-or-later, and loading it here would put the whole gateway under that licence; remove "
            "`isolation: inline`"
        )
    from engines.piper.engine import PiperEngine

    return PiperEngine(instance, options)


KIND = EngineKind(
    name="piper",
    options=PiperOptions,
    create=create,
    summary="voices made for Piper, on a CPU by ONNX Runtime: small, quicker than speech, dozens of languages",
    licence=LICENCE,
    describe=describe,
    missing=missing,
    isolation="process",
)


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    return [KIND]
