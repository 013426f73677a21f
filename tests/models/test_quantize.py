"""Quantised products against the plain ones, for widths that fit blocks and widths that do not."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.graph import Graph
from models.quantize import quantized_product, round_to_blocks, round_to_outputs

SHAPES = [(64, 192), (40, 7), (200, 130), (300, 33)]


def _error(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


def _run(graph: Graph, folder: Path, x: np.ndarray) -> np.ndarray:
    graph.save(folder / "product.onnx")
    return onnxruntime.InferenceSession(folder / "product.onnx").run(None, {"x": x})[0]


def _graph(kind: str, weight: np.ndarray, bias: np.ndarray | None = None) -> Graph:
    graph = Graph("product")
    x = graph.input("x", "float32", ["batch", "rows", weight.shape[1]])
    y = quantized_product(graph, x, weight, kind, bias)
    graph.output("y", y, "float32", ["batch", "rows", weight.shape[0]])
    return graph


@pytest.mark.parametrize(("kind", "bound"), [("int8", 0.015), ("int4", 0.12), ("int8_blocks", 0.015)])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_quantised_product_is_near_the_plain_one(tmp_path, kind, bound, shape):
    random = np.random.default_rng(1)
    weight, x = random.standard_normal(shape[::-1], np.float32), random.standard_normal((2, 3, shape[0]), np.float32)
    got = _run(_graph(kind, weight), tmp_path, x)
    assert 1e-4 < _error(got, x @ weight.T) < bound
    bias = random.standard_normal(shape[1], np.float32)
    np.testing.assert_allclose(_run(_graph(kind, weight, bias), tmp_path, x), got + bias, atol=1e-5)


@pytest.mark.parametrize("kind", ["int4", "int8_blocks"])
def test_a_row_of_a_product_of_blocks_does_not_depend_on_the_others(tmp_path, kind):
    random = np.random.default_rng(2)
    graph = _graph(kind, random.standard_normal((130, 200), np.float32))
    x = random.standard_normal((2, 3, 200), np.float32)
    x *= np.array([[1], [9], [100]], np.float32)
    together, alone = _run(graph, tmp_path, x), _run(graph, tmp_path, x[:1, :1])
    np.testing.assert_allclose(together[:1, :1], alone, atol=1e-4)


@given(st.integers(1, 9), st.integers(1, 70), st.integers(0, 99))
def test_rounding_to_outputs_errs_by_half_a_step_at_most(outputs, inputs, seed):
    weight = np.random.default_rng(seed).standard_normal((outputs, inputs), np.float32)
    kept, scales = round_to_outputs(weight)
    assert np.all(np.abs(kept.T * scales[:, None] - weight) <= scales[:, None] * 0.501)


@given(st.integers(1, 9), st.integers(1, 70), st.integers(0, 99), st.sampled_from([4, 8]), st.sampled_from([16, 32]))
def test_rounding_to_blocks_errs_by_half_a_step_and_clips_one_at_most(outputs, inputs, seed, bits, block):
    weight = np.random.default_rng(seed).standard_normal((outputs, inputs), np.float32)
    kept, scales = round_to_blocks(weight, bits, block)
    whole = kept.astype(np.int64)
    if bits == 4:
        whole = np.stack([whole & 15, whole >> 4], axis=-1).reshape(outputs, -1, block)
    back = ((whole - (1 << bits - 1)) * scales[..., None]).reshape(outputs, -1)[:, :inputs]
    steps = np.repeat(np.abs(scales), block, axis=1)[:, :inputs]
    assert np.all(np.abs(back - weight) <= steps * 1.001)  # the value opposite to the furthest may be a step too far
    assert np.all(np.abs(back - weight)[np.abs(weight) <= steps * ((1 << bits - 1) - 1)] <= 0.501 * steps.max())


def test_a_weight_of_zeros_stays_zero(tmp_path):
    for kind in ("int8", "int4"):
        assert not _run(_graph(kind, np.zeros((8, 32), np.float32)), tmp_path, np.ones((1, 1, 32), np.float32)).any()


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="fp3"):
        quantized_product(Graph("product"), "x", np.ones((8, 32), np.float32), "fp3")
