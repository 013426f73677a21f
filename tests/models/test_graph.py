"""Graphs: what they compute when ONNX Runtime reads them, and how their weights lie beside them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from models.graph import ALIGNMENT_BYTES, EXTERNAL_BYTES, Graph
from models.session import open_session

RANDOM = np.random.default_rng(3)


def save(graph: Graph, tmp_path: Path) -> Path:
    graph.save(tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def run(graph: Graph, tmp_path: Path, **feeds: np.ndarray) -> np.ndarray:
    session: onnxruntime.InferenceSession = open_session(save(graph, tmp_path), 1)
    return session.run(None, feeds)[0]


def noise(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, np.float32)


def external(path: Path) -> dict[str, dict[str, str]]:
    kept = onnx.load(path, load_external_data=False).graph.initializer
    return {one.name: {told.key: told.value for told in one.external_data} for one in kept if one.external_data}


def test_large_weights_lie_aligned_in_a_file_of_their_own_and_small_ones_in_the_graph(tmp_path: Path) -> None:
    graph = Graph("net")
    x = graph.input("x", "float32", ["rows", 500])
    for weight in (noise(500), noise(1), noise(300, 500)):
        x = graph.add(x, graph.constant(weight)) if weight.ndim == 1 else graph.linear(x, weight)
    graph.output("y", x, "float32", ["rows", 300])
    told = external(save(graph, tmp_path))
    assert [int(one["length"]) for one in told.values()] == [2000, 600_000]
    assert all(int(one["offset"]) % ALIGNMENT_BYTES == 0 for one in told.values())
    assert {one["location"] for one in told.values()} == {"net.onnx.data"}
    last = max(told.values(), key=lambda one: int(one["offset"]))
    assert (tmp_path / "net.onnx.data").stat().st_size == int(last["offset"]) + int(last["length"])


def test_weights_are_mapped_not_copied(tmp_path: Path) -> None:
    graph = Graph("net")
    table = noise(1000, 64)
    rows = graph.op("Gather", graph.constant(table), graph.input("ids", "int64", ["ids"]), axis=0)
    graph.output("rows", rows, "float32", ["ids", 64])
    session = open_session(save(graph, tmp_path), 1)
    assert str(tmp_path / "net.onnx.data") in Path("/proc/self/maps").read_text()
    ids = np.array([3, 999])
    np.testing.assert_array_equal(session.run(None, {"ids": ids})[0], table[ids])


def test_a_graph_of_small_weights_alone_is_one_file(tmp_path: Path) -> None:
    graph = Graph("net")
    graph.output("y", graph.mul(graph.input("x", "float32", [2]), graph.constant(2.0)), "float32", [2])
    np.testing.assert_array_equal(run(graph, tmp_path, x=np.float32([1, -3])), [2, -6])
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_equal_small_constants_are_kept_once_but_not_across_types_or_shapes(tmp_path: Path) -> None:
    graph = Graph("net")
    assert graph.constant([1, 2]) == graph.constant(np.array([1, 2], np.int64))
    assert graph.constant(0.5) == graph.constant(np.float32(0.5))
    different = [graph.constant(np.zeros(2, one)) for one in (np.float32, np.int32)]
    different += [graph.constant(np.zeros((1, 2), np.float32)), graph.constant(np.zeros((2, 1), np.float32))]
    assert len(set(different)) == 4
    kept = onnx.load(save(graph, tmp_path)).graph.initializer
    assert len(kept) == 6
    dtypes = {onnx.helper.tensor_dtype_to_np_dtype(one.data_type).name for one in kept}
    assert dtypes == {"int64", "float32", "int32"}, "Python's floats and whole numbers become float32 and int64"


def test_large_constants_are_not_compared(tmp_path: Path) -> None:
    graph = Graph("net")
    large = np.zeros(EXTERNAL_BYTES, np.float32)
    assert graph.constant(large) != graph.constant(large)


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_map_is_the_product_with_the_weights_transposed(tmp_path: Path, bias: bool) -> None:
    graph, x, weight, given = Graph("net"), noise(2, 3, 20), noise(40, 20), noise(40) if bias else None
    y = graph.linear(graph.input("x", "float32", ["rows", "steps", 20]), weight, given)
    graph.output("y", y, "float32", ["rows", "steps", 40])
    expected = x @ weight.T + (0 if given is None else given)
    np.testing.assert_allclose(run(graph, tmp_path, x=x), expected, atol=1e-5)


def test_norm_convolution_and_activation_are_what_their_definitions_say(tmp_path: Path) -> None:
    graph, x = Graph("net"), noise(1, 6, 9)
    scale, shift, weight, bias = noise(9), noise(9), noise(4, 3, 3), noise(4)
    normed = graph.layer_norm(graph.input("x", "float32", [1, 6, 9]), scale, shift, 1e-3)
    graph.output("y", graph.silu(graph.conv(normed, weight, bias, group=2, pads=[1, 1])), "float32", [1, 4, 9])
    inner = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3) * scale + shift
    padded = np.pad(inner, ((0, 0), (0, 0), (1, 1)))[0]
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=1).reshape(2, 3, 9, 3)
    outer = np.einsum("gctk,gock->got", windows, weight.reshape(2, 2, 3, 3)).reshape(1, 4, 9) + bias[:, None]
    np.testing.assert_allclose(run(graph, tmp_path, x=x), outer / (1 + np.exp(-outer)), atol=1e-5)


def test_shapes_are_cut_joined_and_turned(tmp_path: Path) -> None:
    graph, x = Graph("net"), noise(2, 3, 8)
    value = graph.input("x", "float32", ["rows", 3, 8])
    first, second = graph.split(graph.slice(value, 1, 7, axis=2, step=2), [1, 2], axis=2)
    joined = graph.concat(second, first, axis=2)
    graph.output("y", graph.reshape(graph.transpose(joined, 0, 2, 1), 0, -1), "float32", ["rows", 9])
    cut = x[:, :, 1:7:2]
    expected = np.concatenate([cut[:, :, 1:], cut[:, :, :1]], 2).transpose(0, 2, 1).reshape(2, 9)
    np.testing.assert_array_equal(run(graph, tmp_path, x=x), expected)
