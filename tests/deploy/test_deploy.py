"""What deploy/ holds, checked with whatever can be had for it, and against what the program really takes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from gateway.configuration.settings import Settings
from tests.packaging.processes import ROOT

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")


def documents(path: Path) -> list[Any]:
    return [one for one in YAML(typ="safe").load_all(path.read_text()) if one is not None]


def tool(name: str) -> str:
    """A program of this environment, or of the machine."""
    return shutil.which(name, path=f"{Path(sys.executable).parent}:/usr/bin:/bin") or ""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=50)


def test_the_compose_file_follows_the_specification() -> None:
    file = str(DEPLOY / "compose" / "compose.yaml")
    done = run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_that_the_compose_file_mounts_are_there() -> None:
    (compose,) = documents(DEPLOY / "compose" / "compose.yaml")
    mounts = [mount.split(":")[0] for one in compose["services"].values() for mount in one.get("volumes", [])]
    files = [mount for mount in mounts if mount.startswith(".")]
    assert files
    assert [file for file in files if not (DEPLOY / "compose" / file).exists()] == []


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_follows_the_schemas_of_the_api(manifest: Path) -> None:
    done = run(tool("kubernetes-validate"), "--strict", str(manifest))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_misspelled_field_of_a_manifest_is_found(tmp_path: Path) -> None:
    text = (DEPLOY / "kubernetes" / "gateway.yaml").read_text()
    (tmp_path / "wrong.yaml").write_text(text.replace("readinessProbe", "readynessProbe"))
    assert run(tool("kubernetes-validate"), "--strict", str(tmp_path / "wrong.yaml")).returncode != 0


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_the_manifests_build_as_one() -> None:
    done = run("kubectl", "kustomize", str(DEPLOY / "kubernetes"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("kind: Deployment") == 2


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_unit_is_one(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / "voxgate.service").read_text()
    assert "/opt/voxgate/bin/voxgate" in text
    unit = tmp_path / "voxgate.service"
    unit.write_text(text.replace("/opt/voxgate/bin/voxgate", "/bin/true"))
    done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit))
    about_ours = [line for line in done.stderr.splitlines() if "voxgate.service" in line]
    assert about_ours == []
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMode=gently"))
    assert "voxgate.service" in run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)).stderr


def test_the_group_that_reads_the_keys_does_not_keep_the_unit_from_having_its_user() -> None:
    """DynamicUser makes a user of the unit's name, and refuses where a group of that name is there and no such user."""
    text = (DEPLOY / "systemd" / "voxgate.service").read_text()
    assert "DynamicUser=yes" in text
    group = re.search(r"SupplementaryGroups=(\S+)", text)
    assert group
    assert group[1] != "voxgate"
    assert f"groupadd --system {group[1]} && chgrp {group[1]} " in (DEPLOY / "README.md").read_text()


def settings(section: type[BaseModel], prefix: str = "VOXGATE") -> Iterator[str]:
    """Every environment variable that overrides a value of gateway.yaml."""
    for name, about in section.model_fields.items():
        inner = about.annotation
        variable = f"{prefix}_{name.upper()}" if prefix == "VOXGATE" else f"{prefix}__{name.upper()}"
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from settings(inner, variable)
        else:
            yield variable


def test_every_variable_that_is_set_somewhere_is_one_that_the_gateway_reads() -> None:
    known = {*settings(Settings), "VOXGATE_CONFIG", "VOXGATE_DATA"}
    assert "VOXGATE_REDIS__URL" in known
    files = [*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.service"), ROOT / "Dockerfile"]
    used = {name for file in files for name in re.findall(r"VOXGATE_[A-Z_]+", file.read_text())}
    assert used >= {"VOXGATE_REDIS__URL", "VOXGATE_AUTH"}
    assert used - known == set()


def test_whoever_stops_the_gateway_gives_it_longer_than_its_drain() -> None:
    drain_s = Settings(version=1).drain_s
    (compose,) = documents(DEPLOY / "compose" / "compose.yaml")
    pod = documents(DEPLOY / "kubernetes" / "gateway.yaml")[0]["spec"]["template"]["spec"]
    unit = re.search(r"TimeoutStopSec=(\d+)", (DEPLOY / "systemd" / "voxgate.service").read_text())
    assert int(compose["services"]["gateway"]["stop_grace_period"].rstrip("s")) > drain_s
    pause_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > drain_s + pause_s
    assert unit
    assert int(unit[1]) > drain_s
