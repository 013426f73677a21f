"""The wheel holds what it must, and speaks in an empty directory that knows nothing of this checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path
from zipfile import ZipFile

import av
import pytest

from tests.packaging.conftest import Installed
from tests.packaging.processes import DEADLINE_S, ROOT, Gateway, wait_for_no_workers

pytestmark = pytest.mark.timeout(300)


def clean(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "LANG": "C.UTF-8", "VOXGATE_DATA": str(home / "data")}


def run(installed: Installed, home: Path, *args: str) -> str:
    done = subprocess.run(
        [installed.bin / "voxgate", *args],
        capture_output=True,
        text=True,
        cwd=home,
        env=clean(home),
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def duration_s(clip: Path) -> float:
    with av.open(str(clip)) as opened:
        return sum(frame.samples / frame.sample_rate for frame in opened.decode(audio=0))


def test_the_wheel_holds_code_configuration_data_and_licences_and_no_tests(installed: Installed) -> None:
    with ZipFile(installed.wheel) as wheel:
        names = set(wheel.namelist())
    packages = ("gateway", "engines", "policies", "models")
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *packages],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if tracked.returncode == 0:  # an unpacked archive has no git to ask
        there = {name for name in tracked.stdout.splitlines() if (ROOT / name).is_file()}
        assert there <= names
    assert {f"{package}/py.typed" for package in packages} <= names
    config = {path.relative_to(ROOT / "config") for path in (ROOT / "config").rglob("*") if path.is_file()}
    assert len(config) >= 8
    assert {f"gateway/shipped/{path.as_posix()}" for path in config} <= names
    beside = {name for name in names if name.split("/")[0] not in packages}
    (metadata,) = {name.split("/")[0] for name in beside}
    assert {f"{metadata}/licenses/LICENSE", f"{metadata}/licenses/NOTICE", f"{metadata}/entry_points.txt"} <= beside
    assert not [name for name in names if "__pycache__" in name or name.split("/")[0] == "tests"]


def test_the_checkout_is_not_what_is_tested_here(installed: Installed, tmp_path: Path) -> None:
    told = "import engines, gateway, models; print(engines.__file__, gateway.__file__, models.__file__)"
    done = subprocess.run(
        [installed.bin / "python", "-c", told],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=clean(tmp_path),
        check=True,
    )
    assert all(path.startswith(str(installed.bin.parent)) for path in done.stdout.split())


def test_commands_work_in_an_empty_directory(installed: Installed, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "--version").startswith("voxgate, version ")
    assert "configuration OK" in run(installed, tmp_path, "check")
    run(installed, tmp_path, "say", "你好 hello", "-o", "x.mp3")
    assert duration_s(tmp_path / "x.mp3") > 0.5
    run(installed, tmp_path, "init", "mine")
    assert (tmp_path / "mine" / "schema" / "engines.json").is_file()
    assert "configuration OK" in run(installed, tmp_path, "check", "--config", "mine")
    run(installed, tmp_path, "engines", "new", "brass")
    assert "espeak" in run(installed, tmp_path, "engines", "list")


def test_it_serves_and_ends_with_status_0(installed: Installed, tmp_path: Path) -> None:
    command = [str(installed.bin / "voxgate"), "serve", "--port", "0"]
    with Gateway(home=tmp_path, command=command, environment=clean(tmp_path)) as gateway:
        (tmp_path / "x.mp3").write_bytes(gateway.speech("你好。Hello.").read())
        assert duration_s(tmp_path / "x.mp3") > 0.5
        assert gateway.get("/docs").status == 200
        assert gateway.stop() == 0, gateway.log
    wait_for_no_workers(tmp_path / "data")
