"""The voices that an IndexTTS-2 engine has: a folder of files, looked at again whenever somebody asks.

Reads the head of a safetensors file (https://huggingface.co/docs/safetensors), never an array: it is asked in the
gateway's process too, where numpy is not loaded. Knows nothing about how a voice is made or used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".safetensors"
#: a longer head is no voice's
_LONGEST_HEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Card:
    """What a voice's file says of itself. `stamp` changes with its content."""

    name: str
    path: Path
    stamp: tuple[int, int]  # bytes, and nanoseconds since 1970
    metadata: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Of all that is in the file, as it says itself."""
        return self.metadata.get("sha256", "")


class Shelf:
    """shelf = Shelf(data_dir / "voices" / "indextts")
    for card in shelf.cards(): ...
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Card] = {}

    def cards(self) -> tuple[Card, ...]:
        """By name. A file that cannot be read as a voice is passed over; one that did not change is not read again."""
        found: dict[str, Card] = {}
        for name, path, stamp in sorted(self._files()):
            known = self._known.get(name)
            if known is not None and known.stamp == stamp:
                found[name] = known
            elif (metadata := read_metadata(path)) is not None:
                found[name] = Card(name, path, stamp, metadata)
        self._known = found
        return tuple(found.values())

    def _files(self) -> list[tuple[str, Path, tuple[int, int]]]:
        try:
            with os.scandir(self._folder) as entries:
                files = [one for one in entries if one.name.endswith(SUFFIX) and not one.name.startswith(".")]
                stats = [(one, one.stat()) for one in files if one.is_file()]
        except OSError:
            return []
        return [(one.name[: -len(SUFFIX)], Path(one.path), (seen.st_size, seen.st_mtime_ns)) for one, seen in stats]


def read_metadata(path: Path) -> Mapping[str, str] | None:
    """What a safetensors file says of itself beside its arrays; None when it is none."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _LONGEST_HEAD_BYTES:
                return None
            metadata = json.loads(file.read(length)).get("__metadata__", {})
    except (OSError, ValueError, AttributeError):
        return None
    return metadata if isinstance(metadata, dict) else None
