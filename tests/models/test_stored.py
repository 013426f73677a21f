"""Checkpoints: every tensor as it was saved, and nothing else: no code, no byte of another file or storage."""

import json
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save_file

from models.checkpoint import Tensors
from models.stored import CheckpointError, read_checkpoint
from tests.models.pickled import Call, Global, State, Storage, tensor, write_pth

FLOATS = Global("torch", "FloatStorage")
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@given(
    values=arrays.arrays(st.sampled_from([np.float32, np.float16, np.float64, np.int64, np.uint8, np.bool_]), SHAPES)
)
def test_both_formats_give_what_was_saved(values: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("saved")
    save_file({"net.w": values}, folder / "a.safetensors")
    write_pth(folder / "a.pth", {"net": {"w": values, "epoch": 3}})
    stored = read_checkpoint(folder / "a.safetensors")["net.w"], read_checkpoint(folder / "a.pth")["net"]["w"]
    for read in (one.read() for one in stored):
        assert read.dtype == values.dtype
        np.testing.assert_array_equal(read, values)


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 3e38, 0.0], np.float32)
    storage = Storage(Global("torch", "BFloat16Storage"), "0", 4)
    path = write_pth(
        tmp_path / "a.pth",
        {"w": tensor(storage, (4,), (1,))},
        {"0": (values.view("<u4") >> 16).astype("<u2").tobytes()},
    )
    np.testing.assert_allclose(Tensors.read(path).take("w"), values, rtol=2**-7)


def test_a_transposed_slice_of_a_storage_is_read_by_its_strides(tmp_path: Path) -> None:
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    part = tensor(Storage(FLOATS, "0", 24), (5, 2), (1, 12), start=7)
    path = write_pth(tmp_path / "a.pth", {"w": part}, {"0": whole.tobytes()})
    np.testing.assert_array_equal(Tensors.read(path).take("w", (5, 2)), whole[1::2, 1:].T)


def test_tensors_stay_in_their_file_until_they_are_changed(tmp_path: Path) -> None:
    taken = Tensors.read(write_pth(tmp_path / "a.pth", {"w": np.ones((3, 3), np.float32)})).take("w")
    with pytest.raises(ValueError, match="read-only"):
        taken[0, 0] = 2


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("numpy", "fromfile"),
        ("torch", "load"),
        ("pickle", "loads"),
    ],
)
def test_a_pickle_that_asks_for_anything_else_is_refused_and_nothing_runs(
    tmp_path: Path, module: str, name: str
) -> None:
    trap = tmp_path / "ran"
    path = write_pth(tmp_path / "a.pth", {"w": Call(Global(module, name), (f"touch {trap}",))})
    with pytest.raises(CheckpointError, match=rf"asks for {module}\.{name}"):
        read_checkpoint(path)
    assert not trap.exists()


def test_a_pickle_cannot_send_a_tensor_to_another_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(64))
    honest = tensor(Storage(FLOATS, "0", 2), (2,), (1,))
    moved = State(honest, (str(tmp_path / "secret"), 0, "<f4", (2,), (1,)))
    with pytest.raises(CheckpointError, match="change where a tensor lies"):
        read_checkpoint(write_pth(tmp_path / "a.pth", {"w": moved}, {"0": bytes(8)}))


@pytest.mark.parametrize("kind", ["O", "V8", "<f4,O", Global("torch", "Size"), 3])
def test_a_storage_of_another_type_than_numbers_is_refused(tmp_path: Path, kind: Any) -> None:
    part = tensor(Storage(kind, "0", 1), (1,), (1,))
    with pytest.raises(CheckpointError, match="type"):
        read_checkpoint(write_pth(tmp_path / "a.pth", {"w": part}, {"0": bytes(8)}))


@pytest.mark.parametrize(
    ("shape", "strides", "start"),
    [
        ((5,), (1,), 0),
        ((4,), (1,), 1),
        ((2, 2), (3, 1), 0),
        ((2,), (10**15,), 0),
        ((1,), (1,), -1),
        ((2,), (-1,), 3),
        ((-1,), (1,), 0),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(
    tmp_path: Path, shape: tuple[int, ...], strides: tuple[int, ...], start: int
) -> None:
    part = tensor(Storage(FLOATS, "0", 4), shape, strides, start)
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(write_pth(tmp_path / "a.pth", {"w": part}, {"0": bytes(16), "1": bytes(10**6)}))


@given(cut=st.floats(0, 1, exclude_max=True), of=st.sampled_from(["a.pth", "a.safetensors"]))
def test_a_file_cut_off_anywhere_is_said_to_be_so(
    cut: float, of: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    whole = {"w": np.arange(100, dtype=np.float32)}
    write_pth(folder / "a.pth", whole) if of == "a.pth" else save_file(whole, folder / of)
    content = (folder / of).read_bytes()
    (folder / of).write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(CheckpointError, match="fetch it again"):
        Tensors.read(folder / of).take("w")


@given(place=st.integers(0, 600), value=st.integers(0, 255))
def test_a_flipped_byte_gives_an_error_or_tensors_of_the_same_file(
    place: int, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write_pth(tmp_path_factory.mktemp("flipped") / "a.pth", {"w": np.zeros(3, np.float32)})
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    with suppress(CheckpointError):
        assert Tensors.read(path).take("w", (3,)).nbytes == 12


def test_what_pytorch_never_writes_is_refused_with_the_reason(tmp_path: Path) -> None:
    tree = {"w": np.ones(500, np.float32)}
    with pytest.raises(CheckpointError, match="compressed"):
        read_checkpoint(write_pth(tmp_path / "a.pth", tree, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(CheckpointError, match="big-endian"):
        read_checkpoint(write_pth(tmp_path / "b.pth", tree, byteorder=b"big"))
    (tmp_path / "old.pth").write_bytes(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")
    with pytest.raises(CheckpointError, match=r"before 1\.6; save it anew"):
        read_checkpoint(tmp_path / "old.pth")
    (tmp_path / "page.pth").write_bytes(b"<!doctype html>")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        read_checkpoint(tmp_path / "page.pth")
    with pytest.raises(CheckpointError, match=r"none\.pth cannot be read"):
        read_checkpoint(tmp_path / "none.pth")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [8, 0]},
        {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]},
        {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]},
        {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]},
        {"dtype": "O", "shape": [1], "data_offsets": [0, 8]},
        {"shape": [2], "data_offsets": [0, 8]},
        [],
        None,
    ],
)
def test_nonsense_in_a_safetensors_header_is_refused(tmp_path: Path, entry: object) -> None:
    header = json.dumps({"w": entry}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        read_checkpoint(tmp_path / "a.safetensors")
