"""Bundles: a manifest that is true, or a reason that says what to do."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from models.bundle import Bundle, BundleError, find_bundles


def make(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "net.onnx").write_bytes(b"weights")
    files = [{"path": "net.onnx", "size_bytes": 7, "sha256": hashlib.sha256(b"weights").hexdigest()}]
    manifest = {"name": "duet", "version": "1", "licence": "CC0-1.0", "files": files} | changes
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_whole_bundle_is_read(tmp_path: Path) -> None:
    bundle = Bundle.read(make(tmp_path / "duet"))
    assert (bundle.name, bundle.version, bundle.licence) == ("duet", "1", "CC0-1.0")


def test_a_file_of_another_size_or_none_is_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "duet")
    (folder / "net.onnx").write_bytes(b"short")
    with pytest.raises(BundleError, match=r"net\.onnx has 5 bytes instead of 7"):
        Bundle.read(folder)
    (folder / "net.onnx").unlink()
    with pytest.raises(BundleError, match=r"net\.onnx is missing"):
        Bundle.read(folder)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", '{"files": 3}', '{"files": [{}]}'),
        '{"name": "duet", "version": "1", "licence": "", "files": [], "format": "newest"}',
        '{"name": "duet", "version": "1", "licence": "", "files": [], "sizes": 3}',
    ],
)
def test_a_damaged_manifest_is_said_to_be_so(tmp_path: Path, text: str) -> None:
    folder = make(tmp_path / "duet")
    (folder / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match="damaged"):
        Bundle.read(folder)


def test_a_manifest_may_not_name_files_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    files = [{"path": "../secret", "size_bytes": 1, "sha256": ""}]
    with pytest.raises(BundleError, match="outside"):
        Bundle.read(make(tmp_path / "duet", files=files))


def test_a_folder_is_searched_for_whole_and_unfinished_bundles(tmp_path: Path) -> None:
    make(tmp_path / "b")
    (tmp_path / "a").mkdir()
    (tmp_path / ".part").mkdir()
    unfinished, whole = find_bundles(tmp_path)
    assert isinstance(unfinished, BundleError)
    assert isinstance(whole, Bundle)
