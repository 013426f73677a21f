"""Makes a bundle of a release: tables and graphs, stage by stage, so that one network at a time is in memory.

Knows which network goes into which file and which tensors are each one's own; what a network computes is written in
`engines.indextts.graphs`. Strict: a tensor that nobody knows is named, and so is one that is missing or misshapen.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from engines.contract import Progress
from engines.indextts.emotion_text import export_emotion_text
from engines.indextts.graphs import (
    conditioner,
    estimator,
    gpt,
    length_regulator,
    semantic_codec,
    style,
    vocoder,
    w2v_bert,
)
from engines.indextts.graphs.int8_cache import write_int8_caches
from engines.indextts.layout import Network, Release
from engines.indextts.recipe import FORMAT, LICENCE, NAME, ExportOptions
from engines.indextts.sizes import Sizes
from engines.indextts.tables import Tables
from models.bundle import Bundle, BundleError, hash_files
from models.bundle_writer import BundleWriter
from models.checkpoint import Tensors
from models.graph import Graph, Precision
from models.graph_writer import write_graphs

#: what a weight takes, with its scale and what stays float32 beside it
_VALUE_BYTES: Mapping[Precision, float] = {"fp32": 4, "int8": 1.2, "int8_blocks": 1.2, "int4": 0.7}
_QUANTISED: tuple[Precision, ...] = ("int8", "int8_blocks", "int4")
#: tokenizer, manifest, and what a graph itself takes
_BESIDE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """A network's way from a release into a file of a bundle."""

    file: str
    network: Network
    build: Callable[[Release, Tensors, Sizes, Precision], Graph]
    own: tuple[str, ...] = ("",)  # what the names begin with of the tensors that are this part's alone
    quantised: Mapping[str, Precision] = field(default_factory=dict)  # the bundle's precision -> this graph's, or fp32
    reference: bool = False  # only making voices needs it
    bundles: tuple[str, ...] = ("fp32", *_QUANTISED)  # the precisions of bundles that have it

    def precision(self, options: ExportOptions) -> Precision:
        return self.quantised.get(options.precision, "fp32")


def _plain(
    build: Callable[[Tensors, Sizes, Precision], Graph],
) -> Callable[[Release, Tensors, Sizes, Precision], Graph]:
    return lambda release, tensors, sizes, precision: build(tensors, sizes, precision)


def _w2v_bert(release: Release, tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    statistics = release.tensors("statistics")
    return w2v_bert.build(tensors, sizes, precision, config=release.w2v_bert_config, statistics=statistics)


_GPT = ("gpt.", "final_norm.", "mel_head.")
_INT8: Mapping[str, Precision] = dict.fromkeys(_QUANTISED, "int8")
# What voices are made with stays fp32 in every bundle: a voice is made once, and heard for as long as it is there.
PARTS = (
    Part("gpt.onnx", "gpt", _plain(gpt.build), _GPT, {**_INT8, "int8_blocks": "int8_blocks"}),
    # Many positions at once take as long as their products, where 8 bit is quickest; a single step takes as long as
    # reading the weights, and so half as long with 4.
    Part("gpt_step.onnx", "gpt", _plain(gpt.build), _GPT, {"int4": "int4"}, bundles=("int4",)),
    Part("length_regulator.onnx", "length_regulator", _plain(length_regulator.build)),
    Part("estimator.onnx", "estimator", _plain(estimator.build), quantised=_INT8),
    Part("vocoder.onnx", "vocoder", _plain(vocoder.build), quantised=_INT8),
    Part("reference/w2v_bert.onnx", "w2v_bert", _w2v_bert, reference=True),
    Part("reference/semantic_codec.onnx", "semantic_codec", _plain(semantic_codec.build), reference=True),
    Part("reference/style.onnx", "style", _plain(style.build), reference=True),
    Part(
        "reference/speaker_conditioner.onnx",
        "gpt",
        _plain(conditioner.build_speaker),
        ("conditioning_encoder.", "perceiver_encoder."),
        reference=True,
    ),
    Part(
        "reference/emotion_conditioner.onnx",
        "gpt",
        _plain(conditioner.build_emotion),
        ("emo_conditioning_encoder.", "emo_perceiver_encoder.", "emovec_layer.", "emo_layer."),
        reference=True,
    ),
)
#: what else gpt.pth holds: the tables' own, and the head that training used to predict text
_TABLES = ("text_embedding.", "mel_embedding.", "text_pos_embedding.", "mel_pos_embedding.", "speed_emb.")
_TRAINING = ("text_head.",)


def export(source: Path, folder: Path, options: ExportOptions, progress: Progress) -> Bundle:
    """Write the bundle of the release in `source` to `folder`, or go on with writing it.

    Raises ValueError (ReleaseError, CheckpointError, BundleError) that says what is wrong and what to do.
    """
    release = Release.find(source, options.reference)
    must_be_known(release)
    try:
        sources = hash_sources(release, progress)
        made_of = {**sources, "format": str(FORMAT), "options": options.model_dump_json()}
        writer = BundleWriter(folder, made_of)
        writer.must_have_room(estimate_bytes(release, options))
        _write_stages(writer, release, options, progress)
        return writer.finish(
            name=NAME,
            version=version_of(release, sources),
            format=FORMAT,
            licence=LICENCE,
            quantisation=options.precision,
            sizes=release.sizes.to_json(),
            sources=sources,
        )
    except OSError as error:
        raise BundleError(
            f"{folder} cannot be written ({error.strerror or error}); what is done is kept, the same command goes on"
        ) from error


def _write_stages(writer: BundleWriter, release: Release, options: ExportOptions, progress: Progress) -> None:
    writer.stage("tables", partial(_write_tables, release))
    for part in chosen(options):
        writer.stage(part.file, partial(write, part, release, options, progress))
    if options.reference:
        writer.stage("preprocessor", partial(_copy_preprocessor, release))
    writer.stage("int8 caches", partial(_write_int8_caches, release, progress))
    if (model := release.emotion_text) is not None:
        precision = _INT8.get(options.precision, "fp32")
        writer.stage(
            "emotion_text", lambda folder: export_emotion_text(model, folder / "emotion_text", precision, progress)
        )


def chosen(options: ExportOptions) -> Iterator[Part]:
    """The graphs that a bundle has."""
    return (one for one in PARTS if options.precision in one.bundles and (options.reference or not one.reference))


def write(part: Part, release: Release, options: ExportOptions, progress: Progress, folder: Path) -> None:
    """Build one graph and write it below `folder`. Raises CheckpointError, also for tensors that it did not take."""

    def build(tensors: Tensors) -> Graph:
        return part.build(release, tensors, release.sizes, part.precision(options))

    write_graphs([(folder / part.file, build)], release.tensors(part.network), part.own, part.file, progress)


def must_be_known(release: Release) -> None:
    """Raises CheckpointError that names tensors which belong to no part of the model.

    s2mel's file may hold more than the three networks, as training left it; `net.cfm` may not.
    """
    own = (one for part in PARTS if part.network == "gpt" for one in part.own)
    release.tensors("gpt").require_prefixes(*own, *_TABLES, *_TRAINING)
    release.tensors("s2mel").scope("cfm.").require_prefixes("estimator.")


def hash_sources(release: Release, progress: Progress) -> dict[str, str]:
    """sha256 of every file of the release that is read, by its path in there. Raises BundleError."""
    paths = sorted({*release.files().values(), *release.emotion_text_files()})
    names = [path.relative_to(release.folder).as_posix() for path in paths]
    return dict(zip(names, hash_files(paths, "reading the release", progress), strict=True))


def version_of(release: Release, sources: Mapping[str, str]) -> str:
    """The release's own version, and what tells its weights from any others: equal in every precision, and with and
    without what voices are made with."""
    weights = ("gpt", "s2mel", "semantic_codec", "vocoder")
    hashes = "".join(sources[release.file(one).relative_to(release.folder).as_posix()] for one in weights)
    return f"{release.sizes.version}-{hashlib.sha256(hashes.encode()).hexdigest()[:12]}"


def estimate_bytes(release: Release, options: ExportOptions) -> int:
    """About what the bundle will take on the disk: rather too much than too little."""
    tables = sum(release.tensors("gpt").scope(one).count_values() for one in _TABLES)
    graphs = sum(
        release.tensors(part.network).scope(one).count_values() * _VALUE_BYTES[part.precision(options)]
        for part in chosen(options)
        for one in part.own
    )
    emotion_text = sum(one.stat().st_size for one in release.emotion_text_files())  # of 16 bit, published
    emotion_text *= 2 if options.precision == "fp32" else 1
    return _BESIDE_BYTES + 4 * tables + round(graphs) + emotion_text


def _write_tables(release: Release, folder: Path) -> None:
    Tables.of_release(release).write(folder)
    for one in _TABLES:
        release.tensors("gpt").scope(one).finish()
    release.tensors("gpt_layer").finish()
    shutil.copyfile(release.file("bpe"), folder / "bpe.model")


def _write_int8_caches(release: Release, progress: Progress, folder: Path) -> None:
    progress("measuring keys and values", 0, 1)
    tables, latents = Tables.read(folder), release.tensors("gpt").shape("perceiver_encoder.latents")
    write_int8_caches(folder, release.sizes, tables, latents[0] + len(tables.speed_embedding))
    progress("measuring keys and values", 1, 1)


def _copy_preprocessor(release: Release, folder: Path) -> None:
    shutil.copyfile(release.file("w2v_bert_features"), folder / "reference" / "preprocessor_config.json")
