"""The language model that reads emotions out of words, against plain numpy in several sizes."""

import numpy as np
import pytest

from engines.indextts.graphs.qwen import QwenSizes, build
from engines.indextts.qwen import Qwen
from models.checkpoint import CheckpointError, Tensors
from models.session import open_session
from tests.engines.indextts.tiny_qwen import CONFIG, forward, make_weights, write

QUESTION = [5, 3, 60, 0, 12, 12, 7]
SIZES = [
    CONFIG,
    {**CONFIG, "tie_word_embeddings": False, "num_hidden_layers": 3, "num_attention_heads": 2, "head_dim": 32},
    {**CONFIG, "tie_word_embeddings": False, "num_key_value_heads": 6, "vocab_size": 40_000, "rope_theta": 1e4},
]


def _export(folder, config, weights, precision="fp32"):
    write(folder, config, weights)
    tensors = Tensors.read(folder / "model.safetensors")
    build(tensors, QwenSizes.of_config(config), precision).save(folder / "qwen.onnx")
    return folder / "qwen.onnx"


def _logits(path, config, ids):
    """Of the last of `ids`, given at once."""
    session, inputs = open_session(path, 1), {"ids": np.array([ids]), "total": np.array(len(ids), np.int32)}
    shape = (1, config["num_key_value_heads"], len(ids), config["head_dim"])
    for one in session.get_inputs()[2:]:
        inputs[one.name] = np.zeros(shape, np.float32)
    return session.run(["logits"], inputs)[0][0]


@pytest.mark.parametrize("config", SIZES)
def test_a_prompt_and_the_tokens_after_it_are_as_plain_numpy_has_them(tmp_path, config):
    weights = make_weights(config)
    path = _export(tmp_path, config, weights)
    np.testing.assert_allclose(_logits(path, config, QUESTION), forward(config, weights, QUESTION)[-1], atol=1e-4)
    answer = list(Qwen(path, 1).answer(QUESTION, 12))
    expected = forward(config, weights, QUESTION + answer)[len(QUESTION) - 1 : -1].argmax(-1)
    assert answer == expected.tolist()
    assert len(set(answer)) > 1


@pytest.mark.parametrize(("precision", "off"), [("int8", 0.05), ("int4", 0.5)])
def test_small_weights_come_near(tmp_path, precision, off):
    weights = make_weights(CONFIG)
    got = _logits(_export(tmp_path, CONFIG, weights, precision), CONFIG, QUESTION)
    expected = forward(CONFIG, weights, QUESTION)[-1]
    assert np.linalg.norm(got - expected) < off * np.linalg.norm(expected)


def test_a_head_that_is_tied_may_be_written_down_all_the_same(tmp_path):
    weights = make_weights(CONFIG)
    path = _export(tmp_path, CONFIG, {**weights, "lm_head.weight": weights["model.embed_tokens.weight"].copy()})
    np.testing.assert_allclose(_logits(path, CONFIG, QUESTION), forward(CONFIG, weights, QUESTION)[-1], atol=1e-4)


def test_missing_and_surplus_tensors_are_named(tmp_path):
    weights = make_weights(CONFIG)
    with pytest.raises(CheckpointError, match=r"layers\.1\.self_attn\.q_norm"):
        _export(tmp_path, CONFIG, {name: one for name, one in weights.items() if "1.self_attn.q_norm" not in name})
    with pytest.raises(CheckpointError, match=r"model\.layers\.2\."):
        _export(tmp_path, CONFIG, make_weights({**CONFIG, "num_hidden_layers": 3}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "llama"}, "model_type: llama"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4}}, "rope_type: yarn"),
        ({"hidden_act": "gelu"}, "hidden_act: gelu"),
    ],
)
def test_a_model_of_another_design_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        QwenSizes.of_config({**CONFIG, **change})


def test_newer_files_keep_the_rotation_elsewhere():
    newer = {name: one for name, one in CONFIG.items() if name != "rope_theta"}
    newer["rope_parameters"] = {"rope_type": "default", "rope_theta": 5.0}
    assert QwenSizes.of_config(newer).rotary_base == 5
    del newer["rope_parameters"]
    with pytest.raises(ValueError, match="rope_theta"):
        QwenSizes.of_config(newer)
