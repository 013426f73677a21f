"""Reads the tensors of a checkpoint: safetensors, or PyTorch's zip of a pickle, without executing what it contains.

A pickle is a program. This reader knows the three names that a file of tensors needs (an ordered dict, a storage of a
dtype, a tensor made of a storage) and refuses any other; tensors stay memory-mapped until they are asked for. The zip's
layout is described in PyTorch's documentation, "Serialization semantics". Knows nothing about what a model computes.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_SAFETENSORS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "bfloat16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
#: bytes of a zip's local header before the name
_LOCAL_HEADER = 30


class CheckpointError(ValueError):
    """A file whose tensors cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor on disk: where its bytes lie and how they are to be read."""

    path: Path
    offset_bytes: int
    dtype: str  # numpy's name, or bfloat16
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements

    def read(self) -> npt.NDArray[Any]:
        """The values, memory-mapped where their type and order allow it. bfloat16 becomes float32."""
        kept = np.dtype("<u2" if self.dtype == "bfloat16" else self.dtype)
        if 0 in self.shape:
            flat = np.zeros(0, kept)
        else:
            elements = 1 + sum((length - 1) * step for length, step in zip(self.shape, self.strides, strict=True))
            try:
                flat = np.memmap(self.path, kept, "r", self.offset_bytes, (elements,))
            except (OSError, ValueError) as error:
                raise CheckpointError(f"{self.path} is cut off or cannot be read ({error}); fetch it again") from error
        steps = tuple(step * kept.itemsize for step in self.strides)
        view = np.lib.stride_tricks.as_strided(flat, self.shape, steps, writeable=False)
        if self.dtype == "bfloat16":
            return (view.astype(np.uint32) << 16).view(np.float32)
        return view


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What the file holds, as a tree of dicts, lists and plain values with a `Stored` for each tensor.

    Raises CheckpointError when it is no checkpoint, is damaged, or asks for code to be run.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(_safetensors(path))
        tree = _zip_of_pickle(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, pickle.UnpicklingError, struct.error, KeyError, EOFError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is damaged or no checkpoint ({error}); fetch it again") from error
    return tree if isinstance(tree, dict) else {"": tree}


def _safetensors(path: Path) -> Iterator[tuple[str, Stored]]:
    from json import loads

    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > path.stat().st_size:
            raise CheckpointError(f"{path} is cut off or no safetensors file; fetch it again")
        header = loads(file.read(length))
    for name, entry in header.items():
        if name != "__metadata__":
            shape = tuple(entry["shape"])
            offset_bytes = 8 + length + entry["data_offsets"][0]
            yield name, Stored(path, offset_bytes, _SAFETENSORS[entry["dtype"]], shape, _row_major(shape))


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    steps = [1]
    for length in reversed(shape[1:]):
        steps.append(steps[-1] * length)
    return tuple(reversed(steps)) if shape else ()


def _zip_of_pickle(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        pickled = next((one for one in archive.namelist() if one.endswith("/data.pkl")), "")
        if not pickled:
            raise CheckpointError(f"{path} is no checkpoint of PyTorch 1.6 or newer: it holds no data.pkl")
        root = pickled.removesuffix("data.pkl")
        offsets = {one.filename: _offset_of(archive, one) for one in archive.infolist() if "/data/" in one.filename}
        with archive.open(pickled) as file:
            return _Reader(file, path, root, offsets).load()


def _offset_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin in the file. Entries of tensors are never compressed."""
    if entry.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(f"{archive.filename}: {entry.filename} is compressed; save the checkpoint again")
    assert archive.fp is not None
    archive.fp.seek(entry.header_offset)
    header = archive.fp.read(_LOCAL_HEADER)
    name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
    return entry.header_offset + _LOCAL_HEADER + int(name_bytes) + int(extra_bytes)


class _Reader(pickle.Unpickler):
    """Rebuilds tensors as `Stored`, and refuses every name beyond those that a file of tensors needs."""

    def __init__(self, file: IO[bytes], path: Path, root: str, offsets: Mapping[str, int]) -> None:
        super().__init__(file)
        self._path = path
        self._root = root
        self._offsets = offsets

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda stored, *_: stored
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise CheckpointError(f"{self._path} asks for {module}.{name}, which is no tensor: it is not read")

    def persistent_load(self, pid: Any) -> tuple[int, str]:
        """A storage: ("storage", dtype, key, device, number of elements)."""
        _, dtype, key, *_ = pid
        return self._offsets[f"{self._root}data/{key}"], dtype

    def _tensor(
        self, storage: tuple[int, str], start: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
    ) -> Stored:
        offset_bytes, dtype = storage
        width = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
        return Stored(self._path, offset_bytes + start * width, dtype, tuple(shape), tuple(strides))


class Tensors:
    """A checkpoint's tensors by full name, of which each is taken once, with the shape that is expected.

    tensors = Tensors.read(path)
    weight = tensors.take("mel_head.weight", (8194, 1280))    # float32; raises CheckpointError
    block = tensors.scope("gpt.h.0.")                          # a view: names without that prefix
    tensors.finish()                                           # raises CheckpointError, names what nobody took
    """

    def __init__(
        self, stored: Mapping[str, Stored], source: str, prefix: str = "", taken: set[str] | None = None
    ) -> None:
        self._stored = stored
        self._source = source
        self._prefix = prefix
        self._taken: set[str] = set() if taken is None else taken

    @classmethod
    def read(cls, path: Path, *below: str) -> Tensors:
        """The tensors of a file, or of the dict that the keys `below` lead to. Names of nested dicts join with dots."""
        tree: Any = read_checkpoint(path)
        for key in below:
            if not isinstance(tree, dict) or key not in tree:
                raise CheckpointError(f"{path} has no entry {'.'.join(below)!r}: it is another model's checkpoint")
            tree = tree[key]
        return cls(dict(_flat(tree, "")), str(path))

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._stored

    def names(self) -> Iterable[str]:
        """Every name of this scope, without the scope's prefix."""
        return [one.removeprefix(self._prefix) for one in self._stored if one.startswith(self._prefix)]

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without taking it. Raises CheckpointError."""
        return self._find(name).shape

    def scope(self, prefix: str) -> Tensors:
        """The tensors whose names start so. What is taken there counts here."""
        return Tensors(self._stored, self._source, self._prefix + prefix, self._taken)

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> npt.NDArray[np.float32]:
        """A tensor as float32. Raises CheckpointError when it is missing or has another shape than expected."""
        values = self._take(name, shape)
        return np.ascontiguousarray(values, np.float32)

    def take_integers(self, name: str, shape: tuple[int, ...] | None = None) -> npt.NDArray[np.int64]:
        """A tensor of whole numbers, as int64."""
        return np.ascontiguousarray(self._take(name, shape), np.int64)

    def take_weight_norm(self, name: str, shape: tuple[int, ...] | None = None) -> npt.NDArray[np.float32]:
        """A weight kept as direction `NAME.weight_v` and length `NAME.weight_g` per first axis (Salimans and Kingma,
        arXiv:1602.07868), multiplied out; or `NAME.weight` when it was kept whole."""
        if f"{name}.weight" in self:
            return self.take(f"{name}.weight", shape)
        direction = self.take(f"{name}.weight_v", shape)
        length = self.take(f"{name}.weight_g", (direction.shape[0],) + (1,) * (direction.ndim - 1))
        norm = np.sqrt(
            np.sum(np.square(direction, dtype=np.float64), axis=tuple(range(1, direction.ndim)), keepdims=True)
        )
        return np.asarray(direction * (length / norm), np.float32)

    def ignore(self, wanted: Callable[[str], bool]) -> None:
        """Take, unread, every tensor of this scope whose name (without the prefix) is wanted so."""
        self._taken.update(self._prefix + one for one in self.names() if wanted(one))

    def finish(self) -> None:
        """Raises CheckpointError that names the tensors of this scope which nobody took."""
        if surplus := sorted(self._prefix + one for one in self.names() if self._prefix + one not in self._taken):
            more = f" and {len(surplus) - 5} more" if len(surplus) > 5 else ""
            raise CheckpointError(
                f"{self._source} has tensors that this model does not know: {', '.join(surplus[:5])}{more}; "
                "is it the checkpoint of another version?"
            )

    def _take(self, name: str, shape: tuple[int, ...] | None) -> npt.NDArray[Any]:
        stored = self._find(name)
        if shape is not None and stored.shape != shape:
            raise CheckpointError(
                f"{self._source}: {self._prefix}{name} has the shape {stored.shape} instead of {shape}; "
                "do the checkpoint and its config belong together?"
            )
        self._taken.add(self._prefix + name)
        return stored.read()

    def _find(self, name: str) -> Stored:
        try:
            return self._stored[self._prefix + name]
        except KeyError:
            raise CheckpointError(f"{self._source} lacks the tensor {self._prefix}{name}; fetch it again") from None


def _flat(tree: Any, prefix: str) -> Iterator[tuple[str, Stored]]:
    """Every tensor of a tree with its dotted name; counters, settings and the like are passed over."""
    if isinstance(tree, Stored):
        yield prefix.removesuffix("."), tree
    elif isinstance(tree, Mapping):
        for name, below in tree.items():
            yield from _flat(below, f"{prefix}{name}.")
