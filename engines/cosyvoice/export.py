"""Makes a bundle of a release: tables and graphs, stage by stage, so that one network at a time is in memory.

Knows which network goes into which files and which tensors are each one's own; what a network computes is written in
`engines.cosyvoice.graphs`. Strict: a tensor that nobody knows is named, and so is one that is missing or misshapen.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safetensors.numpy import save

from engines.contract import Progress
from engines.cosyvoice.graphs import (
    estimator,
    f0,
    flow_encoder,
    length_regulator,
    lm,
    source,
    text_encoder,
    vocoder,
)
from engines.cosyvoice.layout import Network, Release
from engines.cosyvoice.lm import DISTANCES_NAME, TABLES_NAME, TEXT_NAME, Tables
from engines.cosyvoice.lm import NAME as LM_NAME
from engines.cosyvoice.recipe import FORMAT, LICENCE, NAME, SPEAKERS_NAME, ExportOptions
from engines.cosyvoice.sizes import Sizes
from engines.cosyvoice.tokenizer import RANKS_NAME, Tokenizer
from engines.errors import Unavailable
from models.bundle import Bundle, BundleError, hash_files
from models.bundle_writer import BundleWriter
from models.checkpoint import Tensors
from models.graph import Graph, Precision
from models.graph_writer import write_graphs

#: what a weight takes, with its scale and what stays float32 beside it
_VALUE_BYTES: Mapping[Precision, float] = {"fp32": 4, "int8": 1.3, "int8_blocks": 1.3}
#: vocabulary, manifest, and what a graph itself takes
_BESIDE_BYTES = 4 << 20

Build = Callable[[Tensors, Sizes, Precision], Graph]


@dataclass(frozen=True, slots=True)
class Part:
    """The way of some tensors of a release into files of a bundle: a stage of the export."""

    name: str
    files: Mapping[str, Build]
    network: Network
    own: tuple[str, ...]  # what the names begin with of the tensors that are this part's alone
    option: str = ""  # the one that says how the weights are kept; none: fp32


def _text_encoder(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    return text_encoder.build(tensors, sizes.lm, precision)


def _distances(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    return lm.build_distances(tensors, sizes.lm)


def _lm(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    return lm.build(tensors, sizes.lm, precision)


def _flow_encoder(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    return flow_encoder.build(tensors, sizes.flow, precision)


def _length_regulator(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    return length_regulator.build(tensors.scope(_REGULATOR), sizes.flow, precision)


def _estimator(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    return estimator.build(tensors.scope(_ESTIMATOR), sizes.flow, precision)


def _f0(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    return f0.build(tensors, sizes.vocoder, precision)


def _source(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    return source.build(tensors, sizes.vocoder, precision)


def _vocoder(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    return vocoder.build(tensors, sizes.vocoder, precision)


_TEXT = ("text_embedding.", "text_encoder.", "text_encoder_affine_layer.", "spk_embed_affine_layer.")
_FLOW = ("input_embedding.", "encoder.", "encoder_proj.", "spk_embed_affine_layer.")
_REGULATOR, _ESTIMATOR = "length_regulator.", "decoder.estimator."
PARTS = (
    Part("text encoder", {TEXT_NAME: _text_encoder}, "lm", _TEXT, "precision"),
    Part("language model", {DISTANCES_NAME: _distances, LM_NAME: _lm}, "lm", ("llm.", "llm_decoder."), "precision"),
    Part("flow encoder", {"flow_encoder.onnx": _flow_encoder}, "flow", _FLOW),
    Part("length regulator", {"length_regulator.onnx": _length_regulator}, "flow", (_REGULATOR,)),
    Part("estimator", {"estimator.onnx": _estimator}, "flow", (_ESTIMATOR,), "acoustic"),
    Part("vocoder", {"f0.onnx": _f0, "source.onnx": _source, "vocoder.onnx": _vocoder}, "vocoder", ("",), "acoustic"),
)
#: what else llm.pt holds: the tables' own
_TABLES = ("llm_embedding.", "speech_embedding.")


def export(source: Path, folder: Path, options: ExportOptions, progress: Progress) -> Bundle:
    """Write the bundle of the release in `source` to `folder`, or go on with writing it.

    Raises ValueError (ReleaseError, CheckpointError, BundleError) that says what is wrong and what to do.
    """
    release = Release.find(source)
    ranks = release.ranks()
    _must_be_known(release)
    try:
        sources = _hash_sources(release, ranks, progress)
        made_of = {**sources, "format": str(FORMAT), "options": options.model_dump_json()}
        writer = BundleWriter(folder, made_of)
        writer.must_have_room(_estimate_bytes(release, options))
        writer.stage("tables", partial(_write_tables, release, ranks))
        for part in PARTS:
            writer.stage(part.name, partial(_write, part, release, options, progress))
        return writer.finish(
            name=NAME,
            version=_version_of(sources),
            format=FORMAT,
            licence=LICENCE,
            quantisation=f"{options.precision}, acoustic {options.acoustic}",
            sizes=release.sizes.to_json(),
            sources=sources,
        )
    except OSError as error:
        raise BundleError(
            f"{folder} cannot be written ({error.strerror or error}); what is done is kept, the same command goes on"
        ) from error


def _write(part: Part, release: Release, options: ExportOptions, progress: Progress, folder: Path) -> None:
    precision = _precision(part, options)
    made = [(folder / name, partial(_built, build, release.sizes, precision)) for name, build in part.files.items()]
    write_graphs(made, release.tensors(part.network), part.own, part.name, progress)


def _precision(part: Part, options: ExportOptions) -> Precision:
    kept: Precision = getattr(options, part.option) if part.option else "fp32"
    return kept


def _built(build: Build, sizes: Sizes, precision: Precision, tensors: Tensors) -> Graph:
    return build(tensors, sizes, precision)


def _must_be_known(release: Release) -> None:
    """Raises CheckpointError that names tensors which belong to no part of the model."""
    for network in ("lm", "flow"):
        own = [one for part in PARTS if part.network == network for one in part.own]
        release.tensors(network).require_prefixes(*own, *(_TABLES if network == "lm" else ()))


def _write_tables(release: Release, ranks: Path, folder: Path) -> None:
    """The vocabulary, the speakers, and the rows that stand for what is no text."""
    tensors = release.tensors("lm")
    tables = Tables.take(tensors, release.sizes.lm)
    for one in _TABLES:
        tensors.scope(one).finish()
    # not the library's `save_file`, which lets nobody but the owner read what it writes
    (folder / TABLES_NAME).write_bytes(save(dict(tables.to_arrays())))
    (folder / SPEAKERS_NAME).write_bytes(save(release.speakers()))
    try:
        Tokenizer(ranks, release.sizes.lm.text_tokens)
    except Unavailable as error:
        raise BundleError(str(error)) from error
    shutil.copyfile(ranks, folder / RANKS_NAME)


def _hash_sources(release: Release, ranks: Path, progress: Progress) -> dict[str, str]:
    """sha256 of every file that is read, by its name. Raises BundleError."""
    paths = [*release.files(), ranks]
    return dict(zip((one.name for one in paths), hash_files(paths, "reading the release", progress), strict=True))


def _version_of(sources: Mapping[str, str]) -> str:
    """What tells these weights from any others: equal in every precision."""
    weights = (digest for name, digest in sorted(sources.items()) if name.endswith(".pt"))
    return hashlib.sha256("".join(weights).encode()).hexdigest()[:12]


def _estimate_bytes(release: Release, options: ExportOptions) -> int:
    """About what the bundle will take on the disk: rather too much than too little."""
    values = sum(
        release.tensors(part.network).scope(one).count_values() * _VALUE_BYTES[_precision(part, options)]
        for part in PARTS
        for one in part.own
    )
    lm_tensors, sizes = release.tensors("lm"), release.sizes.lm
    whole = sum(lm_tensors.scope(one).count_values() for one in _TABLES)  # these stay float32 in any precision
    whole += sizes.text_tokens * sizes.text_encoder.input_width + sizes.decoder.layers * sizes.decoder.width**2
    return _BESIDE_BYTES + round(values) + 4 * whole
