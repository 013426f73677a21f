"""A model bundle: a directory with a manifest that names its files, their sizes and sha256, and the licence.

Knows nothing about what a model computes, nor about engines. A bundle without a readable manifest is not a bundle:
an export writes the manifest last, so that half a bundle never looks whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "manifest.json"


class BundleError(ValueError):
    """A bundle that cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file, by its path inside the bundle."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """What the manifest says."""

    folder: Path
    name: str
    version: str
    licence: str
    files: tuple[BundleFile, ...]

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """Read the manifest and compare sizes: reading whole models for their sha256 is slow. Raises BundleError."""
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            files = tuple(BundleFile(one["path"], one["size_bytes"], one["sha256"]) for one in manifest["files"])
            bundle = cls(folder, manifest["name"], manifest["version"], manifest["licence"], files)
        except FileNotFoundError:
            raise BundleError(
                f"{folder} has no {MANIFEST}: it is unfinished or no bundle; make or fetch it again"
            ) from None
        except OSError as error:
            raise BundleError(f"{folder / MANIFEST} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{folder / MANIFEST} is damaged ({error}); make or fetch the bundle again") from error
        for file in files:
            bundle._must_have(file)
        return bundle

    def _must_have(self, file: BundleFile) -> None:
        path = self.folder / file.path
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise BundleError(f"{self.folder / MANIFEST} names a file outside the bundle: {file.path}")
        size_bytes = path.stat().st_size if path.is_file() else -1
        if size_bytes != file.size_bytes:
            what = "is missing" if size_bytes < 0 else f"has {size_bytes} bytes instead of {file.size_bytes}"
            raise BundleError(f"{path} {what}; make or fetch the bundle again")


def find_bundles(folder: Path) -> Iterator[Bundle | BundleError]:
    """Every bundle right below `folder`, or what is wrong with it. Raises OSError when it cannot be listed."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            try:
                yield Bundle.read(path)
            except BundleError as error:
                yield error
