"""The folder of voices: pairs of `NAME.onnx` and `NAME.onnx.json`, at any depth, read anew when they change.

Knows what of a voice can be said without loading it, and why one cannot be used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from engines.contract import Voice
from engines.phonemes.pinyin import PACKAGES
from engines.piper.description import Description, DescriptionError, Speaker

#: phonemisers that can be had without a download of their own
_KNOWN = ("espeak", "text", "pinyin")
_INSTALL = "scripts/install piper (in a checkout), or: pip install 'voxgate[piper]'"
_ANY_RATE = 22050  # of a voice that never speaks
_NO_LICENCE = "not stated by the voice: see its model card"


@dataclass(frozen=True, slots=True)
class Entry:
    """A voice that was found. `problem` is why it cannot speak, with what to do; else there is a description."""

    name: str
    path: Path
    size_bytes: int
    digest: str  # changes when the voice does
    description: Description | None = None
    problem: str = ""

    def choose(self, speaker: str) -> Speaker | None:
        """A speaker by name or number; the first for none."""
        if self.description is None:
            return None
        if not speaker:
            return self.description.speakers[0]
        return next((one for one in self.description.speakers if speaker in (one.name, str(one.id))), None)

    def voices(self) -> list[Voice]:
        """`NAME`, and `NAME:SPEAKER` for each of several. One that cannot speak has no language, and says why when it
        is asked for."""
        if (description := self.description) is None:
            return [Voice(self.name, (), _ANY_RATE, tags=("unusable",), version=self.digest)]
        licence = description.licence or _NO_LICENCE
        listed = [
            Voice(self.name, description.languages, description.sample_rate, licence=licence, version=self.digest)
        ]
        if len(description.speakers) > 1:
            for one in description.speakers:
                languages = (one.language,) if one.language else ()
                name = f"{self.name}:{one.name}"
                listed.append(Voice(name, languages, description.sample_rate, licence=licence, version=self.digest))
        return listed


class Shelf:
    """The voices of one folder, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[tuple[object, ...], ...] = ()
        self._entries: dict[str, Entry] = {}

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def known(self) -> dict[str, Entry]:
        """What was there when the folder was last looked at."""
        return self._entries

    def entries(self) -> dict[str, Entry]:
        """What is there now. Files are read again when a time or a size has changed."""
        seen = tuple(_stamp(path) for path in self._graphs())
        if seen != self._seen:
            self._entries = {entry.name: entry for entry in map(_entry, self._graphs())}
            self._seen = seen
        return self._entries

    def _graphs(self) -> list[Path]:
        return sorted(self._folder.rglob("*.onnx"), key=lambda path: (path.stem, path))


def voices(entries: Iterable[Entry]) -> tuple[Voice, ...]:
    return tuple(voice for entry in entries for voice in entry.voices())


def _stamp(graph: Path) -> tuple[object, ...]:
    stamp: list[object] = [graph]
    for path in (graph, _json(graph)):
        try:
            stat = path.stat()
            stamp += [stat.st_mtime_ns, stat.st_size]
        except OSError:
            stamp.append(None)
    return tuple(stamp)


def _json(graph: Path) -> Path:
    return graph.with_name(graph.name + ".json")


def _entry(graph: Path) -> Entry:
    beside = graph.with_name(graph.name + ".data")
    size = sum(path.stat().st_size for path in (graph, beside) if path.is_file())
    digest = hashlib.sha256(repr(_stamp(graph)[1:]).encode()).hexdigest()[:16]
    try:
        description = Description.read(_json(graph))
        _require_phonemisers(description)
    except DescriptionError as error:
        return Entry(graph.stem, graph, size, digest, problem=str(error))
    return Entry(graph.stem, graph, size, digest, description)


def _require_phonemisers(description: Description) -> None:
    for kind in {speaker.phonemes for speaker in description.speakers}:
        if kind not in _KNOWN:
            raise DescriptionError(
                f"its phonemes are of type {kind!r}, for which there is no phonemiser here; there are: "
                f"{', '.join(_KNOWN)}"
            )
        if kind == "pinyin" and (
            absent := [brings for module, brings in PACKAGES.items() if find_spec(module) is None]
        ):
            raise DescriptionError(f"{', '.join(absent)} not installed: {_INSTALL}")
        if kind == "espeak" and find_spec("espeakng_loader") is None:
            raise DescriptionError("espeakng-loader not installed: pip install espeakng-loader")
