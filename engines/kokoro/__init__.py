"""Kind `kokoro`: Kokoro-82M on a CPU, v1.0 and v1.1-zh, faster than real time. Its weights are its user's own download.

This module says what the engine can do and what it lacks, and loads nothing of it: no numpy, no network, no espeak-ng.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from engines.contract import Engine, EngineInfo, EngineKind, Instance, Missing
from engines.errors import Unavailable
from engines.hooks import hookimpl
from engines.kokoro.folder import Files, FilesError, folder_of
from engines.kokoro.options import KokoroOptions
from engines.kokoro.recipe import FORMAT, RECIPES, VERSION_1
from engines.kokoro.voices import LANGUAGES, Catalogue, names_in
from models.bundle import MANIFEST, Bundle, BundleError

#: of the engine's code: raise it when the same files, options and text would sound different
SOUND = "1"
#: requests at once: the model computes for both, on the same cores
DEFAULT_SLOTS = 2
LICENCE = "Apache-2.0 (weights, by hexgrad; engine); GPL-3.0-or-later (espeak-ng, in a process of its own)"
#: top-level modules that speaking needs
_PACKAGES = ("numpy", "onnxruntime", "pypinyin", "rjieba", "espeakng_loader")
_INSTALL = "scripts/install kokoro (in a checkout), or: pip install 'voxgate[kokoro]'"
#: distributions whose version changes how a text is read
_READERS = ("espeakng-loader", "pypinyin", "rjieba")


def describe(instance: Instance, options: KokoroOptions) -> EngineInfo:
    """What the engine can do, from the names of the files and of the voices in them."""
    slots = instance.slots or DEFAULT_SLOTS
    try:
        files = Files.of(instance, options)
        voices = Catalogue(names_in(files.voices), options.mixes).listed()
        version = version_of(files, options)
    except (ValueError, OSError):
        return EngineInfo(languages=LANGUAGES, slots=slots, licence=LICENCE)
    return EngineInfo(
        voices=voices,
        languages=frozenset(language for voice in voices for language in voice.languages),
        slots=slots,
        normalises=True,
        licence=LICENCE,
        version=version,
    )


def version_of(files: Files, options: KokoroOptions) -> str:
    """Whatever makes the same text sound different changes it. Raises OSError."""
    folder = files.model.parent
    try:
        digests = {folder / one.path: one.sha256 for one in Bundle.read(folder).files}
    except BundleError:  # the user's own files
        digests = {}
    paths = [files.model, files.vocabulary, *(files.voices.iterdir() if files.voices.is_dir() else [files.voices])]
    told = "\n".join(sorted(f"{path.name} {digests.get(path) or _stamp(path)}" for path in paths))
    readers = " ".join(f"{name} {_version(name)}" for name in _READERS)
    return f"kokoro {SOUND} {hashlib.sha256(told.encode()).hexdigest()[:16]} {readers} {options.heard()}"


def _stamp(path: Path) -> str:
    """Of a file that no manifest lists: its size, and when it was written."""
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def missing(instance: Instance, options: KokoroOptions) -> Missing | None:
    """Looks for packages, files and voices, in this order, and loads none of them."""
    if absent := [one for one in _PACKAGES if find_spec(one) is None]:
        return Missing("not_installed", f"{', '.join(absent)} not installed: {_INSTALL}")
    folder = folder_of(instance, options)
    if not folder.is_dir() and not (options.model and options.voices and options.vocabulary):
        known = options.bundle if options.bundle in {one.name for one in RECIPES} else VERSION_1.name
        return Missing("not_installed", f"voxgate models pull {known}")
    try:
        if (folder / MANIFEST).is_file():
            Bundle.read(folder).require_format(FORMAT)
        catalogue = Catalogue(names_in(Files.of(instance, options).voices), options.mixes)
        for mix in options.mixes:
            catalogue.require(mix)
    except FilesError as error:
        return Missing("not_configured", str(error))
    except (ValueError, OSError) as error:
        return Missing("not_installed", str(error))
    return None


def create(instance: Instance, options: KokoroOptions) -> Engine:
    """The engine, not loaded, in a worker process. Raises Unavailable anywhere else."""
    if not instance.in_worker:
        raise Unavailable(
            "kind kokoro runs in a process of its own only: it reads texts by espeak-ng, which is GPL-3.0-or-later, "
            "and loading that here would put the whole gateway under that licence; remove `isolation: inline`"
        )
    from engines.kokoro.engine import KokoroEngine

    return KokoroEngine(instance, options)


KIND = EngineKind(
    name="kokoro",
    options=KokoroOptions,
    create=create,
    summary="Kokoro-82M on a CPU by ONNX Runtime: English, Mandarin and five more, many voices and mixes of them",
    licence=LICENCE,
    describe=describe,
    missing=missing,
    isolation="process",
    models=RECIPES,
)


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    return [KIND]
