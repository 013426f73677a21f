"""What is under `data_dir/models`: bundles, downloads and what was left behind; who may touch it, and what it takes.

    NAME/               a bundle: whole from the moment that it has this name
    .NAME.ANYTHING/     one that is being made, or that another has replaced
    .downloads/NAME/    the files that it is made of, and parts of such
    .lock, .lock-NAME   held while somebody works there

Knows nothing about where files come from, nor about engines.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from models.bundle import MANIFEST, Bundle, BundleError
from models.download import PART, RECORD
from models.room import taken_bytes

State = Literal["whole", "other format", "damaged", "no bundle"]


class StoreError(ValueError):
    """What cannot be done with the models on this disk now; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is of a model."""

    name: str
    folder: Path
    state: State
    size_bytes: int  # of the bundle
    unfinished_bytes: int  # of exports that were stopped, and bundles that were replaced
    download_bytes: int
    part_bytes: int  # among these, of files that are not whole
    version: str = ""
    licence: str = ""
    problem: str = ""  # why the bundle cannot be used, and what to do


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that nothing will read again."""

    path: Path
    what: str
    size_bytes: int


class Store:
    """The models of one data directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def bundle(self, name: str) -> Path:
        """Where a bundle of that name is or would be. Raises StoreError for what is no name."""
        if not name or name.startswith(".") or "/" in name or "\0" in name:
            raise StoreError(f"{name!r} is no name of a model: `voxgate models list` shows them")
        return self.folder / name

    def download(self, name: str) -> Path:
        """Where the files are fetched to that a bundle is made of."""
        return self.folder / ".downloads" / self.bundle(name).name

    @contextmanager
    def working(self, name: str) -> Iterator[None]:
        """Be the only one who makes or removes this model. Raises StoreError while somebody else does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            busy = "models are being pruned: try again when that has ended"
            held.enter_context(_lock(self.folder / ".lock", fcntl.LOCK_SH, busy))
            busy = f"{name} is being pulled, exported or removed already: wait until that has ended"
            held.enter_context(_lock(self.folder / f".lock-{self.bundle(name).name}", fcntl.LOCK_EX, busy))
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one who changes anything here. Raises StoreError while somebody else does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        busy = "a model is being pulled, exported or removed: prune when that has ended"
        with _lock(self.folder / ".lock", fcntl.LOCK_EX, busy):
            yield

    def kept(self) -> list[Kept]:
        """Every folder that has, or could have, the name of a bundle."""
        return [self.look(path.name) for path in self._folders() if not path.name.startswith(".")]

    def look(self, name: str, format: int | None = None) -> Kept:
        """What is there under a name. `format`: of bundles that can be used; None: any."""
        folder, download = self.bundle(name), self.download(name)
        unfinished_bytes = sum(one.size_bytes for one in self.all_of(name) if one.path not in (folder, download))
        part_bytes = sum(taken_bytes(one) for one in download.rglob(f"*{PART}"))
        sizes = taken_bytes(folder), unfinished_bytes, taken_bytes(download), part_bytes
        try:
            bundle = Bundle.read(folder)
        except BundleError as error:
            state: State = "damaged" if (folder / MANIFEST).exists() else "no bundle"
            return Kept(name, folder, state, *sizes, problem=str(error) if folder.exists() else "")
        whole = Kept(name, folder, "whole", *sizes, bundle.version, bundle.licence)
        try:
            bundle.require_format(bundle.format if format is None else format)
        except BundleError as error:
            return replace(whole, state="other format", problem=str(error))
        return whole

    def remove(self, name: str) -> list[Leftover]:
        """Take away all there is of a model; what was removed. A worker that has the bundle open keeps its pages."""
        return [clear_away(one) for one in self.all_of(name)]

    def all_of(self, name: str) -> list[Leftover]:
        """The bundle, what an export of it has left behind, and its download."""
        unfinished = (one for one in self._folders() if one.name.startswith(f".{name}."))
        named = [(self.bundle(name), "bundle"), *((one, "unfinished bundle") for one in unfinished)]
        there = [(path, what) for path, what in (*named, (self.download(name), "download")) if path.exists()]
        return [Leftover(path, what, taken_bytes(path)) for path, what in there]

    def leftovers(self) -> list[Leftover]:
        """What `prune` takes: bundles replaced or unfinished, downloads that are bundles by now, parts of others."""
        found = [
            Leftover(path, "a bundle that was replaced or not finished", taken_bytes(path))
            for path in self._folders()
            if path.name.startswith(".") and path.name != ".downloads"
        ]
        downloads = self.folder / ".downloads"
        for path in sorted(downloads.iterdir()) if downloads.is_dir() else []:
            if path.name.startswith("."):
                found.append(Leftover(path, "half removed", taken_bytes(path)))
            elif self.look(path.name).state == "whole":
                found.append(Leftover(path, "a download whose bundle is whole", taken_bytes(path)))
            else:
                parts = (one for one in sorted(path.rglob("*")) if one.name.endswith((PART, RECORD)))
                found += [Leftover(one, "part of a download", taken_bytes(one)) for one in parts]
        return found

    def _folders(self) -> list[Path]:
        return sorted(one for one in self.folder.iterdir() if one.is_dir()) if self.folder.is_dir() else []


def clear_away(leftover: Leftover) -> Leftover:
    """Delete it; as it was, with its size. A folder is renamed first, so that half of it never looks whole."""
    path, size_bytes = leftover.path, taken_bytes(leftover.path)
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        doomed = path.with_name(f".gone-{path.name.lstrip('.')}-{os.getpid()}")
        os.replace(path, doomed)
        shutil.rmtree(doomed)
    return Leftover(path, leftover.what, size_bytes)


def readers_of(folder: Path) -> list[tuple[int, str]]:
    """Processes that have a file below `folder` mapped into memory: id and name. Linux alone tells; elsewhere none."""
    inside, found = f" {folder.resolve()}{os.sep}", []
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda one: int(one.name)):
        try:
            if inside in (process / "maps").read_text(errors="replace"):
                found.append((int(process.name), (process / "comm").read_text().strip()))
        except OSError:  # another user's, or it has just ended
            continue
    return found


@contextmanager
def _lock(file: Path, how: int, busy: str) -> Iterator[None]:
    """Raises StoreError with `busy` where another process holds it; a process that is killed holds nothing."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(busy) from None
        yield
    finally:
        os.close(descriptor)
