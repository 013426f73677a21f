"""The voices that users make: a folder of files, each made of a recording by a bundle's reference networks.

What `voxgate voices` needs (`engines.contract.VoiceMaker`). Whatever computes is imported when a voice is made or read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from engines.contract import Check, ClonedVoice, NewVoice, Progress
from engines.errors import InvalidRequest, Unavailable, Unsupported, near_names
from engines.indextts.provenance import Provenance
from engines.indextts.recipe import FORMAT
from engines.indextts.shelf import SUFFIX, read_metadata
from models.bundle import Bundle, BundleError

#: what a name may be: it is a file's too
_NAME = re.compile(r"\w[\w.-]{0,63}")
_PACKAGES = ("numpy", "onnxruntime", "safetensors", "soundfile", "soxr", "transformers")


@dataclass(frozen=True, slots=True)
class Cloning:
    """The voices in `folder`, for the model in `bundle`."""

    folder: Path
    bundle: Path
    languages: tuple[str, ...]

    def list(self) -> Sequence[ClonedVoice]:
        """By name; looks at the heads of the files alone."""
        model = self._model()
        return [self._told(path, model) for path in self._paths()]

    def make(self, wanted: NewVoice, replace: bool, progress: Progress) -> ClonedVoice:
        """Listen to the recording and write the voice. Raises InvalidRequest, Unavailable, BundleError and OSError."""
        self._require_fit(wanted, replace)
        if lacking := [one for one in _PACKAGES if find_spec(one) is None]:
            raise Unavailable(
                f"making a voice needs {', '.join(lacking)}, not installed here: scripts/install indextts (in a "
                "checkout), or: pip install 'voxgate[indextts]'"
            )
        from engines.indextts.reference import Reference

        bundle = self._require_bundle()
        listened = Reference(bundle).make(_with_languages(wanted, self.languages), progress)
        return self._told(listened.write(self.folder), bundle.version)

    def verify(self, name: str) -> Sequence[Check]:
        """Is every byte as it was written, and is it a voice of this model."""
        from engines.indextts.voice import VoiceBundle

        path, model = self._require_there(name), self._model()
        try:
            voice = VoiceBundle.read(path)
        except Unsupported as error:
            return [Check("content", False, error.message)]
        told = self._told(path, model)
        shapes = f"{voice.mel.shape[1]} mel frames, {len(voice.emotion_rows)} emotions"
        return [
            Check("content", True, f"the digest of all {path.stat().st_size} bytes is right: {shapes}"),
            Check("model", told.state == "ready", told.problem or f"made for model version {voice.provenance.model}"),
        ]

    def remove(self, name: str) -> ClonedVoice:
        """Delete it, whatever its state."""
        path = self._require_there(name)
        told = self._told(path, self._model())
        path.unlink()
        return told

    def _paths(self) -> Iterator[Path]:
        if self.folder.is_dir():
            yield from sorted(one for one in self.folder.glob(f"*{SUFFIX}") if not one.name.startswith("."))

    def _told(self, path: Path, model: str) -> ClonedVoice:
        told = ClonedVoice(path.stem, path, path.stat().st_size, "ready")
        again = f"voxgate voices add {path.stem} REF.wav --replace"
        try:
            head = Provenance.of_metadata(read_metadata(path) or {})
        except ValueError as error:
            return replace(told, state="damaged", problem=f"its file cannot be read ({error}); make it again: {again}")
        told = replace(
            told,
            notes=head.notes,
            model=head.model,
            seconds=head.seconds,
            languages=head.languages,
            gender=head.gender,
            licence=head.licence,
            consent=head.consent,
            created=head.created,
        )
        if not model:
            return replace(told, state="no_model", problem=f"its model is not there: {self._get()}")
        if head.model != model:
            why = f"made for model version {head.model}, this is {model}; make it again from its recording: {again}"
            return replace(told, state="other_model", problem=why)
        return told

    def _model(self) -> str:
        """The version of the model that is there; empty when none is."""
        try:
            return Bundle.read(self.bundle).version
        except BundleError:
            return ""

    def _require_bundle(self) -> Bundle:
        if not self.bundle.is_dir():
            raise Unavailable(f"the model is not there: {self._get()}")
        bundle = Bundle.read(self.bundle)
        bundle.require_format(FORMAT)
        return bundle

    def _get(self) -> str:
        return f"voxgate models pull {self.bundle.name}"

    def _require_there(self, name: str) -> Path:
        """Raises InvalidRequest with near names."""
        paths = {path.stem: path for path in self._paths()}
        if name not in paths:
            raise InvalidRequest(f"there is no voice {name!r} in {self.folder}; {near_names(name, paths)}")
        return paths[name]

    def _require_fit(self, wanted: NewVoice, replace: bool) -> None:
        """What can be said before any work is done. Raises InvalidRequest."""
        if not _NAME.fullmatch(wanted.name):
            raise InvalidRequest(
                f"{wanted.name!r} is no name for a voice: letters, digits, `_`, `-` and `.`, at most 64, "
                "the first a letter or digit"
            )
        if not wanted.consent.strip():
            raise InvalidRequest("a voice needs its consent: whose voice it is, and with what permission")
        if foreign := [one for one in wanted.languages if one not in self.languages]:
            raise InvalidRequest(f"this engine speaks {' and '.join(self.languages)}, not {', '.join(foreign)}")
        if not replace and wanted.name in {path.stem for path in self._paths()}:
            raise InvalidRequest(f"there is a voice {wanted.name!r} already: choose another name, or say --replace")


def _with_languages(wanted: NewVoice, languages: tuple[str, ...]) -> NewVoice:
    return wanted if wanted.languages else replace(wanted, languages=languages)
