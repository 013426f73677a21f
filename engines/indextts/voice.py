"""A voice: everything that speaking needs of a recording, in one safetensors file. No reference network is needed then.

A file names the model that it was made for and carries a digest of all that it holds, so that neither a voice of
another model nor a damaged one is ever spoken with. Knows nothing about how a voice is made.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engines.errors import Unsupported
from engines.indextts.provenance import Provenance
from engines.indextts.shelf import SUFFIX

Array = npt.NDArray[np.float32]

_DIGEST = "sha256"


@dataclass(frozen=True, slots=True, eq=False)
class VoiceBundle:
    """All arrays float32. D is the GPT's width, F the estimator's condition's, Tp mel frames of the recording."""

    name: str
    cond: Array  # [rows, D] who speaks
    base_emotion: Array  # [D] of the recording, heard as the speaker is: the way from here leads to another emotion
    own_emotion: Array  # [D] of the recording, heard as an emotion is
    emotion: Array  # [D] of the second recording; where there is none, own_emotion
    style: Array  # [style]
    mel: Array  # [mels, Tp]
    prompt: Array  # [Tp, F] the recording's own words, as the estimator's condition
    emotion_rows: Array  # [emotions, D] the nearest speaker's row of each emotion
    provenance: Provenance

    def conditioning(self, emotion: Array, speed_embedding: Array) -> Array:
        """What the GPT's sequence begins with: emotion [D], speed_embedding [2, D] -> [rows + 2, D]."""
        return np.concatenate([self.cond + emotion, speed_embedding[1:2], speed_embedding[:1]])

    def write(self, folder: Path) -> Path:
        """Put the voice into a folder, whole or not at all, in place of one of its name. Raises OSError with a path."""
        from safetensors.numpy import save

        arrays = {one: np.ascontiguousarray(getattr(self, one), np.float32) for one in _ARRAYS}
        head = self.provenance.to_metadata()
        folder.mkdir(parents=True, exist_ok=True)
        place, fresh = folder / f"{self.name}{SUFFIX}", folder / f".{self.name}{SUFFIX}.{os.getpid()}"
        try:
            with fresh.open("wb") as file:
                file.write(save(arrays, {**head, _DIGEST: _digest(arrays, head)}))
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, place)
        except OSError as error:
            error.filename = error.filename or str(place)  # writing to an open file tells none
            raise
        finally:
            fresh.unlink(missing_ok=True)
        return place

    @classmethod
    def read(cls, path: Path, model: str | None = None) -> Self:
        """The voice in a file, checked to the last byte, for the model of that version, or any.

        Raises Unsupported, with what to do, when it is damaged or of another model.
        """
        again = f"make it again from its recording: voxgate voices add {path.stem} REF.wav --replace"
        try:
            content = path.read_bytes()
            head, arrays = _parse(content)
            provenance = Provenance.of_metadata(head)
            whole = head.pop(_DIGEST, "") == _digest(arrays, head)
        except (OSError, ValueError) as error:
            raise Unsupported(f"the voice {path.stem!r} cannot be read ({error}); {again}", param="voice") from error
        if not whole:
            raise Unsupported(f"the voice {path.stem!r} is damaged; {again}", param="voice")
        if model is not None and provenance.model != model:
            raise Unsupported(
                f"the voice {path.stem!r} was made by model version {provenance.model}, this is {model}; {again}",
                param="voice",
            )
        return cls(name=path.stem, provenance=provenance, **arrays)


_ARRAYS = tuple(one.name for one in fields(VoiceBundle) if one.name not in ("name", "provenance"))


def _parse(content: bytes) -> tuple[dict[str, str], dict[str, Array]]:
    """The head and the arrays of a voice's file. Raises ValueError for anything else.

    Copied into memory: a file that somebody writes over would change the voice that is being spoken with.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
    except (SafetensorError, KeyError) as error:
        raise ValueError(str(error)) from error
    if sorted(arrays) != sorted(_ARRAYS):
        raise ValueError("it does not hold a voice's arrays")
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]).get("__metadata__", {}), arrays


def _digest(arrays: Mapping[str, npt.NDArray[Any]], head: Mapping[str, str]) -> str:
    """Of everything in the file: its head, and each array's name, shape and values."""
    digest = hashlib.sha256(json.dumps(sorted(head.items())).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()
