"""Room on a disk: what things take, what is free, and sizes as people are told them. Knows nothing about models."""

from __future__ import annotations

import shutil
from pathlib import Path

#: of a disk's free room, what is left to others
SPARE_BYTES = 64 << 20


def free_bytes(folder: Path) -> int:
    """What may still be written below `folder`, which need not be there yet."""
    return max(0, shutil.disk_usage(standing(folder)).free - SPARE_BYTES)


def standing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(one for one in (path, *path.parents) if one.exists())


def taken_bytes(path: Path) -> int:
    """The sizes of a file, or of all files below a folder, together; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size if path.exists() or path.is_symlink() else 0
    return sum(one.lstat().st_size for one in path.rglob("*") if one.is_symlink() or not one.is_dir())


def told_bytes(count: float) -> str:
    """A size for people: 1.5 GB, in powers of 1000 as disks are sold."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
