"""The reference networks of the oracle, built and loaded."""

from collections.abc import Mapping
from pathlib import Path

from engines.indextts.graphs import conditioner, semantic_codec, style, w2v_bert
from engines.indextts.layout import Release
from models.graph import Graph
from models.network import Network
from models.session import open_session


def build_all(release: Release) -> Mapping[str, Graph]:
    """By the names that they have in a bundle."""
    sizes, gpt = release.sizes, release.tensors("gpt")
    statistics, config = release.tensors("statistics"), release.w2v_bert_config
    return {
        "w2v_bert": w2v_bert.build(release.tensors("w2v_bert"), sizes, config=config, statistics=statistics),
        "semantic_codec": semantic_codec.build(release.tensors("semantic_codec"), sizes),
        "style": style.build(release.tensors("style"), sizes),
        "speaker_conditioner": conditioner.build_speaker(gpt, sizes),
        "emotion_conditioner": conditioner.build_emotion(gpt, sizes),
    }


def load_all(release: Release, folder: Path) -> Mapping[str, Network]:
    """Build into `folder` and load, on one thread: they are tiny."""
    loaded = {}
    for name, graph in build_all(release).items():
        graph.save(folder / f"{name}.onnx")
        loaded[name] = open_session(folder / f"{name}.onnx", threads=1)
    return loaded
