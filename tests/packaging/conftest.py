"""The wheel, built from this checkout and installed into an environment that does not know the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.processes import ROOT

BUILD_S = 170


@dataclass(frozen=True)
class Installed:
    """A virtual environment with voxgate in it, and the wheel that it came from."""

    bin: Path
    wheel: Path


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    here = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(here), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, cwd=here, timeout=BUILD_S)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = here.glob("*.whl")
    venv.create(here / "venv", symlinks=True)
    site = sysconfig.get_path("purelib", "venv", {"base": str(here / "venv")})
    # What the wheel depends on is lent. A folder that a .pth file names is searched after this environment's own, and
    # .pth files in it are not read: an editable installation of this checkout stays unknown.
    lent = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    Path(site, "lent.pth").write_text("".join(f"{path}\n" for path in lent))
    python = str(here / "venv" / "bin" / "python")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps"]
    done = subprocess.run(
        [*install, "--ignore-installed", str(wheel)], capture_output=True, text=True, cwd=here, timeout=BUILD_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Installed(here / "venv" / "bin", wheel)
