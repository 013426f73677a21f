"""The scripts of a fresh clone: what they say where something is missing, and what is locked."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.processes import ROOT

pytestmark = pytest.mark.timeout(180)

LOCKS = ROOT / "scripts" / "locks"
TOOLS = ("cat", "cksum", "cp", "dirname", "grep", "mkdir", "rm", "sed", "tail")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As much of a checkout as the scripts look at before they install something, in a folder with a space."""
    checkout = tmp_path / "a clone"
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    shutil.copyfile(ROOT / "pyproject.toml", checkout / "pyproject.toml")
    return checkout


def path_with(folder: Path, python: str) -> str:
    """A PATH with the tools that the scripts use and a `python3` that is this shell script."""
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (folder / tool).symlink_to(found)
    (folder / "python3").write_text(f"#!/bin/sh\n{python}\n")
    (folder / "python3").chmod(0o755)
    return str(folder)


def run(script: Path, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", script, *args], capture_output=True, text=True, cwd="/", env=environment, timeout=170
    )


def test_a_python_that_is_too_old_is_one_line_with_what_to_install(clone: Path, tmp_path: Path) -> None:
    done = run(clone / "scripts" / "run", PATH=path_with(tmp_path / "bin", "exit 1"))
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.11 or newer is needed: ")
    assert done.stderr.count("\n") == 1


def test_a_python_without_venv_is_one_line_with_what_to_install(clone: Path, tmp_path: Path) -> None:
    done = run(
        clone / "scripts" / "run", PATH=path_with(tmp_path / "bin", 'case "$*" in *ensurepip*) exit 1;; esac; exit 0')
    )
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_extra_that_is_not_there_is_told_with_those_that_are(clone: Path, tmp_path: Path) -> None:
    (clone / ".venv").mkdir()
    (clone / "scripts" / "install").write_text(
        (ROOT / "scripts" / "install").read_text().replace("install_lock core", "")
    )
    done = run(clone / "scripts" / "install", "nonsense")
    assert done.returncode == 1
    extras = " ".join(sorted(lock.stem for lock in (ROOT / "scripts" / "locks").iterdir()))
    assert "openvino" in extras
    assert done.stderr == f"there is no extra 'nonsense'; there are: {extras}\n"


@pytest.mark.parametrize("asks", ["-h", "--help"])
def test_asked_for_help_it_tells_how_it_is_called_and_installs_nothing(clone: Path, tmp_path: Path, asks: str) -> None:
    done = run(clone / "scripts" / "install", asks, PATH=path_with(tmp_path / "bin", "exit 1"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: scripts/install [EXTRA …]")
    assert "sambert" in done.stdout
    assert not (clone / ".venv").exists()


def test_without_an_index_it_ends_with_one_line_and_begins_anew_after_a_kill(clone: Path, tmp_path: Path) -> None:
    # no PATH and no HOME either: an empty environment but for what keeps pip from any index
    closed = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": str(tmp_path)}
    done = run(clone / "scripts" / "install", **closed)
    assert done.returncode == 1
    *said, told = done.stderr.splitlines()
    assert [line.split()[0] for line in said] == ["making", "installing"]
    assert told.startswith("installing scripts/locks/core.txt failed: ERROR: ")
    left_over = clone / ".venv" / "left-over"
    left_over.touch()
    assert "making" not in run(clone / "scripts" / "install", **closed).stderr
    assert left_over.exists()
    (clone / ".venv" / ".unfinished").touch()  # as a killed installation leaves it
    assert "making" in run(clone / "scripts" / "install", **closed).stderr
    assert not left_over.exists()


def requirements(name: str) -> dict[str, str]:
    """What a lock file pins, with versions and markers, each with its hashes."""
    text = (LOCKS / f"{name}.txt").read_text().replace("\\\n", " ")
    pinned = {}
    for line in text.splitlines():
        requirement, *hashes = line.split(" --hash=sha256:")
        assert hashes, line
        assert all(re.fullmatch(r"[0-9a-f]{64}", one.strip()) for one in hashes), line
        pinned[requirement.strip()] = requirement.split("==")[0]
    return pinned


def test_locks_pin_everything_by_hash_and_name_no_registry() -> None:
    for name in ("core", "test"):
        assert requirements(name)
        assert not re.search(r"://|--(extra-)?index|--find-links|@", (LOCKS / f"{name}.txt").read_text())


def test_tests_run_with_the_versions_that_people_run() -> None:
    core, test = requirements("core"), requirements("test")
    versions = [{requirement.split(";")[0].strip() for requirement in pinned} for pinned in (core, test)]
    assert versions[0] <= versions[1]
    assert not {"pytest", "mypy", "ruff", "hypothesis", "openai", "torch", "transformers"} & set(core.values())
