"""The acoustic networks of the oracle, built and loaded."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from engines.indextts.layout import Release
from engines.indextts.sizes import Sizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision
from models.network import Network

NETWORKS = ("length_regulator", "estimator", "vocoder")


@dataclass(frozen=True)
class Acoustic:
    """What makes a wave of semantic features."""

    length_regulator: Network
    estimator: Network
    vocoder: Network
    sizes: Sizes


def build(network: str, tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    graph: Graph = import_module(f"engines.indextts.graphs.{network}").build(tensors, sizes, precision)
    return graph


def load(release: Release, folder: Path, precision: Precision) -> Acoustic:
    """Build all three into `folder` and load them, on one thread: they are tiny."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = []
    for network in NETWORKS:
        path = folder / f"{network}.onnx"
        build(network, release.tensors(network), release.sizes, precision).save(path)  # type: ignore[arg-type]
        sessions.append(onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]))
    return Acoustic(*sessions, release.sizes)
