"""Releases that are the reference one but for what a test says: links to its files, and what was changed."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from models.stored import Stored, read_checkpoint

Arrays = dict[str, np.ndarray]

#: the files that the fork for vLLM has elsewhere
FORK = {
    "hf_cache/w2v-bert-2.0": "w2v-bert-2.0",
    "hf_cache/bigvgan": "bigvgan",
    "hf_cache/semantic_codec_model.safetensors": "semantic_codec/model.safetensors",
    "hf_cache/campplus_cn_common.bin": "campplus/campplus_cn_common.bin",
}


def linked(source: Path, folder: Path, places: Mapping[str, str] | None = None) -> Path:
    """A folder with links to every file of `source`; `places` moves files and folders."""
    for path in source.rglob("*"):
        if path.is_file():
            name = path.relative_to(source).as_posix()
            for old, new in (places or {}).items():
                if name == old or name.startswith(f"{old}/"):
                    name = new + name.removeprefix(old)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(path)
    return folder


def arrays_of(path: Path) -> Arrays:
    """Every tensor of a file by its name, those of dicts in dicts with dots between."""
    found: Arrays = {}

    def walk(tree: object, prefix: str) -> None:
        if isinstance(tree, Stored):
            found[prefix.removesuffix(".")] = np.array(tree.read())
        elif isinstance(tree, Mapping):
            for name, below in tree.items():
                walk(below, f"{prefix}{name}.")

    walk(read_checkpoint(path), "")
    return found


def changed(folder: Path, name: str, change: Callable[[Arrays], object]) -> Path:
    """Replace a file of tensors of a linked release by one with a change, as safetensors."""
    path = folder / name
    arrays = arrays_of(path)
    change(arrays)
    path.unlink()
    save_file({one: np.ascontiguousarray(array) for one, array in arrays.items()}, path.with_suffix(".safetensors"))
    return folder
