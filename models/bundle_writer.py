"""Writes a bundle so that it is there whole or not at all, and goes on with one that was broken off.

The files are made stage by stage in a hidden folder beside the place where the bundle will be. Each finished stage is
written down; the manifest comes last, and then one rename puts the whole in place. Whatever stops the work leaves the
hidden folder alone, and whoever makes the same bundle from the same sources goes on from there.
Knows nothing about what a model computes.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.bundle import MANIFEST, Bundle, BundleError, BundleFile, hash_files
from models.room import free_bytes, taken_bytes, told_bytes

#: inside the hidden folder: what is made, of what, and which stages are done
_RECORD = ".stages.json"


class BundleWriter:
    """One bundle in the making.

    writer = BundleWriter(folder, {"gpt.pth": sha256, "precision": "int8"})
    writer.stage("gpt", lambda folder: graph.save(folder / "gpt.onnx"))
    bundle = writer.finish(name="indextts2", version="2.0-…", licence="…", …)
    """

    def __init__(self, folder: Path, made_of: Mapping[str, str]) -> None:
        """`made_of`: all that the files depend on. What was left behind is gone on with if it was made of the same."""
        self._place = folder
        self.folder = folder.with_name(f".{folder.name}.unfinished")
        self._made_of = dict(made_of)
        self._stages = self._left_behind()
        if not self._stages and self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def must_have_room(self, needed_bytes: int) -> None:
        """Raises BundleError unless the disk has room for a bundle of that size, with what is done already."""
        missing = needed_bytes - taken_bytes(self.folder) - free_bytes(self.folder)
        if missing > 0:
            raise BundleError(
                f"the bundle takes about {told_bytes(needed_bytes)}, for which {self.folder.parent} has "
                f"{told_bytes(missing)} too little: make room, or say another data_dir"
            )

    def is_done(self, stage: str) -> bool:
        return stage in self._stages

    def stage(self, name: str, make: Callable[[Path], object]) -> None:
        """Let `make` write files below the folder that it is given, unless an earlier try has finished them."""
        if self.is_done(name):
            return
        self._clear_strays()
        make(self.folder)
        made = sorted(one for one in self._strays() if one.is_file())
        digests = hash_files(made, name, lambda doing, done, whole: None)  # a small part of what making them took
        for path in made:
            _flush(path)
        self._stages[name] = [
            BundleFile(path.relative_to(self.folder).as_posix(), path.stat().st_size, digest)
            for path, digest in zip(made, digests, strict=True)
        ]
        self._write_record()

    def finish(
        self,
        *,
        name: str,
        version: str,
        format: int,
        licence: str,
        quantisation: str = "",
        sizes: Mapping[str, Any] | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> Bundle:
        """Write the manifest and put the bundle in its place, where a reader sees either the old one or this."""
        self._clear_strays()
        about = {"name": name, "version": version, "format": format, "licence": licence, "quantisation": quantisation}
        files = [asdict(one) for stage in self._stages.values() for one in stage]
        manifest = {**about, "sizes": dict(sizes or {}), "sources": dict(sources or {}), "files": files}
        _write(self.folder / MANIFEST, manifest)
        (self.folder / _RECORD).unlink(missing_ok=True)
        _flush(self.folder)
        put_in_place(self.folder, self._place)
        return Bundle.read(self._place)

    def _left_behind(self) -> dict[str, list[BundleFile]]:
        """The stages that an earlier try has finished, as far as they are of use."""
        try:
            record = json.loads((self.folder / _RECORD).read_text(encoding="utf-8"))
            stages = {name: [BundleFile(**one) for one in files] for name, files in record["stages"].items()}
            same = record["made_of"] == self._made_of
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return {name: files for name, files in stages.items() if all(map(self._has, files))} if same else {}

    def _has(self, file: BundleFile) -> bool:
        path = self.folder / file.path
        return path.is_file() and path.stat().st_size == file.size_bytes

    def _strays(self) -> list[Path]:
        """What lies in the folder and belongs to no finished stage."""
        known = {file.path for files in self._stages.values() for file in files} | {_RECORD}
        return [one for one in self.folder.rglob("*") if one.relative_to(self.folder).as_posix() not in known]

    def _clear_strays(self) -> None:
        for path in self._strays():
            if path.is_file():
                path.unlink()

    def _write_record(self) -> None:
        stages = {name: [asdict(one) for one in files] for name, files in self._stages.items()}
        fresh = self.folder / f"{_RECORD}.new"
        _write(fresh, {"made_of": self._made_of, "stages": stages})
        os.replace(fresh, self.folder / _RECORD)
        _flush(self.folder)


def put_in_place(made: Path, place: Path) -> None:
    """Rename `made` to `place`; a folder that is there already is exchanged for it in one step, and then deleted.

    Where the file system cannot exchange (Linux's renameat2 can, on its own disks), the old one is renamed away first.
    """
    old = place.with_name(f".{place.name}.replaced")
    _delete(old)
    if place.exists():
        if _exchange(made, place):
            os.replace(made, old)
        else:
            os.replace(place, old)
            os.replace(made, place)
        _delete(old)
    else:
        os.replace(made, place)
    _flush(place.parent)


def _delete(path: Path) -> None:
    if path.is_symlink():  # somebody keeps the model on another disk
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change names at once; False where that cannot be done."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    at_cwd, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE: linux/fcntl.h, linux/fs.h
    return bool(renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _flush(path)


def _flush(path: Path) -> None:
    """Onto the disk, so that a machine that loses its power keeps no manifest of files that it has lost."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
