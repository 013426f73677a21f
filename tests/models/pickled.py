"""Writes PyTorch's zip of a pickle, opcode by opcode and without PyTorch: a test can also write what it never would.

The opcodes are those of Python's `pickletools`.
"""

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

STORAGES = {
    "float32": "Float",
    "float16": "Half",
    "float64": "Double",
    "int64": "Long",
    "uint8": "Byte",
    "bool": "Bool",
}


@dataclass(frozen=True)
class Global:
    """A name of a module, as a pickle asks for it."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """What `function` gives for `arguments`, computed by whoever reads the pickle."""

    function: Global
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class State:
    """`thing`, whose state is then set."""

    thing: Any
    state: Any


@dataclass(frozen=True)
class Storage:
    """A reference to an entry of the zip."""

    kind: Any
    key: str
    elements: int


def tensor(storage: Storage, shape: tuple[int, ...], strides: tuple[int, ...], start: int = 0) -> Call:
    hooks = Call(Global("collections", "OrderedDict"), ())
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, start, shape, strides, False, hooks))


def write_pth(path: Path, tree: Any, storages: Mapping[str, bytes] | None = None, **options: Any) -> Path:
    """Write `tree`, in which arrays become tensors. `storages`: entries of its own; `options`: see `_write`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = dict(storages or {})
    _write(path, _pickled(_with_tensors(tree, kept)), kept, **options)
    return path


def _write(
    path: Path,
    pickled: bytes,
    storages: Mapping[str, bytes],
    byteorder: bytes = b"little",
    compression: int = zipfile.ZIP_STORED,
) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled, zipfile.ZIP_STORED)
        archive.writestr("archive/byteorder", byteorder)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)


def _with_tensors(tree: Any, kept: dict[str, bytes]) -> Any:
    if isinstance(tree, dict):
        return {name: _with_tensors(below, kept) for name, below in tree.items()}
    if not isinstance(tree, np.ndarray):
        return tree
    key = str(len(kept))
    kept[key] = tree.tobytes()
    strides = tuple(np.cumprod((1, *tree.shape[:0:-1]))[::-1].tolist()) if tree.shape else ()
    kind = Global("torch", f"{STORAGES[tree.dtype.name]}Storage")
    return tensor(Storage(kind, key, tree.size), tree.shape, strides)


def _pickled(value: Any) -> bytes:
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value: Any) -> bytes:
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"\x8a\x08" + struct.pack("<q", value)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(_opcodes, value)) + b"t"
        case dict():
            return b"}(" + b"".join(_opcodes(key) + _opcodes(below) for key, below in value.items()) + b"u"
        case Global(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments):
            return _opcodes(function) + _opcodes(arguments) + b"R"
        case State(thing, state):
            return _opcodes(thing) + _opcodes(state) + b"b"
        case Storage(kind, key, elements):
            return _opcodes(("storage", kind, key, "cpu", elements)) + b"Q"
    raise TypeError(value)
