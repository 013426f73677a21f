"""A checkpoint's tensors by name: each is taken once, with the shape that is expected, and what nobody took is named.

Knows nothing about how files keep tensors (`models.stored`), nor about what a model computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.stored import CheckpointError, Stored, read_checkpoint

__all__ = ["CheckpointError", "Tensors"]

#: what torch calls direction and length of a weight that it keeps so: from 2.0 on, and before
_WEIGHT_NORMS = (
    ("parametrizations.weight.original1", "parametrizations.weight.original0"),
    ("weight_v", "weight_g"),
)


class Tensors:
    """A checkpoint's tensors by full name, of which each is taken once, with the shape that is expected.

    tensors = Tensors.read(path)
    weight = tensors.take("mel_head.weight", (8194, 1280))    # float32; raises CheckpointError
    block = tensors.scope("gpt.h.0.")                          # a view: names without that prefix
    tensors.finish()                                           # raises CheckpointError, names what nobody took
    """

    def __init__(
        self,
        stored: Mapping[str, Stored],
        source: str,
        prefix: str = "",
        taken: set[str] | None = None,
        heard: Callable[[int], None] | None = None,
    ) -> None:
        self._stored = stored
        self._source = source
        self._prefix = prefix
        self._taken: set[str] = set() if taken is None else taken
        self._heard = heard

    @classmethod
    def read(cls, path: Path) -> Tensors:
        """The tensors of a file. Names of nested dicts join with dots. Raises CheckpointError."""
        tree = read_checkpoint(path)
        try:
            return cls(dict(_flat(tree, "")), str(path))
        except RecursionError:
            raise CheckpointError(f"{path} is damaged: it contains itself; fetch it again") from None

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
        return Tensors(self._stored, self._source, self._prefix + prefix, self._taken, self._heard)

    def completed_by(self, other: Tensors, rename: Callable[[str], str]) -> Tensors:
        """These, and another file's tensors by the names that `rename` gives them ("": none), where these lack them."""
        beside = {self._prefix + rename(name): stored for name, stored in other._stored.items() if rename(name)}
        return Tensors({**beside, **self._stored}, self._source, self._prefix, self._taken, self._heard)

    def watched(self, heard: Callable[[int], None]) -> Tensors:
        """The same tensors; `heard` is told how many values each one has that is taken, and may raise to stop it."""
        return Tensors(self._stored, self._source, self._prefix, self._taken, heard)

    def count_values(self) -> int:
        """Of all tensors of this scope together."""
        return sum(math.prod(one.shape) for name, one in self._stored.items() if name.startswith(self._prefix))

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> npt.NDArray[np.float32]:
        """A tensor as float32. Raises CheckpointError when it is missing or has another shape than expected."""
        stored = self._find(name)
        if shape is not None and stored.shape != shape:
            raise CheckpointError(
                f"{self._source}: {self._prefix}{name} has the shape {stored.shape} instead of {shape}; "
                "do the checkpoint and its config belong together?"
            )
        if self._heard is not None:
            self._heard(math.prod(stored.shape))
        self._taken.add(self._prefix + name)
        return np.ascontiguousarray(stored.read(), np.float32)

    def take_weight_norm(self, name: str, shape: tuple[int, ...] | None = None) -> npt.NDArray[np.float32]:
        """A weight kept as direction and length per first axis (Salimans and Kingma, arXiv:1602.07868), multiplied out;
        or `NAME.weight` when it was kept whole. Raises CheckpointError as `take`."""
        kept, kept_length = self._spelling(name)
        if not kept_length:
            return self.take(kept, shape)
        direction = self.take(kept, shape)
        length = self.take(kept_length, (direction.shape[0],) + (1,) * (direction.ndim - 1))
        norm = np.sqrt(
            np.sum(np.square(direction, dtype=np.float64), axis=tuple(range(1, direction.ndim)), keepdims=True)
        )
        return np.asarray(direction * (length / norm), np.float32)

    def weight_shape(self, name: str) -> tuple[int, ...]:
        """The shape of what `take_weight_norm` gives, without taking it. Raises CheckpointError."""
        return self.shape(self._spelling(name)[0])

    def ignore(self, wanted: Callable[[str], bool]) -> None:
        """Take, unread, every tensor of this scope whose name (without the prefix) is wanted so."""
        self._taken.update(self._prefix + one for one in self.names() if wanted(one))

    def finish(self) -> None:
        """Raises CheckpointError that names the tensors of this scope which nobody took."""
        self._refuse(one for one in self.names() if self._prefix + one not in self._taken)

    def require_prefixes(self, *prefixes: str) -> None:
        """Raises CheckpointError that names the tensors of this scope which begin with none of these."""
        self._refuse(one for one in self.names() if not one.startswith(prefixes))

    def _spelling(self, name: str) -> tuple[str, str]:
        """The tensors that hold a weight's direction and its length; where it was kept whole, it and nothing."""
        for direction, length in _WEIGHT_NORMS:
            if f"{name}.{direction}" in self:
                return f"{name}.{direction}", f"{name}.{length}"
        return f"{name}.weight", ""

    def _refuse(self, names: Iterable[str]) -> None:
        if surplus := sorted(self._prefix + one for one in names):
            more = f" and {len(surplus) - 5} more" if len(surplus) > 5 else ""
            raise CheckpointError(
                f"{self._source} has tensors that this model does not know: {', '.join(surplus[:5])}{more}; "
                "is it the checkpoint of another version?"
            )

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
