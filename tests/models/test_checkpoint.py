"""A checkpoint's tensors: taken once, with the shape that is expected; the others are named."""

from pathlib import Path

import numpy as np
import pytest

from models.checkpoint import CheckpointError, Tensors
from tests.models.pickled import Call, Global, State, write_pth


def test_what_training_leaves_beside_the_tensors_is_passed_over(tmp_path: Path) -> None:
    kind = State(Call(Global("numpy", "dtype"), ("f8", False, True)), (3, "<", None))
    beside = {
        "device": Call(Global("torch", "device"), ("cpu",)),
        "kind": Global("torch", "float32"),
        "rate": Call(Global("numpy._core.multiarray", "scalar"), (kind, "\x00")),
        "step": 7,
    }
    path = write_pth(tmp_path / "a.pth", {"net": {"w": np.ones(2, np.float32)}, "optimizer": beside})
    assert list(Tensors.read(path).names()) == ["net.w"]
    assert list(Tensors.read(path).scope("net.").names()) == ["w"]


def test_missing_misshapen_and_surplus_tensors_are_named(tmp_path: Path) -> None:
    net = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(1, np.float32), "c": np.zeros(1, np.float32)}
    tensors = Tensors.read(write_pth(tmp_path / "a.pth", {"net": net}))
    scope = tensors.scope("net.")
    with pytest.raises(CheckpointError, match=r"lacks the tensor net\.bias"):
        scope.take("bias")
    with pytest.raises(CheckpointError, match=r"net\.a has the shape \(2, 3\) instead of \(3, 2\)"):
        scope.take("a", (3, 2))
    scope.take("a", (2, 3))
    scope.ignore(lambda name: name == "b")
    with pytest.raises(CheckpointError, match=r"does not know: net\.c;"):
        tensors.finish()


def test_weight_norm_is_multiplied_out(tmp_path: Path) -> None:
    direction, length = (
        np.random.default_rng(1).normal(size=(4, 3, 5)).astype(np.float32),
        np.arange(4, dtype=np.float32),
    )
    pair = {"conv.weight_v": direction, "conv.weight_g": length.reshape(4, 1, 1)}
    weight = Tensors.read(write_pth(tmp_path / "a.pth", pair)).take_weight_norm("conv", (4, 3, 5))
    np.testing.assert_allclose(np.sqrt((weight**2).sum(axis=(1, 2))), length, atol=1e-6)
    np.testing.assert_allclose(weight[2] / direction[2], (weight[2] / direction[2])[0, 0], rtol=1e-5)
    whole = Tensors.read(write_pth(tmp_path / "b.pth", {"conv.weight": direction})).take_weight_norm("conv")
    np.testing.assert_array_equal(whole, direction)
