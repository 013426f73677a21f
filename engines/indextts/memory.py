"""Is there memory for a model, asked before it is loaded: a process that the kernel kills cannot say why.

Knows nothing about what is done with it.
"""

from __future__ import annotations

from pathlib import Path

from engines.contract import Instance
from engines.errors import Unavailable
from engines.indextts import bundle_folder
from engines.indextts.options import IndexTtsOptions
from models.bundle import Bundle, BundleError

#: parts of a bundle that speaking does not load
_NOT_LOADED = ("reference/", "emotion_text/")
#: what a megabyte of graphs takes while it speaks: weights that are laid out anew for the processor, and work space
FACTOR = 1.3


def require_memory(instance: Instance, options: IndexTtsOptions) -> None:
    """Raises Unavailable when this machine, or the container, has clearly too little for the bundle."""
    try:
        bundle = Bundle.read(bundle_folder(instance, options))
    except BundleError as error:
        raise Unavailable(str(error)) from error
    loaded = sum(one.size_bytes for one in bundle.files if not one.path.startswith(_NOT_LOADED))
    needed_mb, free_mb = int(loaded * FACTOR) >> 20, free_bytes() >> 20
    if needed_mb > free_mb:
        raise Unavailable(
            f"{bundle.name} takes about {needed_mb} MB of memory, and {free_mb} MB are free: close something else, or "
            f"export it smaller, with: voxgate models export {bundle.name} --from DIR --precision int8"
        )


def free_bytes(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that can still be had: of the machine, and of the container where that has a limit.

    Linux, "Control Group v2": pages of files count as used there, and are given up as soon as somebody needs memory.
    """
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit, used = int((group / "memory.max").read_text()), int((group / "memory.current").read_text())
        kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(kept["file"]))
    except (OSError, ValueError, KeyError):  # no group, or no limit: "max"
        pass
    return max(0, free)
