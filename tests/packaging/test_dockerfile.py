"""The steps of the Dockerfile, run without Docker: paths of the image lead into a temporary directory."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from tests.packaging.processes import ROOT, Gateway, wait_for_no_workers

pytestmark = pytest.mark.timeout(400)

USER = 10001
STEP_S = 300


@dataclass(frozen=True)
class Image:
    """Where the image's files are here, and the steps of its last stage."""

    root: Path
    user: int | None
    last: list[tuple[str, str]]

    def here(self, text: str) -> str:
        return re.sub(r"(?<![\w.])/(opt/voxgate|src|data)\b", rf"{self.root}/\1", text)

    def words(self, instruction: str) -> str:
        """What stands behind the last such instruction."""
        return [rest for name, rest in self.last if name == instruction][-1]

    def variables(self) -> dict[str, str]:
        """ENV of the last stage, with what the base image has."""
        before = {"PATH": os.defpath}
        set_here = dict(word.split("=", 1) for word in shlex.split(self.words("ENV")))
        return {**before, **{name: self.here(value.replace("$PATH", os.defpath)) for name, value in set_here.items()}}


def steps() -> list[tuple[str, str]]:
    text = "\n".join(line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    lines = [line.strip() for line in re.sub(r"\\\n", "", text).splitlines()]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines if line)]


def copy_context(target: Path) -> None:
    """`COPY . .`: what git tracks or would, without what .dockerignore names. Nothing of .venv is ever looked at."""
    ignored = [line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line]

    def left_out(directory: str, names: list[str]) -> set[str]:
        return {name for name in names if any(fnmatch(name, pattern) for pattern in ignored)}

    shutil.copytree(ROOT, target, ignore=left_out, dirs_exist_ok=True)


@cache
def interpreter() -> tuple[str, int | None]:
    """A Python, and the user to run the image as: another one than root, if this is root and some Python lets it in."""
    if os.geteuid() != 0:
        return sys.executable, None
    needed = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    for candidate in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        with suppress(OSError):
            if subprocess.run([candidate, "-c", needed], user=USER, cwd="/", capture_output=True).returncode == 0:
                return candidate, USER
    return sys.executable, None


def run_step(command: str, image: Image) -> None:
    """A RUN of the build stage, with a Python that the user of the image may run too."""
    (image.root / "bin").mkdir(exist_ok=True)
    python = image.root / "bin" / "python"
    if not python.exists():
        python.symlink_to(interpreter()[0])
    variables = {"PATH": f"{image.root / 'bin'}:{os.defpath}", "HOME": str(image.root)}
    done = subprocess.run(
        ["/bin/sh", "-c", image.here(command)],
        capture_output=True,
        text=True,
        cwd=image.root / "src",
        env={**pip_settings(), **variables},
        timeout=STEP_S,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def pip_settings() -> Mapping[str, str]:
    """How pip reaches an index on this machine."""
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_")}


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The build stage, run in order. Fetches the locked versions, as `docker build` does."""
    with tempfile.TemporaryDirectory(prefix="voxgate-image-") as name:  # pytest's own are closed to other users
        Path(name).chmod(0o755)
        yield build(Path(name))


def build(root: Path) -> Image:
    both = steps()
    starts = [number for number, (name, _) in enumerate(both) if name == "FROM"]
    image = Image(root, interpreter()[1], both[starts[-1] :])
    for name in ("src", "opt", "data"):
        (root / name).mkdir()
    for name, rest in both[: starts[-1]]:
        if name == "COPY" and rest == ". .":
            copy_context(root / "src")
        elif name == "COPY":
            source, target = rest.split()
            shutil.copytree(ROOT / source, root / "src" / target)
        elif name == "RUN":
            run_step(rest, image)
        else:
            assert name in ("FROM", "WORKDIR"), f"the test does not know {name}"
    shutil.rmtree(root / "src")  # the last stage does not have it
    if image.user is not None:
        os.chown(root / "data", image.user, image.user)
    return image


def test_the_image_is_not_run_by_root_and_stays_small(image: Image) -> None:
    assert image.words("USER") == str(USER)
    files = [path for path in (image.root / "opt").rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < 1_000_000_000  # 1.2 GB less the base image


def test_what_builds_and_tests_is_not_in_the_image(image: Image) -> None:
    (site,) = (image.root / "opt" / "voxgate" / "lib").glob("python3*/site-packages")
    assert (site / "gateway" / "shipped" / "gateway.yaml").is_file()
    assert not [name for name in ("hatchling", "editables", "pytest", "mypy", "tests") if (site / name).exists()]


def test_the_image_can_ask_clouds_and_other_speech_servers(image: Image) -> None:
    said = subprocess.run(
        [image.root / "opt" / "voxgate" / "bin" / "voxgate", "engines", "list", "--json"],
        capture_output=True,
        text=True,
        cwd="/",
        env={**image.variables(), "DASHSCOPE_API_KEY": "sk-of-a-test"},
        timeout=60,
    )
    states = {engine["name"]: engine["state"] for engine in json.loads(said.stdout)["engines"]}
    assert states["sambert"] == "configured"


def test_the_last_stage_serves_as_another_user_and_its_health_check_tells(image: Image, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    variables = {**image.variables(), "VOXGATE_AUTH": "none", "VOXGATE_LISTEN__PORT": port}
    entry, arguments = json.loads(image.words("ENTRYPOINT")), json.loads(image.words("CMD"))
    entry[0] = str(image.root / "opt" / "voxgate" / "bin" / entry[0])
    health = json.loads(image.words("HEALTHCHECK").split("CMD", 1)[1])
    health[0] = str(image.root / "opt" / "voxgate" / "bin" / health[0])
    health[-1] = health[-1].replace(":8080", f":{port}")

    def check() -> int:
        return subprocess.run(health, cwd="/", env=variables, user=image.user, stderr=subprocess.DEVNULL).returncode

    assert check() != 0
    home = image.root / "data"
    with Gateway(
        home=home, command=[*entry, *arguments], environment=variables, user=image.user, url=f"http://127.0.0.1:{port}"
    ) as gateway:
        assert "listens on http://0.0.0.0:" in gateway.log
        assert check() == 0
        assert len(gateway.speech("你好。Hello.").read()) > 4000
        assert gateway.stop() == 0, gateway.log
    wait_for_no_workers(home)


def test_without_a_word_about_keys_the_container_ends_with_advice(image: Image) -> None:
    entry = image.root / "opt" / "voxgate" / "bin" / "voxgate"
    done = subprocess.run([entry, "serve"], capture_output=True, text=True, cwd="/", env=image.variables(), timeout=60)
    assert done.returncode == 1
    assert "VOXGATE_AUTH=none" in done.stderr
