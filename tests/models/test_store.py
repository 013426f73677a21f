"""The models of a data directory: what is whole, what may go, and who keeps others out meanwhile."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.room import taken_bytes, told_bytes
from models.store import Store, StoreError, clear_away, readers_of
from tests.models.test_bundle import make

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def names(store: Store) -> list[str]:
    return [str(one.path.relative_to(store.folder)) for one in store.leftovers()]


def write(file: Path, size: int = 10) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(size))
    return file


def test_an_empty_place_holds_nothing(store: Store) -> None:
    assert store.kept() == []
    assert store.leftovers() == []
    assert store.look("duet").state == "no bundle"
    assert not store.folder.exists()


def test_bundles_are_told_with_their_state(store: Store) -> None:
    make(store.bundle("whole"))
    (make(store.bundle("damaged")) / "net.onnx").unlink()
    write(store.bundle("weights") / "gpt.pth")
    states = {one.name: (one.state, one.version) for one in store.kept()}
    assert states == {"whole": ("whole", "1"), "damaged": ("damaged", ""), "weights": ("no bundle", "")}
    assert "net.onnx is missing" in store.look("damaged").problem


def test_a_bundle_that_this_version_does_not_read_is_told_with_what_mends_it(store: Store) -> None:
    make(store.bundle("duet"), format=2)
    assert store.look("duet").state == store.look("duet", 2).state == "whole"
    older = store.look("duet", 3)
    assert (older.state, older.version) == ("other format", "1")
    assert "voxgate models pull duet" in older.problem


def test_what_is_not_finished_is_counted(store: Store) -> None:
    write(store.folder / ".duet.unfinished" / "net.onnx", 7)
    write(store.download("duet") / "a" / "gpt.pth.part", 20)
    write(store.download("duet") / "gpt.pth", 300)
    duet = store.look("duet")
    assert (duet.size_bytes, duet.unfinished_bytes, duet.download_bytes, duet.part_bytes) == (0, 7, 320, 20)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/etc", "a\0b"])
def test_a_name_never_leads_out_of_the_folder(store: Store, name: str) -> None:
    for ask in (store.bundle, store.download, store.remove):
        with pytest.raises(StoreError, match="is no name of a model"):
            ask(name)


def test_what_nothing_reads_is_left_over(store: Store) -> None:
    make(store.bundle("whole"))
    write(store.download("whole") / "gpt.pth", 100)
    write(store.folder / ".whole.replaced" / "net.onnx", 30)
    write(store.folder / ".other.unfinished" / "net.onnx")
    write(store.download("other") / "deep" / "gpt.pth.part")
    write(store.download("other") / "deep" / "gpt.pth.part.json")
    kept = write(store.download("other") / "s2mel.pth")
    own = write(store.bundle("weights") / "gpt.pth")
    assert names(store) == [
        ".other.unfinished",
        ".whole.replaced",
        ".downloads/other/deep/gpt.pth.part",
        ".downloads/other/deep/gpt.pth.part.json",
        ".downloads/whole",
    ]
    assert [one.size_bytes for one in store.leftovers()] == [10, 30, 10, 10, 100]
    for one in store.leftovers():
        clear_away(one)
    assert store.leftovers() == []
    assert kept.exists()
    assert own.exists()
    assert store.look("whole").state == "whole"


def test_what_was_half_removed_is_left_over(store: Store) -> None:
    write(store.folder / ".gone-duet-1" / "net.onnx")
    write(store.folder / ".downloads" / ".gone-duet-1" / "gpt.pth")
    assert names(store) == [".gone-duet-1", ".downloads/.gone-duet-1"]


def test_all_of_a_model_is_removed_and_nothing_else(store: Store) -> None:
    make(store.bundle("duet"))
    write(store.folder / ".duet.unfinished" / "net.onnx")
    write(store.download("duet") / "gpt.pth")
    make(store.bundle("duets"))
    write(store.folder / ".duets.unfinished" / "net.onnx")
    assert [one.what for one in store.remove("duet")] == ["bundle", "unfinished bundle", "download"]
    assert sorted(one.name for one in store.folder.iterdir()) == [".downloads", ".duets.unfinished", "duets"]
    assert store.remove("duet") == []


def test_a_bundle_that_was_only_half_removed_does_not_look_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make(store.bundle("duet"))

    def stopped(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("models.store.shutil.rmtree", stopped)
        with pytest.raises(KeyboardInterrupt):
            store.remove("duet")
    assert store.kept() == []
    for one in store.leftovers():
        clear_away(one)
    assert list(store.folder.iterdir()) == []


def test_a_link_is_removed_and_not_what_it_leads_to(store: Store, tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "elsewhere")
    store.folder.mkdir()
    store.bundle("duet").symlink_to(elsewhere)
    assert store.look("duet").state == "whole"
    store.remove("duet")
    assert not store.bundle("duet").is_symlink()
    assert (elsewhere / "net.onnx").exists()


def test_two_do_not_work_on_one_model(store: Store) -> None:
    with store.working("duet"):
        with store.working("other"):
            pass
        with (
            pytest.raises(StoreError, match="duet is being pulled, exported or removed already"),
            store.working("duet"),
        ):
            pass
        with pytest.raises(StoreError, match="prune when that has ended"), store.alone():
            pass
    with store.alone(), pytest.raises(StoreError, match="being pruned"), store.working("duet"):
        pass
    with store.working("duet"):
        pass


def test_a_killed_process_holds_no_lock(store: Store) -> None:
    code = f"""
import time
from pathlib import Path
from models.store import Store
with Store(Path({str(store.folder)!r})).working("duet"):
    print("holds it", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StoreError), store.working("duet"):
            pass
        process.kill()
    with store.working("duet"):
        pass


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system has no /proc to tell who reads what")
def test_processes_that_read_a_bundle_are_found(store: Store) -> None:
    folder = make(store.bundle("duet"))
    assert readers_of(folder) == []
    with (folder / "net.onnx").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
        assert [process for process, _ in readers_of(folder)] == [os.getpid()]
        assert readers_of(store.folder / "due") == []
        store.remove("duet")
        assert pages[:] == b"weights"


def test_sizes_are_told_as_disks_are_sold() -> None:
    told = [told_bytes(count) for count in (0, 999, 1000, 1_530_000, 123_400_000, 8_100_000_000, 5e12)]
    assert told == ["0 bytes", "999 bytes", "1.0 kB", "1.5 MB", "123 MB", "8.1 GB", "5000 GB"]


def test_links_take_no_more_than_themselves(tmp_path: Path) -> None:
    big = write(tmp_path / "big", 5000)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(big)
    assert taken_bytes(tmp_path / "folder") < 1000
    assert taken_bytes(tmp_path / "nothing") == 0
