"""Files by which several processes give one answer; with real processes that really end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.telemetry.processes import VARIABLE, Sample, Siblings, shared_folder

#: writes two samples as a process of its own, says that it has, and lives until its stdin ends
WRITER = """
import sys
from pathlib import Path
from gateway.telemetry.processes import Sample, Siblings
Siblings(Path(sys.argv[1])).write([Sample("grows", {"of": "x"}, 2.0), Sample("stands", {}, 7.0)])
print("written", flush=True)
sys.stdin.read()
"""


class Writer:
    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"written\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path)
    yield writer
    writer.kill()


def grown(siblings: Siblings) -> list[float]:
    return [sample.value for part in siblings.read() for sample in part.samples if sample.name == "grows"]


def test_a_process_reads_what_others_wrote_and_not_its_own(tmp_path: Path, writer: Writer) -> None:
    ours = Siblings(tmp_path)
    ours.write([Sample("grows", {"of": "x"}, 40.0)])
    (part,) = ours.read()
    assert part.lives
    assert part.age_s >= 0
    assert part.samples == [Sample("grows", {"of": "x"}, 2.0), Sample("stands", {}, 7.0)]


def test_what_a_killed_process_counted_stays_and_it_is_known_to_be_dead(tmp_path: Path, writer: Writer) -> None:
    writer.kill()
    (part,) = Siblings(tmp_path).read()
    assert not part.lives
    assert grown(Siblings(tmp_path)) == [2.0]


def test_the_dead_are_summed_up_in_one_file_and_the_living_are_left(tmp_path: Path, writer: Writer) -> None:
    for _ in range(2):
        Writer(tmp_path).kill()
    ours = Siblings(tmp_path)
    ours.bury(["grows"])
    assert sorted(grown(ours)) == [2.0, 4.0]
    assert len(list(tmp_path.glob("*.json"))) == 2
    Writer(tmp_path).kill()
    ours.bury(["grows"])
    assert sorted(grown(ours)) == [2.0, 6.0]
    stands = [sample for part in ours.read() for sample in part.samples if sample.name == "stands" and not part.lives]
    assert stands == []


def test_the_folder_is_for_this_user_only_and_removed_at_the_end(tmp_path: Path) -> None:
    with shared_folder(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_a_gateway_of_one_process_has_no_siblings(tmp_path: Path) -> None:
    assert Siblings.of({}) is None
    assert Siblings.of({VARIABLE: str(tmp_path)}) is not None


def test_folders_of_gateways_that_were_killed_are_removed_and_others_are_not(tmp_path: Path) -> None:
    left = tmp_path / "metrics-killed"
    left.mkdir()
    (left / "owner").touch()
    with shared_folder(tmp_path) as first, shared_folder(tmp_path) as second:
        assert not left.exists()
        assert first.exists()
        assert second.exists()
