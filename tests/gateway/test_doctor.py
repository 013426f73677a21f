"""The doctor: each failure that people meet has the line that finds it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.configuration.load import shipped_directory
from tests.redis_at_hand import RedisServer, free_port

Doctor = Callable[..., tuple[int, str]]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Runs `voxgate doctor` with a free port and a fresh data directory; gives status and what was printed."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def run(*arguments: str, **variables: str) -> tuple[int, str]:
        environment = {
            "PATH": os.environ["PATH"],
            "VOXGATE_DATA": str(tmp_path / "data"),
            "VOXGATE_CONFIG": str(shipped_directory()),
            "VOXGATE_LISTEN__PORT": str(port),
        }
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "doctor", *arguments],
            env=environment | variables,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_good_installation_has_no_problem(doctor: Doctor) -> None:
    status, said = doctor()
    assert (status, "PROBLEM" in said) == (0, False)
    for subject in ("python", "libraries", "data", "port", "engines: espeak"):
        assert f"ok      {subject}" in said


def test_it_can_be_read_by_a_program(doctor: Doctor) -> None:
    status, said = doctor("--json")
    findings = json.loads(said)
    assert status == 0
    assert {"subject": "redis", "level": "ok", "message": "none configured", "advice": ""} in findings


def test_a_taken_port_is_found_with_its_holder(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        _, said = doctor(VOXGATE_LISTEN__PORT=str(taken.getsockname()[1]))
    assert "Address already in use by " in said
    assert "choose another with --port" in said


@pytest.mark.parametrize("library", ["soundfile", "av", "soxr"])
def test_a_library_that_cannot_be_loaded_is_found(doctor: Doctor, tmp_path: Path, library: str) -> None:
    shadow = tmp_path / "broken"
    shadow.mkdir()
    (shadow / f"{library}.py").write_text("raise OSError('sndfile library not found')")
    status, said = doctor(PYTHONPATH=str(shadow))
    assert status == 1
    assert f"PROBLEM libraries: {library} cannot be loaded (sndfile library not found)" in said


def test_a_package_of_our_name_from_elsewhere_is_found(doctor: Doctor, tmp_path: Path) -> None:
    info = tmp_path / "site" / "other-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("models\n")
    (info / "RECORD").write_text("models/__init__.py,,\n")
    status, said = doctor(PYTHONPATH=str(tmp_path / "site"))
    assert status == 1
    assert "'models' is also installed by other" in said


def test_a_data_folder_that_cannot_be_made_is_found(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    status, said = doctor(VOXGATE_DATA=str(tmp_path / "file" / "data"))
    assert status == 1
    assert "PROBLEM data: " in said
    assert "cannot be written; name another" in said


def test_an_empty_model_folder_is_told_and_an_unfinished_bundle_is_a_problem(doctor: Doctor, tmp_path: Path) -> None:
    status, said = doctor()
    assert status == 0
    assert "models is empty: engines that need a model are not installed" in said
    (tmp_path / "data" / "models" / "half").mkdir(parents=True)
    status, said = doctor()
    assert status == 1
    assert "PROBLEM models: " in said


def test_a_model_folder_that_cannot_be_read_is_found(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "models").write_text("no folder")
    status, said = doctor()
    assert status == 1
    assert "models cannot be read" in said


def test_errors_of_the_configuration_are_told_with_their_lines(doctor: Doctor, tmp_path: Path) -> None:
    config = shutil.copytree(shipped_directory(), tmp_path / "config")
    (config / "policies.yaml").write_text("version: 1\nrules:\n  - {name: x, use: [nobody]}\n")
    status, said = doctor("--config", str(config))
    assert status == 1
    assert "policies.yaml:3:" in said
    assert "nobody" in said


def test_a_missing_engine_library_is_told_with_the_command_that_mends_it(doctor: Doctor, tmp_path: Path) -> None:
    # an espeakng_loader that cannot be found, as in an installation without it
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "def hide(name, path=None, target=None):\n"
        "    return None if name == 'espeakng_loader' else find(name, path, target)\n"
        "PathFinder.find_spec = hide\n"
    )
    _, said = doctor(PYTHONPATH=str(tmp_path))
    assert "espeakng-loader" in said


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("", "DASHSCOPE_API_KEY is not set"),
        ("LTAI0123456789", "holds the ID of an AccessKey pair"),
    ],
)
def test_a_key_that_is_missing_or_none_is_told_once(doctor: Doctor, key: str, told: str) -> None:
    _, said = doctor(DASHSCOPE_API_KEY=key)
    (line,) = [line for line in said.splitlines() if "DASHSCOPE_API_KEY" in line]
    assert told in line
    assert line.startswith("note    engines: sambert is not configured")


def test_a_key_that_may_be_one_is_said_to_be_set(doctor: Doctor) -> None:
    _, said = doctor(DASHSCOPE_API_KEY="sk-very-secret")
    assert "ok      credentials: engine sambert: DASHSCOPE_API_KEY is set" in said


@pytest.mark.parametrize(
    ("variables", "keys", "line"),
    [
        ({}, None, "ok      keys: there is none: only programs on this machine may speak; others may"),
        ({"VOXGATE_AUTH": "none"}, None, "note    keys: none is needed (auth: none): whoever reaches the port"),
        ({"VOXGATE_AUTH": "keys"}, None, "PROBLEM keys: there is none: nobody may speak; `voxgate keys add NAME`"),
        ({}, "{a: {expires: 2020-01-01, sha256: %s}}", "PROBLEM keys: 1 expired: nobody may speak"),
        ({}, "{a: {sha256: %s}, b: {sha256: %s, revoked: 2020-01-01}}", "ok      keys: 1 active, 1 revoked"),
    ],
)
def test_whom_the_gateway_lets_in_is_told(
    doctor: Doctor, tmp_path: Path, variables: dict[str, str], keys: str | None, line: str
) -> None:
    directory = tmp_path / "own"
    shutil.copytree(shipped_directory(), directory)
    if keys is not None:
        hashes = tuple("abcdef"[number] * 64 for number in range(keys.count("%s")))
        (directory / "keys.yaml").write_text(f"version: 1\nkeys: {keys % hashes}\n")
    status, said = doctor("--config", str(directory), **variables)
    assert line in said
    assert status == line.startswith("PROBLEM")
    assert "a" * 64 not in said


def test_a_redis_that_is_there_is_told_with_its_version(doctor: Doctor, shared_redis: RedisServer) -> None:
    status, said = doctor(VOXGATE_REDIS__URL=shared_redis.url)
    assert status == 0
    assert re.search(r"ok      redis: version \d+\.\d+\.\d+, answers in \d+\.\d ms", said)


def test_a_redis_that_is_not_there_is_a_problem(doctor: Doctor) -> None:
    status, said = doctor(VOXGATE_REDIS__URL=f"redis://127.0.0.1:{free_port()}")
    assert status == 1
    assert "PROBLEM redis: it cannot be reached" in said
    assert "Connection refused" in said


def test_a_wrong_password_of_redis_is_a_problem_and_is_not_printed(
    doctor: Doctor, make_redis: Callable[..., RedisServer]
) -> None:
    server = make_redis("requirepass right-and-secret")
    given = {"VOXGATE_REDIS__URL": server.url, "VOXGATE_REDIS__PASSWORD_ENV": "REDIS_PASSWORD"}
    status, said = doctor(**given, REDIS_PASSWORD="wrong-and-secret")
    assert status == 1
    assert "PROBLEM redis: it wants a password, or refuses this one" in said
    assert "and-secret" not in said
    status, said = doctor(**given, REDIS_PASSWORD="right-and-secret")
    assert status == 0
    assert "REDIS_PASSWORD is set" in said


def test_no_secret_is_ever_printed(doctor: Doctor) -> None:
    _, said = doctor(DASHSCOPE_API_KEY="sk-very-secret", VOXGATE_REDIS__PASSWORD_ENV="DASHSCOPE_API_KEY")
    assert "very-secret" not in said
