"""`voxgate engines new` writes a package that keeps the contract at once; `engines test` runs the kit on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugins.conftest import Environment

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parent.parent.parent


def voxgate(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "gateway", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=170)


def refused(*args: str, cwd: Path) -> str:
    """The one line that a failing command says."""
    done = voxgate(*args, cwd=cwd)
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("new")
    done = voxgate("engines", "new", "my-voice", "--dir", "a/b", cwd=where)
    assert done.returncode == 0, done.stderr
    return where / "a" / "b" / "voxgate-my-voice"


def test_a_new_package_passes_its_own_tests_at_once(written: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=written, env=environment, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_the_kit_runs_on_a_module_of_the_current_directory(written: Path) -> None:
    done = voxgate("engines", "test", "voxgate_my_voice:my-voice", "--options", '{"pitch_hz": 330}', cwd=written)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_package_can_be_installed_and_is_found(written: Path, fresh: Environment) -> None:
    fresh.install(written)
    listed = json.loads(fresh.run("voxgate", "engines", "list", "--json").stdout)
    assert "voxgate-my-voice 0.1.0" in {kind["source"] for kind in listed["kinds"] if kind["kind"] == "my-voice"}


def test_a_new_package_has_what_a_package_needs(written: Path) -> None:
    project = tomllib.loads((written / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["voxgate.engines"] == {"my-voice": "voxgate_my_voice"}
    assert project["license"]
    assert "my-voice" in (written / project["readme"]).read_text()
    files = [file for file in written.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    rest = [file for file in files if "$" in file.read_text()]
    assert not rest, "a placeholder was left"


def test_a_new_package_pleases_a_linter(written: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--select",
        "E,F,I,UP,B,ASYNC,PT",
        "--line-length",
        "120",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=written)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["Bad", "my_voice", "-x", "9lives", "a--b", "../up", "", "x" * 41, "tone", "fault"])
def test_a_bad_name_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    assert repr(name) in refused("engines", "new", "--", name, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "voxgate-mine").mkdir()
    assert "voxgate-mine is there already" in refused("engines", "new", "mine", cwd=tmp_path)
    assert list((tmp_path / "voxgate-mine").iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "file" in refused("engines", "new", "mine", "--dir", "file", cwd=tmp_path)


BROKEN = """
from engines.contract import EngineKind, Options
from engines.tone import ToneEngine, ToneOptions
class Silent(ToneEngine):
    async def synthesize(self, request):
        return
        yield
def engine_kinds():
    return [EngineKind("silent", ToneOptions, Silent, "says nothing", "MIT")]
"""


def test_the_kits_verdict_is_the_exit_status(tmp_path: Path) -> None:
    (tmp_path / "silent.py").write_text(BROKEN)
    done = voxgate("engines", "test", "silent:silent", cwd=tmp_path)
    assert done.returncode == 1
    assert "test_speech_has_at_least_one_chunk_that_is_not_empty" in done.stdout


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["silent"], "MODULE:KIND"),
        (["nowhere:silent"], "No module named 'nowhere'"),
        (["silent:loud"], "it offers: silent"),
        (["json:silent"], "no hook `engine_kinds`"),
        (["silent:silent", "--options", "{"], "no JSON"),
        (["silent:silent", "--options", '{"beep_ms": 1}'], "beep_ms"),
    ],
)
def test_what_the_kit_cannot_run_on_is_told_in_one_line(tmp_path: Path, args: list[str], told: str) -> None:
    (tmp_path / "silent.py").write_text(BROKEN)
    assert told in refused("engines", "test", *args, cwd=tmp_path)


def test_without_pytest_the_kit_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "silent.py").write_text(BROKEN)
    without = "import sys; sys.modules['pytest'] = None; from gateway.cli import main; main()"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", without, "engines", "test", "silent:silent"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=170)
    assert done.returncode == 1
    assert f"{sys.executable} -m pip install pytest" in done.stderr  # what `pip` is on the PATH may be another's
    assert len(done.stderr.splitlines()) == 1


def test_the_example_keeps_its_own_tests() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider"]
    example = ROOT / "docs" / "examples" / "voxgate-chime"
    done = subprocess.run(command, capture_output=True, text=True, cwd=example, env=environment, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
