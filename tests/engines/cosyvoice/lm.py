"""A language model's graphs, built of a release and opened."""

from pathlib import Path

from engines.cosyvoice.graphs import lm as lm_graphs
from engines.cosyvoice.graphs import text_encoder
from engines.cosyvoice.layout import Release
from engines.cosyvoice.lm import DISTANCES_NAME, NAME, TEXT_NAME, Lm, Tables
from models.graph import Precision


def open_lm(release: Release, folder: Path, precision: Precision = "fp32") -> Lm:
    tensors, sizes = release.tensors("lm"), release.sizes.lm
    text_encoder.build(tensors, sizes, precision).save(folder / TEXT_NAME)
    lm_graphs.build(tensors, sizes, precision).save(folder / NAME)
    lm_graphs.build_distances(tensors, sizes).save(folder / DISTANCES_NAME)
    tables = Tables.take(tensors, sizes)
    tensors.finish()
    return Lm(folder, sizes, tables, threads=1)
