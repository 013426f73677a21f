"""Verification: what is as it was made passes; a byte, a tensor, a source that is another does not."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import engines.indextts.verify
from engines.contract import Check
from engines.indextts.export import PARTS
from engines.indextts.verify import verify
from models.bundle import Bundle, BundleError
from tests.engines.indextts.oracle import Oracle
from tests.engines.indextts.releases import Arrays, changed, linked


def ignore(doing: str, done: int, whole: int) -> None:
    """Progress that nobody watches."""


def failed(checks: list[Check]) -> list[str]:
    return [one.name for one in checks if not one.passed]


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Look at some of the networks only: each takes its time to load."""

    def look_at(*files: str) -> None:
        monkeypatch.setattr(engines.indextts.verify, "PARTS", [one for one in PARTS if one.file in files])

    return look_at


@pytest.fixture
def copied(bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle.folder, tmp_path / "indextts2"))


@pytest.mark.timeout(240)  # every network is made and loaded twice
def test_a_bundle_and_its_release_agree_in_every_part(oracle: Oracle, bundle: Bundle) -> None:
    checks = verify(bundle.folder, oracle.checkpoints, ignore)
    assert failed(checks) == []
    networks = [part.file for part in PARTS if "fp32" in part.bundles]
    assert [one.name for one in checks] == ["files", "gpt_int8_cache.onnx", "sources", "tables", *networks]
    assert sorted(path.name for path in bundle.folder.parent.iterdir()) == ["indextts2"]


def test_what_rounding_changed_is_told_and_bounded(
    oracle: Oracle, bundle_int8: Bundle, only: Callable[..., None]
) -> None:
    only("gpt.onnx", "estimator.onnx")
    found = {one.name: one for one in verify(bundle_int8.folder, oracle.checkpoints, ignore)}
    assert failed(list(found.values())) == []
    assert "apart from one as fp32" in found["gpt.onnx as int8"].found
    assert "apart from one as fp32" in found["estimator.onnx as int8"].found


def test_a_flipped_byte_is_found(copied: Path, only: Callable[..., None]) -> None:
    only()
    path = copied / "vocoder.onnx.data"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (check, *_) = verify(copied, None, ignore)
    assert not check.passed
    assert "vocoder.onnx.data is damaged" in check.found


def test_a_graph_that_cannot_be_loaded_is_named(copied: Path, only: Callable[..., None]) -> None:
    only("length_regulator.onnx")
    path = copied / "length_regulator.onnx"
    path.write_bytes(bytes(path.stat().st_size))
    assert failed(verify(copied, None, ignore)) == ["files", "length_regulator.onnx"]


def test_weights_that_are_no_numbers_are_found(copied: Path, only: Callable[..., None]) -> None:
    only("length_regulator.onnx")
    path = copied / "length_regulator.onnx.data"
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert "length_regulator.onnx" in failed(verify(copied, None, ignore))


def test_two_weights_that_changed_places_are_found_though_every_digest_fits(
    oracle: Oracle, copied: Path, only: Callable[..., None]
) -> None:
    only("gpt.onnx", "estimator.onnx")
    swap_weights(copied, "estimator.onnx")
    assert failed(verify(copied, None, ignore)) == []
    assert failed(verify(copied, oracle.checkpoints, ignore)) == ["estimator.onnx"]


def test_a_release_of_other_values_is_told_from_the_one_it_was_made_of(
    oracle: Oracle, bundle: Bundle, tmp_path: Path, only: Callable[..., None]
) -> None:
    def louder(arrays: Arrays) -> None:
        arrays[""] *= 2

    only()
    other = changed(linked(oracle.checkpoints, tmp_path / "other"), "feat2.pt", louder)
    found = {one.name: one for one in verify(bundle.folder, other, ignore)}
    assert failed(list(found.values())) == ["sources", "tables"]
    assert "feat2" in found["sources"].found
    assert "emotion_vectors" in found["tables"].found


def test_a_bundle_of_another_format_is_refused_with_what_mends_it(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps(manifest | {"format": manifest["format"] + 1}))
    with pytest.raises(BundleError, match="newer Voxgate: update this one"):
        verify(copied, None, ignore)


def swap_weights(folder: Path, graph: str) -> None:
    """Let the two largest weights of equal shape change places, and make the manifest fit."""
    kept = [one for one in onnx.load(folder / graph, load_external_data=False).graph.initializer if one.external_data]
    kept.sort(key=lambda one: -np.prod(one.dims))
    first, second = next((a, b) for a in kept for b in kept if a.name < b.name and list(a.dims) == list(b.dims))
    path = folder / f"{graph}.data"
    content = bytearray(path.read_bytes())
    (one, length), (other, _) = (
        (int(told["offset"]), int(told["length"]))
        for told in ({entry.key: entry.value for entry in tensor.external_data} for tensor in (first, second))
    )
    content[one : one + length], content[other : other + length] = (
        content[other : other + length],
        content[one : one + length],
    )
    path.write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["path"] == path.name:
            entry["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
