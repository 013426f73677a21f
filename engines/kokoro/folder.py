"""Where a Kokoro model's three files are: the graph, the voices, and the phonemes' numbers. Loads none of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engines.contract import Instance
from engines.kokoro.options import KokoroOptions

MODEL, VOICES = "model.onnx", "voices"
#: hexgrad's own, or that of the exports for browsers, whose config.json has no vocabulary
VOCABULARIES = ("tokenizer.json", "config.json")


class FilesError(ValueError):
    """A file that is not there or not the only one; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Files:
    """The three, each there when this was found."""

    model: Path
    voices: Path
    vocabulary: Path

    @classmethod
    def find(cls, folder: Path, model: str = "", voices: str = "", vocabulary: str = "") -> Files:
        """What is named, else what the folder holds. Raises FilesError."""
        return cls(
            _named(folder, model, "model") or _only(folder, "*.onnx", "model"),
            _named(folder, voices, "voices") or _voices(folder),
            _named(folder, vocabulary, "vocabulary") or _vocabulary(folder),
        )

    @classmethod
    def of(cls, instance: Instance, options: KokoroOptions) -> Files:
        return cls.find(folder_of(instance, options), options.model, options.voices, options.vocabulary)


def folder_of(instance: Instance, options: KokoroOptions) -> Path:
    return instance.data_dir / "models" / options.bundle


def _named(folder: Path, name: str, option: str) -> Path | None:
    if not name:
        return None
    path = folder / Path(name).expanduser()
    if not path.exists():
        raise FilesError(f"{path}, as `{option}` says, is not there: put it there, or name another")
    return path


def _only(folder: Path, pattern: str, option: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) == 1:
        return found[0]
    if found:
        raise FilesError(f"{folder} has {', '.join(one.name for one in found)}: say which with `{option}`")
    raise FilesError(f"{folder} has no {pattern}: put the file there, or name it with `{option}`")


def _voices(folder: Path) -> Path:
    return folder / VOICES if (folder / VOICES).is_dir() else _only(folder, "voices*.bin", "voices")


def _vocabulary(folder: Path) -> Path:
    for name in VOCABULARIES:
        if (folder / name).is_file():
            return folder / name
    raise FilesError(f"{folder} has no config.json: put the one of the model's release there")
