"""Kind `cosyvoice`: CosyVoice-300M-SFT on a CPU, seven speakers and five languages. Its weights are its user's own.

This module says what the engine can do and what it lacks, and loads nothing of it: no numpy, no networks.
Du et al., "CosyVoice: A Scalable Multilingual Zero-shot Text-to-speech Synthesizer", arXiv:2407.05407.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from engines.contract import Engine, EngineInfo, EngineKind, Instance, Missing
from engines.cosyvoice.options import CosyVoiceOptions
from engines.cosyvoice.recipe import FORMAT, LICENCE, RECIPE, SPEAKERS_NAME
from engines.cosyvoice.voices import LANGUAGES, names_in, voice
from engines.hooks import hookimpl
from models.bundle import Bundle, BundleError

__all__ = ["KIND", "LANGUAGES", "bundle_folder", "describe", "missing"]

#: of the engine's code: raise it when the same bundle, options and text would sound different
SOUND = "1"
#: one text keeps two cores busy
DEFAULT_SLOTS = 1
#: top-level modules that speaking needs, and what brings them
_PACKAGES = ("numpy", "onnxruntime", "tiktoken", "wetext")
_INSTALL = "scripts/install cosyvoice (in a checkout), or: pip install 'voxgate[cosyvoice]'"


def bundle_folder(instance: Instance, options: CosyVoiceOptions) -> Path:
    return instance.data_dir / "models" / options.bundle


def describe(instance: Instance, options: CosyVoiceOptions) -> EngineInfo:
    """What the engine can do, from a bundle's manifest and the names of its speakers."""
    slots = instance.slots or DEFAULT_SLOTS
    try:
        bundle = Bundle.read(bundle_folder(instance, options))
        names = names_in(bundle.folder / SPEAKERS_NAME)
        sample_rate = int(bundle.sizes["vocoder"]["sample_rate"])
    except (BundleError, OSError, ValueError, KeyError, TypeError):
        return EngineInfo(languages=frozenset(LANGUAGES), slots=slots, licence=LICENCE)
    files = hashlib.sha256("".join(sorted(one.sha256 for one in bundle.files)).encode()).hexdigest()[:16]
    return EngineInfo(
        voices=tuple(voice(name, sample_rate, LICENCE) for name in names),
        languages=frozenset(LANGUAGES),
        slots=slots,
        normalises=True,
        licence=LICENCE,
        version=f"cosyvoice {SOUND} {bundle.version} {files} {options.heard()}",
    )


def missing(instance: Instance, options: CosyVoiceOptions) -> Missing | None:
    """Looks for packages and the bundle, and loads neither."""
    if absent := [one for one in _PACKAGES if find_spec(one) is None]:
        return Missing("not_installed", f"{', '.join(absent)} not installed: {_INSTALL}")
    folder = bundle_folder(instance, options)
    if not folder.is_dir():
        return Missing("not_installed", f"voxgate models pull {RECIPE.name}")
    try:
        Bundle.read(folder).require_format(FORMAT)
    except BundleError as error:
        return Missing("not_installed", str(error))
    return None


def create(instance: Instance, options: CosyVoiceOptions) -> Engine:
    """The engine, not loaded."""
    from engines.cosyvoice.engine import CosyVoiceEngine

    return CosyVoiceEngine(instance, options)


KIND = EngineKind(
    name="cosyvoice",
    options=CosyVoiceOptions,
    create=create,
    summary="CosyVoice-300M-SFT on a CPU by ONNX Runtime: Mandarin, English, Japanese, Cantonese and Korean speakers",
    licence=LICENCE,
    describe=describe,
    missing=missing,
    isolation="process",
    models=(RECIPE,),
)


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    return [KIND]
