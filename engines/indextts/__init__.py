"""Kind `indextts`: IndexTTS-2 on a CPU, with voices cloned from recordings. Its weights are its user's own download.

This module says what the engine can do and what it lacks, and loads nothing of it: no numpy, no networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from engines.contract import Engine, EngineInfo, EngineKind, Instance, Missing, Voice
from engines.hooks import hookimpl
from engines.indextts.cloning import Cloning
from engines.indextts.options import IndexTtsOptions
from engines.indextts.provenance import Provenance
from engines.indextts.recipe import FORMAT, RECIPE
from engines.indextts.shelf import Card, Shelf
from models.bundle import Bundle, BundleError

#: of the engine's code: raise it when the same bundle, options and text would sound different
SOUND = "1"
LANGUAGES = ("zh", "en")
DEFAULT_SLOTS = 4
LICENCE = "bilibili Model Use License (weights, not open source); Apache-2.0 (engine)"
#: top-level modules that speaking needs, and what brings them
_PACKAGES = ("numpy", "onnxruntime", "safetensors", "sentencepiece", "wetext")
_INSTALL = "scripts/install indextts (in a checkout), or: pip install 'voxgate[indextts]'"
_INSTALL_OPENVINO = "scripts/install openvino (in a checkout), or: pip install 'voxgate[openvino]'"


def bundle_folder(instance: Instance, options: IndexTtsOptions) -> Path:
    return instance.data_dir / "models" / options.bundle


def voices_folder(instance: Instance) -> Path:
    return instance.data_dir / "voices" / "indextts"


def describe(
    instance: Instance, options: IndexTtsOptions, *, shelf: Shelf | None = None, bundle: Bundle | None = None
) -> EngineInfo:
    """What the engine can do, from a bundle's manifest and the heads of the voices' files.

    `bundle`: the one that is loaded; without it, the one that is there.
    """
    slots = instance.slots or DEFAULT_SLOTS
    try:
        bundle = bundle or Bundle.read(bundle_folder(instance, options))
    except BundleError:
        return EngineInfo(languages=frozenset(LANGUAGES), slots=slots, licence=LICENCE)
    shelf = shelf or Shelf(voices_folder(instance))
    return EngineInfo(
        voices=voices(shelf.cards(), bundle),
        languages=frozenset(LANGUAGES),
        slots=slots,
        cloning=True,
        normalises=True,
        licence=LICENCE,
        version=version_of(bundle, options),
    )


def version_of(bundle: Bundle, options: IndexTtsOptions) -> str:
    """Whatever makes the same text sound different changes it; voices say of themselves when they change."""
    files = hashlib.sha256("".join(sorted(one.sha256 for one in bundle.files)).encode()).hexdigest()[:16]
    return f"indextts {SOUND} {bundle.name} {bundle.version} {files} {options.heard()}"


def voices(cards: Iterable[Card], bundle: Bundle) -> tuple[Voice, ...]:
    """The voices that were made for this model: with others it would speak like nobody."""
    return tuple(voice for card in cards if (voice := _voice(card, bundle.version)))


def _voice(card: Card, model: str) -> Voice | None:
    try:
        made = Provenance.of_metadata(card.metadata)
    except ValueError:
        return None
    if made.model != model:
        return None
    languages = made.languages or LANGUAGES
    return Voice(card.name, languages, made.sample_rate, made.gender, licence=made.licence, version=card.digest)


def missing(instance: Instance, options: IndexTtsOptions) -> Missing | None:
    """Looks for packages, the bundle and a voice, in this order, and loads none of them."""
    if absent := [one for one in _PACKAGES if find_spec(one) is None]:
        return Missing("not_installed", f"{', '.join(absent)} not installed: {_INSTALL}")
    if options.provider == "openvino" and find_spec("openvino") is None:
        return Missing("not_installed", f"openvino not installed: {_INSTALL_OPENVINO}")
    folder = bundle_folder(instance, options)
    if not folder.is_dir():
        return Missing("not_installed", f"voxgate models pull {options.bundle}")
    try:
        bundle = Bundle.read(folder)
        bundle.require_format(FORMAT)
    except BundleError as error:
        return Missing("not_installed", str(error))
    if not voices(Shelf(voices_folder(instance)).cards(), bundle):
        return Missing("not_configured", "it has no voice yet: voxgate voices add NAME REFERENCE.wav --engine indextts")
    return None


def cloning(instance: Instance, options: IndexTtsOptions) -> Cloning:
    """What `voxgate voices` works with."""
    return Cloning(voices_folder(instance), bundle_folder(instance, options), LANGUAGES)


def create(instance: Instance, options: IndexTtsOptions) -> Engine:
    """The engine, not loaded."""
    from engines.indextts.engine import IndexTtsEngine

    return IndexTtsEngine(instance, options)


KIND = EngineKind(
    name="indextts",
    options=IndexTtsOptions,
    create=create,
    summary="IndexTTS-2 on a CPU by ONNX Runtime: cloned voices with emotions, Mandarin and English",
    licence=LICENCE,
    describe=describe,
    missing=missing,
    isolation="process",
    models=(RECIPE,),
    voices=cloning,
)


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    return [KIND]
