"""What a plugin author relies on is documented in docs/plugins.md: every hook, error, rule and mode."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import engines.hooks
import gateway.hooks
from engines.errors import BY_CODE, SpeechError
from engines.fault import Mode
from engines.testing import EngineConformance

DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "plugins.md").read_text(encoding="utf-8")
HOOKS = [
    name
    for module in (engines.hooks, gateway.hooks)
    for name, one in vars(module).items()
    if hasattr(one, "voxgate_spec")
]
HEALTH = {"unhurt": "no", "cools": "cools down", "hurt": "yes"}


def row(name: str) -> list[str]:
    """The cells of the table row that begins with `name`."""
    (line,) = [line for line in DOCUMENT.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_both_hooks_are_found() -> None:
    assert sorted(HOOKS) == ["engine_kinds", "on_served"]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    assert f"### `{hook}(" in DOCUMENT


def test_every_error_class_is_registered_by_its_code() -> None:
    here = {error for error in SpeechError.__subclasses__() if error.__module__ == "engines.errors"}
    assert set(BY_CODE.values()) == here


@pytest.mark.parametrize("error", sorted(BY_CODE.values(), key=lambda error: error.code), ids=lambda error: error.code)
def test_every_error_is_documented_as_it_behaves(error: type[SpeechError]) -> None:
    _, code, status, try_next, health, *_ = row(f"`{error.__name__}`")
    assert code == error.code
    assert status == str(error.status)
    assert try_next == ("by policy" if error.code == "refused" else "yes" if error.try_next else "no")
    assert health == HEALTH[error.health]


@pytest.mark.parametrize("mode", get_args(Mode))
def test_every_mode_of_a_drill_is_documented(mode: str) -> None:
    assert row(f"`{mode}`")


def test_every_rule_of_the_kit_is_documented() -> None:
    tests = " ".join(str(test.__doc__) for test in vars(EngineConformance).values())
    for number in sorted(set(re.findall(r"Rule (\d)", tests))):
        assert row(number)


def test_the_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", DOCUMENT):
        assert (Path(__file__).parent.parent.parent / "docs" / target).exists(), target
