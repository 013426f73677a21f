"""Writing bundles: whole or not there, gone on with after a stop, and an old one in place until the new one is."""

import errno
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

import models.bundle_writer
from models.bundle import Bundle, BundleError, find_bundles
from models.bundle_writer import BundleWriter

ABOUT = {"name": "duet", "version": "1", "format": 3, "licence": "CC0-1.0"}


def ignore(doing: str, done: int, whole: int) -> None:
    """Progress that nobody watches."""


def put(name: str, content: bytes = b"weights") -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return make


def write(folder: Path, content: bytes = b"weights", **about: object) -> Bundle:
    writer = BundleWriter(folder, {})
    writer.stage("net", put("parts/net.onnx", content))
    return writer.finish(**(ABOUT | about))


def test_a_finished_bundle_says_what_it_is_and_holds_what_it_names(tmp_path: Path) -> None:
    made = write(tmp_path / "duet", quantisation="int8", sizes={"width": 7}, sources={"net.pth": "ab"})
    bundle = Bundle.read(tmp_path / "duet")
    assert bundle == made
    assert (bundle.format, bundle.quantisation, bundle.sizes, bundle.sources) == (
        3,
        "int8",
        {"width": 7},
        {"net.pth": "ab"},
    )
    assert [one.path for one in bundle.files] == ["parts/net.onnx"]
    bundle.check_contents(ignore)
    assert [path.name for path in tmp_path.iterdir()] == ["duet"]


def test_a_changed_byte_is_found_by_content_alone(tmp_path: Path) -> None:
    bundle = write(tmp_path / "duet")
    (bundle.folder / "parts/net.onnx").write_bytes(b"weighty")
    assert Bundle.read(bundle.folder) == bundle
    with pytest.raises(BundleError, match=r"parts/net\.onnx is damaged"):
        bundle.check_contents(ignore)


@pytest.mark.parametrize(("format", "advice"), [(2, "newer Voxgate: update"), (4, "older Voxgate: make it again")])
def test_a_bundle_of_another_format_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, format: int, advice: str
) -> None:
    bundle = write(tmp_path / "duet")
    bundle.require_format(3)
    with pytest.raises(BundleError, match=f"{advice}.*voxgate models pull duet"):
        bundle.require_format(format)


def test_what_raises_leaves_nothing_that_looks_like_a_bundle_and_finished_stages_are_kept(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        put("half.onnx")(folder)
        raise KeyboardInterrupt

    writer = BundleWriter(tmp_path / "duet", {"net.pth": "ab"})
    writer.stage("net", put("net.onnx"))
    with pytest.raises(KeyboardInterrupt):
        writer.stage("more", fail)
    assert list(find_bundles(tmp_path)) == []
    again = BundleWriter(tmp_path / "duet", {"net.pth": "ab"})
    assert again.is_done("net")
    again.stage("net", fail)
    again.stage("more", put("more.onnx"))
    assert [one.path for one in again.finish(**ABOUT).files] == ["net.onnx", "more.onnx"]
    assert sorted(path.name for path in (tmp_path / "duet").iterdir()) == ["manifest.json", "more.onnx", "net.onnx"]


@pytest.mark.parametrize("change", ["sources", "file", "record"])
def test_what_was_left_behind_is_made_anew_when_it_does_not_fit(tmp_path: Path, change: str) -> None:
    left = BundleWriter(tmp_path / "duet", {"net.pth": "ab"})
    left.stage("net", put("net.onnx"))
    if change == "file":
        (left.folder / "net.onnx").write_bytes(b"")
    if change == "record":
        (left.folder / ".stages.json").write_text("[]")
    writer = BundleWriter(tmp_path / "duet", {"net.pth": "cd" if change == "sources" else "ab"})
    assert not writer.is_done("net")
    writer.stage("net", put("net.onnx", b"new"))
    assert (writer.finish(**ABOUT).folder / "net.onnx").read_bytes() == b"new"


def test_a_killed_writer_leaves_stages_to_go_on_from_and_no_bundle(tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from models.bundle_writer import BundleWriter
writer = BundleWriter(Path({str(tmp_path)!r}) / "duet", {{}})
writer.stage("net", lambda folder: (folder / "net.onnx").write_bytes(b"weights"))
writer.stage("more", lambda folder: ((folder / "half").write_bytes(b"x"), os.kill(os.getpid(), signal.SIGKILL)))
"""
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, timeout=30, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert list(find_bundles(tmp_path)) == []
    writer = BundleWriter(tmp_path / "duet", {})
    assert writer.is_done("net")
    assert [one.path for one in writer.finish(**ABOUT).files] == ["net.onnx"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_bundle_that_is_there_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
    if not exchange:
        monkeypatch.setattr(models.bundle_writer, "_exchange", lambda one, other: False)
    write(tmp_path / "duet", b"old", version="old")
    write(tmp_path / "duet", b"new one", version="new")
    assert Bundle.read(tmp_path / "duet").version == "new"
    assert (tmp_path / "duet/parts/net.onnx").read_bytes() == b"new one"
    assert [path.name for path in tmp_path.iterdir()] == ["duet"]


def test_a_reader_sees_either_bundle_while_one_replaces_the_other(tmp_path: Path) -> None:
    write(tmp_path / "duet", version="0")
    if not models.bundle_writer._exchange(tmp_path / "duet", tmp_path / "duet"):
        pytest.skip("this file system cannot exchange two folders")
    seen: set[bool] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.add((tmp_path / "duet").is_dir())

    looking = threading.Thread(target=look)
    looking.start()
    for version in range(20):
        write(tmp_path / "duet", version=str(version))
    stop.set()
    looking.join()
    assert seen == {True}


def test_a_model_that_is_kept_on_another_disk_is_replaced_here(tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere").folder
    (tmp_path / "duet").symlink_to(elsewhere)
    write(tmp_path / "duet", version="new")
    assert Bundle.read(tmp_path / "duet").version == "new"
    assert Bundle.read(elsewhere).version == "1"


def test_too_little_room_is_said_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**12, 0, 3 * 10**9))
    writer = BundleWriter(tmp_path / "duet", {})
    writer.must_have_room(10**9)
    with pytest.raises(BundleError, match=r"takes about 5\.0 GB, for which .* 2\.1 GB too little"):
        writer.must_have_room(5 * 10**9)


def test_a_disk_that_fills_up_meanwhile_is_told_as_it_is(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        BundleWriter(tmp_path / "duet", {}).stage("net", fail)
    assert list(find_bundles(tmp_path)) == []
