"""The arrays of voices: read without executing anything, their shapes looked at, and mixed.

A voice is a table with a row for each number of phonemes that a piece may have; a row is what the model takes as style
(hexgrad's release: 510 rows of 256 numbers, the first half for the sound, the second for the prosody).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.kokoro.mixing import Part
from engines.kokoro.voices import ARRAY, RAW

Table = npt.NDArray[np.float32]  # [rows, width]

#: numbers of one row, as all releases have it
WIDTH = 256
#: a voice takes half a megabyte
_MOST_BYTES = 16 << 20


class Styles:
    """The voices of one file or folder. Each is read when it is first asked for. For several threads."""

    def __init__(self, path: Path, width: int = WIDTH) -> None:
        self._path, self._width = path, width
        self._tables: dict[str, Table] = {}

    def style(self, parts: Sequence[Part], phonemes: int) -> Table:
        """The row for a piece of so many phonemes, [1, width]: of one voice, or weighed of several.

        Raises ValueError for what is no voice, and OSError.
        """
        style = np.zeros((1, self._width), np.float32)
        for part in parts:
            style += np.float32(part.share) * self._row(part.voice, phonemes)
        return style

    def _row(self, voice: str, phonemes: int) -> Table:
        table = self._tables.get(voice)
        if table is None:
            table = self._tables[voice] = self.read(voice)
        row: Table = table[min(phonemes, len(table) - 1)]
        return row

    def read(self, voice: str) -> Table:
        """A voice's table. Raises ValueError that names what is wrong, and OSError."""
        if self._path.is_dir():
            file = self._path / f"{voice}{RAW}"
            self._require_size(file.stat().st_size, voice)
            return self._checked(np.fromfile(file, "<f4"), voice)
        try:
            with zipfile.ZipFile(self._path) as archive:
                self._require_size(archive.getinfo(voice + ARRAY).file_size, voice)
            with np.load(self._path, allow_pickle=False) as arrays:
                return self._checked(arrays[voice], voice)
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
            raise ValueError(f"{self._path}: the voice {voice!r} cannot be read ({error}); fetch it again") from error

    def _require_size(self, size_bytes: int, voice: str) -> None:
        if not 0 < size_bytes <= _MOST_BYTES:
            raise ValueError(f"{self._path}: the voice {voice!r} has {size_bytes} bytes, which is none; fetch it again")

    def _checked(self, array: npt.NDArray[np.generic], voice: str) -> Table:
        whole = array.size > 0 and array.size % self._width == 0
        if not whole or (array.ndim > 1 and array.shape != (len(array), *[1] * (array.ndim - 2), self._width)):
            raise ValueError(
                f"{self._path}: the voice {voice!r} has the shape {array.shape}, not rows of {self._width}: "
                "it is of another model, or damaged"
            )
        table = np.asarray(array, np.float32).reshape(-1, self._width)
        if not np.isfinite(table).all():
            raise ValueError(f"{self._path}: the voice {voice!r} has numbers that are none; fetch it again")
        return table
