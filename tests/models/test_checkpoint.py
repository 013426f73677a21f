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


def test_of_many_surplus_tensors_five_are_named(tmp_path: Path) -> None:
    net = {name: np.zeros(1, np.float32) for name in "abcdef"}
    tensors = Tensors.read(write_pth(tmp_path / "a.pth", net))
    with pytest.raises(CheckpointError, match="a, b, c, d, e and 1 more;"):
        tensors.finish()
    tensors.ignore("a".__eq__)
    with pytest.raises(CheckpointError, match="b, c, d, e, f;"):
        tensors.finish()


def test_another_file_adds_what_is_lacking_and_changes_nothing(tmp_path: Path) -> None:
    own = Tensors.read(write_pth(tmp_path / "a.pth", {"a": np.zeros(1, np.float32)}))
    other = Tensors.read(write_pth(tmp_path / "b.pth", {one: np.ones(1, np.float32) for one in ("x.a", "x.b", "y")}))
    both = own.completed_by(other, lambda name: name.removeprefix("x.") if name.startswith("x.") else "")
    assert sorted(both.names()) == ["a", "b"]
    assert (both.take("a")[0], both.take("b")[0]) == (0, 1)


@pytest.mark.parametrize(
    ("of_direction", "of_length"),
    [("weight_v", "weight_g"), ("parametrizations.weight.original1", "parametrizations.weight.original0")],
)
def test_weight_norm_is_multiplied_out(tmp_path: Path, of_direction: str, of_length: str) -> None:
    direction, length = (
        np.random.default_rng(1).normal(size=(4, 3, 5)).astype(np.float32),
        np.arange(4, dtype=np.float32),
    )
    pair = {f"conv.{of_direction}": direction, f"conv.{of_length}": length.reshape(4, 1, 1)}
    tensors = Tensors.read(write_pth(tmp_path / "a.pth", pair))
    assert tensors.weight_shape("conv") == (4, 3, 5)
    weight = tensors.take_weight_norm("conv", (4, 3, 5))
    tensors.finish()
    np.testing.assert_allclose(np.sqrt((weight**2).sum(axis=(1, 2))), length, atol=1e-6)
    np.testing.assert_allclose(weight[2] / direction[2], (weight[2] / direction[2])[0, 0], rtol=1e-5)
    whole = Tensors.read(write_pth(tmp_path / "b.pth", {"conv.weight": direction})).take_weight_norm("conv")
    np.testing.assert_array_equal(whole, direction)
