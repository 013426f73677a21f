"""Builds a graph out of a checkpoint and writes it, telling how far it is and naming tensors that it left.

Knows nothing about what a model computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from models.bundle import Progress
from models.checkpoint import Tensors
from models.graph import Graph


def write_graphs(
    made: Iterable[tuple[Path, Callable[[Tensors], Graph]]],
    tensors: Tensors,
    own: Iterable[str],
    name: str,
    progress: Progress,
) -> None:
    """Write graphs that share the tensors whose names begin as `own` says, and nothing else of the checkpoint.

    `progress` hears of their values as "making `name`". Raises CheckpointError, also for tensors that nobody took.
    """
    scopes = [tensors.scope(one) for one in own]
    whole, seen = sum(one.count_values() for one in scopes), 0

    def heard(values: int) -> None:
        nonlocal seen
        seen = min(whole, seen + values)
        progress(f"making {name}", seen, whole)

    for path, build in made:
        graph = build(tensors.watched(heard))
        path.parent.mkdir(exist_ok=True)
        graph.save(path)
    for scope in scopes:
        scope.finish()
    progress(f"making {name}", whole, whole)
