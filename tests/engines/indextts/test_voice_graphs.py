"""The reference networks as graphs, against what the official code made of the same inputs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from engines.indextts.graphs import w2v_bert
from engines.indextts.graphs.conditioner import sum_up
from engines.indextts.graphs.style import STRETCH, Stretches
from engines.indextts.layout import Release
from engines.indextts.sizes import ConditionerSizes
from models.checkpoint import Tensors
from models.graph import Graph
from models.network import Network
from models.parts import numbered
from models.session import open_session
from tests.engines.indextts.oracle import Oracle
from tests.engines.indextts.voice_networks import build_all, load_all


@pytest.fixture(scope="module")
def networks(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Network]:
    return load_all(Release.find(oracle.checkpoints), tmp_path_factory.mktemp("voice"))


def test_semantic_codec_chooses_the_codes(networks: Mapping[str, Network], oracle: Oracle) -> None:
    golden = oracle.golden("voice")
    codes, semantic = networks["semantic_codec"].run(None, {"features": golden["spk_cond_emb"]})
    np.testing.assert_array_equal(codes, golden["codes_ref"])
    np.testing.assert_allclose(semantic, golden["S_ref"], atol=1e-4)


def test_speaker_conditioner_gives_the_rows(networks: Mapping[str, Network], oracle: Oracle) -> None:
    golden = oracle.golden("voice")
    (cond,) = networks["speaker_conditioner"].run(None, {"features": golden["spk_cond_emb"]})
    np.testing.assert_allclose(cond, golden["cond32"], atol=1e-4)


@pytest.mark.parametrize(("heard", "kept"), [("spk_cond_emb", "base_emovec"), ("emo_cond_emb", "emovec")])
def test_emotion_conditioner_gives_the_vector(
    networks: Mapping[str, Network], oracle: Oracle, heard: str, kept: str
) -> None:
    golden = oracle.golden("voice")
    (emotion,) = networks["emotion_conditioner"].run(None, {"features": golden[heard]})
    np.testing.assert_allclose(emotion, golden[kept], atol=1e-4)


@pytest.mark.parametrize("network", ["speaker_conditioner", "emotion_conditioner"])
def test_a_conditioner_hears_as_many_frames_as_features_are_wide(
    networks: Mapping[str, Network], oracle: Oracle, network: str
) -> None:
    width = oracle.golden("voice")["spk_cond_emb"].shape[2]
    features = np.random.default_rng(0).normal(size=(1, width + 21, width)).astype(np.float32)
    other = features.copy()
    other[:, width:] = 9
    heard, same = (networks[network].run(None, {"features": one})[0] for one in (features, other))
    np.testing.assert_array_equal(heard, same)
    other[:, width - 2] = 9
    assert np.abs(networks[network].run(None, {"features": other})[0] - heard).max() > 1e-4


def test_a_perceiver_as_wide_as_its_conformer_has_no_map_between_them(tmp_path: Path) -> None:
    width, sizes = 16, ConditionerSizes(width=16, linear_width=1, heads=2, layers=1, perceiver_mult=3)
    shapes = {"latents": (3, width), "norm.gamma": (width,), "layers.0.0.to_q.weight": (8, width)}
    shapes |= {"layers.0.0.to_kv.weight": (16, width), "layers.0.0.to_out.weight": (width, 8)}
    shapes |= {"layers.0.1.0.weight": (64, width), "layers.0.1.0.bias": (64,)}
    shapes |= {"layers.0.1.2.weight": (width, 32), "layers.0.1.2.bias": (width,)}
    random = np.random.default_rng(0)
    without = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    unity = {"proj_context.weight": np.eye(width, dtype=np.float32), "proj_context.bias": np.zeros(width, np.float32)}
    x, given = random.normal(size=(1, 5, width)).astype(np.float32), []
    for arrays in (without, without | unity):
        save_file(arrays, tmp_path / "perceiver.safetensors")
        tensors, graph = Tensors.read(tmp_path / "perceiver.safetensors"), Graph("perceiver")
        heard = graph.constant(np.ones(5, np.float32))
        made = sum_up(graph, tensors, sizes, "fp32", graph.input("x", "float32", [1, "frames", width]), heard)
        graph.output("y", made, "float32", [1, 3, width])
        graph.save(tmp_path / "perceiver.onnx")
        given.append(open_session(tmp_path / "perceiver.onnx", threads=1).run(None, {"x": x})[0])
        tensors.finish()
    np.testing.assert_allclose(given[0], given[1], atol=1e-6)


def test_w2v_bert_does_not_hear_padding(networks: Mapping[str, Network], release: Release) -> None:
    network, width = networks["w2v_bert"], release.w2v_bert_config["feature_projection_input_dim"]
    frames = np.random.default_rng(0).normal(size=(1, 90, width)).astype(np.float32)
    heard = np.ones((1, 90), np.float32)
    alone = network.run(None, {"frames": frames[:, :89], "heard": heard[:, :89]})[0]
    heard[:, 89] = 0
    padded = network.run(None, {"frames": frames, "heard": heard})[0]
    np.testing.assert_allclose(padded[:, :89], alone, atol=1e-5)


@pytest.mark.parametrize("stretches", [0.4, 2.0, 2.3])
def test_frames_share_the_mean_of_their_stretch_and_of_all(tmp_path: Path, stretches: float) -> None:
    x = np.random.default_rng(0).normal(size=(1, 3, round(stretches * STRETCH))).astype(np.float32)
    graph = Graph("stretches")
    shared = Stretches(graph, graph.input("x", "float32", [1, 3, "frames"]))
    graph.output("y", shared.spread(shared.context("x")), "float32", [1, 3, "frames"])
    graph.save(tmp_path / "stretches.onnx")
    (y,) = open_session(tmp_path / "stretches.onnx", threads=1).run(None, {"x": x})
    for start in range(0, x.shape[2], STRETCH):
        own = slice(start, start + STRETCH)
        expected = np.broadcast_to((x[..., own].mean(2) + x.mean(2))[..., None], x[..., own].shape)
        np.testing.assert_allclose(y[..., own], expected, atol=1e-5)


@pytest.mark.parametrize("network", ["w2v_bert", "semantic_codec", "style", "statistics"])
def test_every_tensor_is_taken(release: Release, network: str) -> None:
    build_all(release)
    release.tensors(network).finish()  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["conditioning_encoder.", "perceiver_encoder.", "emo"])
def test_every_tensor_of_the_conditioners_is_taken(release: Release, prefix: str) -> None:
    build_all(release)
    release.tensors("gpt").scope(prefix).finish()


def test_another_design_of_w2v_bert_is_refused(release: Release) -> None:
    config = {**release.w2v_bert_config, "position_embeddings_type": "rotary"}
    with pytest.raises(ValueError, match="position_embeddings_type: rotary; only relative_key"):
        w2v_bert.build(
            release.tensors("w2v_bert"), release.sizes, config=config, statistics=release.tensors("statistics")
        )


def test_layers_are_numbered_until_one_is_missing() -> None:
    tensors = Tensors({"a.1.w": None, "a.2.w": None, "a.4.w": None}, "here")  # type: ignore[dict-item]
    assert list(numbered(tensors.scope("a."), "{}.w", 1)) == [1, 2]
    assert list(numbered(tensors, "a.{}.w")) == []
