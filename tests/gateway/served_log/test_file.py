"""A file that several processes append whole lines to: nothing is lost or cut by rotation, logrotate or a full disk."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.served_log.file import LogFile

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "served.jsonl"


def test_it_is_for_its_owner_alone(path: Path) -> None:
    LogFile(path, 1000, 1).append(b"a\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_would_grow_too_large_is_kept_under_a_number_and_the_oldest_goes(path: Path) -> None:
    log = LogFile(path, max_bytes=4, keep=2)
    for line in (b"1\n2\n", b"3\n4\n", b"5\n", b"6\n", b"7\n8\n"):
        log.append(line)
    assert path.read_bytes() == b"7\n8\n"
    assert path.with_name("served.jsonl.1").read_bytes() == b"5\n6\n"
    assert path.with_name("served.jsonl.2").read_bytes() == b"3\n4\n"
    assert len(list(path.parent.iterdir())) == 3


def test_with_nothing_to_keep_it_begins_anew(path: Path) -> None:
    log = LogFile(path, max_bytes=4, keep=0)
    log.append(b"1\n2\n")
    log.append(b"3\n")
    assert [one.read_bytes() for one in path.parent.iterdir()] == [b"3\n"]


def test_lines_larger_than_a_file_may_be_are_written_all_the_same(path: Path) -> None:
    log = LogFile(path, max_bytes=4, keep=1)
    log.append(b"123456789\n")
    log.append(b"2\n")
    assert path.with_name("served.jsonl.1").read_bytes() == b"123456789\n"


@pytest.mark.parametrize("how", ["renamed", "removed", "emptied"])
def test_what_others_do_to_the_file_is_noticed(path: Path, how: str) -> None:
    """As logrotate does, with `create` and with `copytruncate`."""
    log = LogFile(path, 1000, 1)
    log.append(b"1\n")
    if how == "renamed":
        path.rename(path.with_name("old"))
    elif how == "removed":
        path.unlink()
    else:
        os.truncate(path, 0)
    log.append(b"2\n")
    assert path.read_bytes() == b"2\n"


def test_the_line_after_one_that_a_crash_has_cut_stands_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"whole\nhal")
    LogFile(path, 1000, 1).append(b"next\n")
    assert path.read_bytes() == b"whole\nhal\nnext\n"


FULL = """
import resource, sys
from pathlib import Path
from gateway.served_log.file import LogFile
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
log = LogFile(Path(sys.argv[1]), 1000, 1)
for lines in (b"12345678\\n", b"123\\n", b"\\n", b"123\\n"):
    try:
        log.append(lines)
        print("written")
    except OSError as error:
        print(error.strerror)
"""


def test_what_there_is_room_for_only_in_part_is_taken_back(path: Path) -> None:
    """No file of that process may grow beyond 10 bytes."""
    command = [sys.executable, "-c", FULL, str(path)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=40).stdout
    assert told.splitlines() == ["written", "no room for all of it", "written", "File too large"]
    assert path.read_bytes() == b"12345678\n\n"


WRITER = """
import sys
from pathlib import Path
from gateway.served_log.file import LogFile
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
log = LogFile(path, max_bytes=2000, keep=1000)
print("ready", flush=True)
sys.stdin.readline()
for number in range(0, count, 4):
    log.append(b"".join(b"%s %d %s\\n" % (name.encode(), one, b"." * (one % 50)) for one in range(number, number + 4)))
"""


def test_several_processes_lose_and_cut_no_line_while_they_rotate(path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [
        subprocess.Popen([*command, name, "2000"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in ("a", "b", "c")
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=40)
        assert writer.returncode == 0
    files = list(path.parent.iterdir())
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    expected = [b"%s %d %s" % (name, one, b"." * (one % 50)) for name in (b"a", b"b", b"c") for one in range(2000)]
    assert sorted(lines) == sorted(expected)
    assert len(files) > 50
    assert max(file.stat().st_size for file in files) <= 2000
    # each one's lines are in order, from the oldest file to the newest
    ages = sorted(files, key=lambda file: -int(file.suffix[1:]) if file.suffix[1:].isdigit() else 0)
    in_order = [line for file in ages for line in file.read_bytes().splitlines() if line.startswith(b"a ")]
    assert [int(line.split()[1]) for line in in_order] == list(range(2000))
