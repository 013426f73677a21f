"""A model bundle: a directory with a manifest that names its files, their sizes and sha256, and the licence.

Knows nothing about what a model computes, nor about engines. A bundle without a readable manifest is not a bundle:
an export writes the manifest last, so that half a bundle never looks whole (`models.bundle_writer`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
#: hears what is being done, and how many of how many bytes are done; may raise to stop it
Progress = Callable[[str, int, int], None]
_BLOCK_BYTES = 1 << 22


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
    """What the manifest says.

    `version` names the model itself: whatever was made from the same weights has the same one. `format` counts up when
    the files of this kind of model change their meaning; `sizes` is the model's own.
    """

    folder: Path
    name: str
    version: str
    licence: str
    files: tuple[BundleFile, ...]
    format: int = 0
    quantisation: str = ""
    sizes: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)  # files that it was made from -> their sha256

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """Read the manifest and compare sizes: reading whole models for their sha256 is slow. Raises BundleError."""
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            files = tuple(BundleFile(one["path"], one["size_bytes"], one["sha256"]) for one in manifest["files"])
            bundle = cls(
                folder,
                manifest["name"],
                manifest["version"],
                manifest["licence"],
                files,
                int(manifest.get("format", 0)),
                manifest.get("quantisation", ""),
                dict(manifest.get("sizes", {})),
                dict(manifest.get("sources", {})),
            )
        except FileNotFoundError:
            if not folder.is_dir():
                raise BundleError(f"{folder} is not there; get it with: voxgate models pull {folder.name}") from None
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

    def require_format(self, wanted: int) -> None:
        """Raises BundleError, with what mends it, unless the files have the meaning that the caller knows."""
        if self.format == wanted:
            return
        again = f"voxgate models pull {self.name}, or voxgate models export {self.name} --from DIR"
        if self.format > wanted:
            raise BundleError(f"{self.folder} is for a newer Voxgate: update this one, or make it again with: {again}")
        raise BundleError(f"{self.folder} is of an older Voxgate: make it again with: {again}")

    def check_contents(self, progress: Progress) -> None:
        """Compare every file with its sha256. Raises BundleError that names those that have changed."""
        digests = hash_files([self.folder / one.path for one in self.files], "reading the bundle", progress)
        changed = [one.path for one, digest in zip(self.files, digests, strict=True) if digest != one.sha256]
        if changed:
            raise BundleError(f"{self.folder}: {', '.join(changed)} is damaged; make or fetch the bundle again")

    def _must_have(self, file: BundleFile) -> None:
        path = self.folder / file.path
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise BundleError(f"{self.folder / MANIFEST} names a file outside the bundle: {file.path}")
        size_bytes = path.stat().st_size if path.is_file() else -1
        if size_bytes != file.size_bytes:
            what = "is missing" if size_bytes < 0 else f"has {size_bytes} bytes instead of {file.size_bytes}"
            raise BundleError(f"{path} {what}; make or fetch the bundle again")


def hash_files(paths: Sequence[Path], doing: str, progress: Progress) -> list[str]:
    """The sha256 of each file; `progress` hears of the bytes of all of them as `doing`. Raises BundleError."""
    whole, done, digests = sum(path.stat().st_size for path in paths), 0, []
    for path in paths:
        digest = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
                    done += len(block)
                    progress(doing, done, whole)
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror}") from error
        digests.append(digest.hexdigest())
    return digests


def find_bundles(folder: Path) -> Iterator[Bundle | BundleError]:
    """Every bundle right below `folder`, or what is wrong with it. Raises OSError when it cannot be listed."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            try:
                yield Bundle.read(path)
            except BundleError as error:
                yield error
