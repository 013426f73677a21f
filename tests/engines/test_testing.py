"""The conformance kit notices each breach of a rule, with the test that is named after the rule and no other."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from engines.testing import EngineConformance, count_beeps, rms, seconds

pytestmark = pytest.mark.timeout(180)  # a thousand small tests, in one process of their own

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BROKEN = HERE / "broken_engines.py"
BREACHES: dict[str, tuple[str, ...]] = runpy.run_path(str(BROKEN))["BREACHES"]


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Class of tests -> test that failed -> its message, from one run of the kit over every broken engine."""
    report = tmp_path_factory.mktemp("kit") / "report.xml"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(HERE), "-p", "no:cacheprovider"]
    command += ["--import-mode=importlib", f"--junitxml={report}", str(BROKEN)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=170)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[str, dict[str, str]] = {name: {} for name in BREACHES}
    ran = set()
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.attrib["classname"].rpartition(".")[2]
        ran.add(name)
        for problem in (*case.iter("failure"), *case.iter("error")):
            found[name][case.attrib["name"]] = problem.attrib.get("message", "") + (problem.text or "")
    assert ran == set(BREACHES)
    return found


@pytest.mark.parametrize("broken", sorted(BREACHES))
def test_a_breach_fails_the_test_of_its_rule_and_no_other(failures: dict[str, dict[str, str]], broken: str) -> None:
    assert tuple(failures[broken]) == BREACHES[broken], "\n".join(failures[broken].values())


def test_every_test_of_the_kit_has_an_engine_that_fails_it() -> None:
    kit = {name for name in dir(EngineConformance) if name.startswith("test_")}
    assert kit == {test for tests in BREACHES.values() for test in tests}


def test_each_of_the_eight_rules_has_a_test() -> None:
    rules = re.findall(r"Rule (\d)", " ".join(str(test.__doc__) for test in vars(EngineConformance).values()))
    assert set(rules) == set("12345678")


def test_loudness_and_length_are_those_of_the_samples() -> None:
    assert rms(b"\x00\x01\x00\xff" * 100) == 256
    assert rms(b"") == 0
    assert seconds([]) == 0


def test_silence_and_faint_noise_hold_no_beep() -> None:
    assert count_beeps(bytes(48000), 24000) == 0
    assert count_beeps(b"\x05\x00\xfb\xff" * 10000, 24000) == 0
    assert count_beeps(b"", 24000) == 0
