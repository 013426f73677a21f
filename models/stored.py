"""Reads the tensors of a checkpoint: safetensors, or PyTorch's zip of a pickle, without executing what it contains.

A pickle is a program. This reader knows the few names that a file of tensors needs (an ordered dict, a storage of a
dtype, a tensor made of a storage) and refuses any other; tensors stay memory-mapped until they are asked for, and none
reaches beyond its own storage. PyTorch's documentation describes the zip in "Serialization semantics";
https://huggingface.co/docs/safetensors the other format. Knows nothing about what a model computes.
"""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
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
#: what training leaves beside the tensors: dtypes, devices, single numbers of numpy. They are passed over, unmade
_PASSED_OVER = frozenset(
    {
        *(f"torch.{name}" for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool")),
        *("torch.device", "torch.Size", "numpy.dtype", "_codecs.encode"),
        *("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
    }
)
#: bytes of a zip's local header before the name
_LOCAL_HEADER = 30
#: what a pickle begins with that is not inside a zip: PyTorch before 1.6
_BARE_PICKLE = b"\x80\x02"


class CheckpointError(ValueError):
    """A file whose tensors cannot be used; the message says which and why."""


@dataclass(frozen=True)  # no slots: until Python 3.11.3 these would bring a `__setstate__` over the one below
class Stored:
    """A tensor on disk: where its bytes lie and how they are to be read."""

    path: Path
    offset_bytes: int
    dtype: str  # numpy's name, or bfloat16
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements

    def __setstate__(self, state: object) -> None:
        """Refuses: a pickle may set the state of whatever it made, and is not to choose what file is read."""
        raise CheckpointError("a pickle tried to change where a tensor lies: it is not read")

    @property
    def reach(self) -> int:
        """Elements from the tensor's first to its last one in the file, both included."""
        if 0 in self.shape:
            return 0
        return 1 + sum((length - 1) * step for length, step in zip(self.shape, self.strides, strict=True))

    def read(self) -> npt.NDArray[Any]:
        """The values, memory-mapped where their type and order allow it. bfloat16 becomes float32."""
        kept = np.dtype("<u2" if self.dtype == "bfloat16" else self.dtype)
        if 0 in self.shape:
            return np.zeros(self.shape, np.float32 if self.dtype == "bfloat16" else kept)
        steps = tuple(step * kept.itemsize for step in self.strides)
        try:
            flat = np.memmap(self.path, kept, "r", self.offset_bytes, (self.reach,))
            view = np.lib.stride_tricks.as_strided(flat, self.shape, steps, writeable=False)
        except (OSError, ValueError, OverflowError) as error:
            raise CheckpointError(f"{self.path} is cut off or cannot be read ({error}); fetch it again") from error
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
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a pickle or header that was made up can raise anything
        raise CheckpointError(f"{path} is damaged or no checkpoint ({error}); fetch it again") from error
    return tree if isinstance(tree, dict) else {"": tree}


def _safetensors(path: Path) -> Iterator[tuple[str, Stored]]:
    with path.open("rb") as file:
        length_bytes = int.from_bytes(file.read(8), "little")
        begin, whole = 8 + length_bytes, path.stat().st_size
        if begin > whole or begin == 8:
            raise CheckpointError(f"{path} is cut off or no safetensors file; fetch it again")
        header = json.loads(file.read(length_bytes))
    for name, entry in header.items():
        if name != "__metadata__":
            if entry["dtype"] not in _SAFETENSORS:
                raise CheckpointError(f"{path}: {name} is of the type {entry['dtype']}, which is not known here")
            first, last = _whole_numbers(entry["data_offsets"])
            shape = _whole_numbers(entry["shape"])
            stored = Stored(path, begin + first, _SAFETENSORS[entry["dtype"]], shape, _row_major(shape))
            if last > whole - begin:
                raise CheckpointError(f"{path} is cut off: it ends before {name} does; fetch it again")
            if stored.reach * _width_bytes(stored.dtype) != last - first:
                raise CheckpointError(f"{path} is damaged: {name} has not as many bytes as its shape; fetch it again")
            yield name, stored


def _whole_numbers(values: Iterable[object]) -> tuple[int, ...]:
    """`values`, made sure to be whole numbers from 0 on. Raises ValueError."""
    made = []
    for value in values:
        if type(value) is not int or value < 0:
            raise ValueError(f"{value!r} is no length")
        made.append(value)
    return tuple(made)


def _width_bytes(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    steps = [1]
    for length in reversed(shape[1:]):
        steps.append(steps[-1] * length)
    return tuple(reversed(steps)) if shape else ()


def _zip_of_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        if file.read(len(_BARE_PICKLE)) == _BARE_PICKLE:
            raise CheckpointError(
                f"{path} was saved in the form that PyTorch had before 1.6; save it anew with a PyTorch of today: "
                f"torch.save(torch.load({path.name!r}, map_location='cpu'), {path.name!r})"
            )
    with zipfile.ZipFile(path) as archive:
        pickled = next((one for one in archive.namelist() if one.endswith("/data.pkl")), "")
        if not pickled:
            raise CheckpointError(f"{path} is no checkpoint of PyTorch 1.6 or newer: it holds no data.pkl")
        root = pickled.removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise CheckpointError(f"{path} was saved on a big-endian machine; save it anew on this one")
        storages = {
            one.filename: _Storage(_offset_bytes(archive, one), one.file_size)
            for one in archive.infolist()
            if one.filename.startswith((pickled, f"{root}data/"))
        }
        with archive.open(pickled) as file:
            return _Reader(file, path, f"{root}data/", storages).load()


@dataclass(frozen=True)
class _Storage:
    """A stretch of the file that tensors share."""

    offset_bytes: int
    size_bytes: int
    dtype: str = ""

    __setstate__ = Stored.__setstate__


def _offset_bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin in the file. What PyTorch saves is never compressed."""
    if entry.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(f"{archive.filename}: {entry.filename} is compressed; save the checkpoint again")
    assert archive.fp is not None
    archive.fp.seek(entry.header_offset)
    header = archive.fp.read(_LOCAL_HEADER)
    name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
    offset_bytes = entry.header_offset + _LOCAL_HEADER + int(name_bytes) + int(extra_bytes)
    if offset_bytes + entry.file_size > archive.start_dir:
        raise CheckpointError(f"{archive.filename} is damaged: {entry.filename} reaches beyond its end; fetch it again")
    return offset_bytes


class _PassedOver:
    """Stands for something that is no tensor, whatever it is made of or told to be."""

    def __new__(cls, *_: object) -> _PassedOver:
        return object.__new__(cls)

    def __init__(self, *_: object) -> None:
        """Nothing is made of it."""

    def __setstate__(self, state: object) -> None:
        """Nor kept."""


class _Reader(pickle.Unpickler):
    """Rebuilds tensors as `Stored`, and refuses every name beyond those that a file of tensors needs."""

    def __init__(self, file: IO[bytes], path: Path, root: str, storages: Mapping[str, _Storage]) -> None:
        super().__init__(file)
        self._path = path
        self._root = root
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda stored, *_: stored
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if f"{module}.{name}" in _PASSED_OVER:
            return _PassedOver
        raise CheckpointError(f"{self._path} asks for {module}.{name}, which is no tensor: it is not read")

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage: ("storage", dtype, key, device, number of elements)."""
        _, dtype, key, *_ = pid
        if dtype not in _STORAGES.values():  # numpy would take the file's bytes for pointers, were it told so
            raise CheckpointError(f"{self._path} keeps values of the type {dtype!r}, which is not known here")
        return replace(self._storages[f"{self._root}{key}"], dtype=dtype)

    def _tensor(
        self, storage: _Storage, start: int, shape: Iterable[int], strides: Iterable[int], *_: object
    ) -> Stored:
        width_bytes = _width_bytes(storage.dtype)
        (begin,) = _whole_numbers([start])
        offset_bytes = storage.offset_bytes + begin * width_bytes
        made = Stored(self._path, offset_bytes, storage.dtype, _whole_numbers(shape), _whole_numbers(strides))
        if (begin + made.reach) * width_bytes > storage.size_bytes:
            raise CheckpointError(f"{self._path} is damaged: a tensor reaches beyond its storage; fetch it again")
        return made
