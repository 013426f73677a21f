"""A fresh environment with voxgate and plugins installed in it by pip, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CHIME = ROOT / "docs" / "examples" / "voxgate-chime"


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and an empty directory to run its programs in."""

    path: Path
    empty: Path

    def run(self, program: str, *args: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs, knowing nothing of this checkout or of the caller's environment."""
        variables = {"PATH": os.defpath, "HOME": str(self.empty), "LANG": "C.UTF-8", "VOXGATE_DATA": str(self.empty)}
        command = [str(self.path / "bin" / program), *args]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.empty, env=variables, timeout=170)

    def install(self, source: Path) -> None:
        """What `pip install SOURCE` does there; what it depends on is there already."""
        alone = ["--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed", "--no-cache-dir"]
        pip = [sys.executable, "-m", "pip", "--python", str(self.path / "bin" / "python"), "install", "--quiet", *alone]
        done = subprocess.run([*pip, str(source)], capture_output=True, text=True, timeout=170)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """voxgate and the example plugin, installed. Their dependencies are lent by the environment of the tests."""
    here = tmp_path_factory.mktemp("fresh")
    environment = Environment(here / "venv", here / "empty")
    environment.empty.mkdir()
    venv.create(environment.path, symlinks=True)
    site = sysconfig.get_path("purelib", "venv", {"base": str(environment.path)})
    # A line of a .pth file is appended to sys.path, behind what is installed here; .pth files there are not read, so
    # that an editable installation of this checkout is not seen.
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(site, "lent.pth").write_text("".join(f"{path}\n" for path in sorted(lent)))
    environment.install(ROOT)
    environment.install(CHIME)
    return environment
