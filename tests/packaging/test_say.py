"""`voxgate say` as a process among others: pipes, files and texts of any length."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.processes import DEADLINE_S, VOXGATE, surroundings, voxgate

pytestmark = pytest.mark.timeout(180)

CONFIGURATION = {
    "gateway": "version: 1\n",
    "engines": "version: 1\nengines:\n  tone: {kind: tone, sample_rate: 8000, beep_ms: 10, gap_ms: 0}\n",
    "voices": "version: 1\ndefault: low\nvoices:\n  low: {languages: [en], engines: {tone: low}}\n",
    "policies": "version: 1\nlast_resort: tone\nrules:\n  - {name: everything, use: [tone]}\n",
}
#: prints the largest memory (KB) that the command after it had
MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


@pytest.fixture
def quick(tmp_path: Path) -> str:
    """A configuration whose engine makes little audio of much text."""
    directory = tmp_path / "quick"
    directory.mkdir()
    for name, text in CONFIGURATION.items():
        (directory / f"{name}.yaml").write_text(text)
    return str(directory)


def one_line(stderr: bytes) -> str:
    (line,) = stderr.decode().splitlines()
    return line


def test_a_long_text_takes_no_more_memory_than_a_short_one(tmp_path: Path, quick: str) -> None:
    def peak_mb(chars: int) -> float:
        text = ("One more sentence. " * (chars // 19)).encode()
        command = [sys.executable, "-c", MEASURE, *VOXGATE, "say", "-", "-o", "-", "--format", "pcm", "--config", quick]
        done = subprocess.run(
            command, input=text, capture_output=True, cwd=tmp_path, env=surroundings(tmp_path), timeout=170
        )
        assert done.returncode == 0, done.stderr.decode()
        return int(done.stdout) / 1024

    # what it makes of the longer text is 36 MB of PCM
    assert peak_mb(100_000) < peak_mb(10_000) + 10


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path, quick: str) -> None:
    command = [*VOXGATE, "say", "one two three. " * 2000, "-o", "-", "--format", "wav", "--config", quick]
    environment = surroundings(tmp_path)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environment
    ) as speaking:
        assert speaking.stdout is not None
        assert speaking.stderr is not None
        assert speaking.stdout.read(4) == b"RIFF"
        speaking.stdout.close()
        assert speaking.wait(DEADLINE_S) != 0
        assert speaking.stderr.read() == b""


@pytest.mark.parametrize("before", [0, 5, 8191, 20_000])
def test_text_that_is_no_utf8_is_told_with_its_place(tmp_path: Path, quick: str, before: int) -> None:
    text = b"a" * before + b"\xff"
    done = voxgate("say", "-", "-o", "x.wav", "--config", quick, home=tmp_path, stdin=text)
    assert done.returncode == 1
    assert one_line(done.stderr).endswith(f"at byte {before}")
    assert not (tmp_path / "x.wav").exists()


def test_a_character_may_be_cut_by_the_pieces_that_are_read(tmp_path: Path, quick: str) -> None:
    text = b"a" * 8190 + "好".encode() * 3
    done = voxgate("say", "-", "-o", "x.wav", "--config", quick, home=tmp_path, stdin=text)
    assert done.returncode == 0, done.stderr


def test_a_closed_stdin_is_one_line(tmp_path: Path, quick: str) -> None:
    shell = ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *VOXGATE, "say", "-", "-o", "x.wav", "--config", quick]
    done = subprocess.run(shell, capture_output=True, cwd=tmp_path, env=surroundings(tmp_path), timeout=DEADLINE_S)
    assert done.returncode == 1
    assert "stdin" in one_line(done.stderr)
    shell[shell.index("-", 5)] = "Hello."
    done = subprocess.run(shell, capture_output=True, cwd=tmp_path, env=surroundings(tmp_path), timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("output", ["nowhere/x.mp3", ".", "/dev/full"])
def test_an_output_that_cannot_be_written_is_one_line(tmp_path: Path, quick: str, output: str) -> None:
    done = voxgate("say", "Hello.", "-o", output, "--config", quick, home=tmp_path)
    assert done.returncode == 1
    assert output in one_line(done.stderr)


def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path, quick: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*VOXGATE, "say", "Hello.", "-o", "-", "--config", quick],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=surroundings(tmp_path),
            timeout=DEADLINE_S,
        )
    assert done.returncode == 1
    assert os.strerror(28) in one_line(done.stderr)


def test_a_closed_stdout_is_one_line(tmp_path: Path, quick: str) -> None:
    shell = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *VOXGATE, "say", "Hello.", "-o", "-", "--config", quick]
    done = subprocess.run(shell, stderr=subprocess.PIPE, cwd=tmp_path, env=surroundings(tmp_path), timeout=DEADLINE_S)
    assert done.returncode == 1
    assert "stdout" in one_line(done.stderr)


def test_nothing_to_say_is_one_line(tmp_path: Path, quick: str) -> None:
    done = voxgate("say", "-", "-o", "x.mp3", "--config", quick, home=tmp_path, stdin=b"")
    assert done.returncode == 1
    assert "nothing to say" in one_line(done.stderr)
    assert not (tmp_path / "x.mp3").exists()


def test_a_name_that_asks_for_another_format_is_told_which_there_are(tmp_path: Path, quick: str) -> None:
    done = voxgate("say", "hello", "-o", "x.xyz", "--config", quick, home=tmp_path)
    assert done.returncode == 2
    assert b"there is no format .xyz; name one with --format: mp3" in done.stderr
    assert not (tmp_path / "x.xyz").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_half_file(tmp_path: Path, quick: str, number: signal.Signals) -> None:
    out = tmp_path / "out"
    out.mkdir()
    command = [*VOXGATE, "say", "-", "-o", str(out / "x.mp3"), "--config", quick]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=tmp_path, env=surroundings(tmp_path)) as process:
        while not list(out.iterdir()):  # bounded by the test's own time limit
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(DEADLINE_S) != 0
    assert list(out.iterdir()) == []
