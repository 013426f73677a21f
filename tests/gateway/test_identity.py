from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.identity import NAME, own_name


def test_processes_of_one_machine_that_share_a_data_dir_have_one_name(tmp_path: Path) -> None:
    code = "import pathlib, sys; from gateway.identity import own_name; print(own_name(pathlib.Path(sys.argv[1])))"
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    theirs = [
        subprocess.run([sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True, check=True).stdout
        for name in ("data", "link")
    ]
    assert {one.strip() for one in theirs} == {own_name(tmp_path / "data")}


def test_it_tells_nothing_and_differs_between_folders_and_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "secret-host")
    here, beside = own_name(tmp_path / "data"), own_name(tmp_path / "others")
    monkeypatch.setattr("gateway.identity._BOOT", tmp_path / "boot_id")  # there is none
    unbooted = own_name(tmp_path / "data")
    (tmp_path / "boot_id").write_text("a twin of this machine")
    assert len({here, beside, unbooted, own_name(tmp_path / "data")}) == 4
    assert NAME.fullmatch(here)
    assert "secret" not in here
