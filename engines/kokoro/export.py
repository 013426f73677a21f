"""Makes a bundle of published files, each as it is, once they are seen to be a Kokoro; and looks at such a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engines.contract import Check, Progress
from engines.kokoro.folder import MODEL, Files
from engines.kokoro.mixing import Part
from engines.kokoro.network import Network, Stop
from engines.kokoro.recipe import FORMAT, LICENCE
from engines.kokoro.styles import WIDTH, Styles
from engines.kokoro.vocabulary import Vocabulary
from engines.kokoro.voices import SAMPLE_RATE_HZ, names_in
from models.bundle import Bundle, BundleError, hash_files
from models.bundle_writer import BundleWriter

#: so many phonemes are spoken for a trial
_TRIAL = 20


def export(name: str, source: Path, folder: Path, progress: Progress) -> Bundle:
    """The model, its voices and its vocabulary of `source`, as they are. Raises ValueError with what to do."""
    files = Files.find(source)
    vocabulary, voices = Vocabulary.read(files.vocabulary), names_in(files.voices)
    paths = [files.model, files.vocabulary, *_each(files.voices)]
    model, *digests = hash_files(paths, "reading", progress)
    writer = BundleWriter(folder, dict(zip(map(str, paths), [model, *digests], strict=True)))
    writer.must_have_room(sum(path.stat().st_size for path in paths))
    _speak_once(files)
    stages: dict[str, Callable[[Path], object]] = {
        "model": lambda place: shutil.copyfile(files.model, place / MODEL),
        "vocabulary": lambda place: shutil.copyfile(files.vocabulary, place / files.vocabulary.name),
        "voices": lambda place: _copy(files.voices, place / files.voices.name),
    }
    for number, (stage, make) in enumerate(stages.items(), 1):
        writer.stage(stage, make)
        progress("copying", number, len(stages))
    return writer.finish(
        name=name,
        version=model[:12],
        format=FORMAT,
        licence=LICENCE,
        sizes={"voices": len(voices), "phonemes": len(vocabulary.ids), "alphabet": vocabulary.alphabet},
        sources={path.name: digest for path, digest in zip(paths, [model, *digests], strict=True)},
    )


def verify(folder: Path, progress: Progress) -> list[Check]:
    """Every file by its digest, every voice's table, and a trial of the model. Raises BundleError for what is none."""
    bundle = Bundle.read(folder)
    bundle.require_format(FORMAT)
    return [
        _checked("contents", lambda: _contents(bundle, progress)),
        _checked("voices", lambda: _voices(Files.find(folder))),
        _checked("model", lambda: _speak_once(Files.find(folder))),
    ]


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except ValueError as error:
        return Check(name, False, str(error))


def _contents(bundle: Bundle, progress: Progress) -> str:
    bundle.check_contents(progress)
    return f"{len(bundle.files)} files are what they were"


def _voices(files: Files) -> str:
    styles, names = Styles(files.voices), names_in(files.voices)
    for name in names:
        styles.read(name)
    return f"{len(names)} voices have {WIDTH} numbers a row"


def _speak_once(files: Files) -> str:
    """What the model answers to a few phonemes. Raises ValueError unless it is a wave."""
    vocabulary, names = Vocabulary.read(files.vocabulary), names_in(files.voices)
    network = Network(files.model, None, "cpu")
    ids = sorted(vocabulary.ids.values())[-_TRIAL:]
    styles = Styles(files.voices, network.style_width or WIDTH)
    wave = network.speak(ids, styles.style((Part(names[0], 1.0),), len(ids)), 1.0, Stop())
    if wave is None or not wave.size or not np.isfinite(wave).all():
        raise BundleError(f"{files.model} gives no audio for {names[0]}; fetch it again")
    return f"{wave.size / SAMPLE_RATE_HZ:.2f} s of audio for {len(ids)} phonemes"


def _each(voices: Path) -> list[Path]:
    return sorted(voices.glob("*.bin")) if voices.is_dir() else [voices]


def _copy(voices: Path, place: Path) -> None:
    if voices.is_dir():
        place.mkdir()
    for path in _each(voices):
        shutil.copyfile(path, place / path.name if voices.is_dir() else place)
