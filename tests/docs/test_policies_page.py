"""docs/policies.md has every condition, order and skip; its examples are read, and its reasons are the real ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from gateway.cli import voxgate
from policies.conditions import CONDITIONS
from policies.policy import Order, Policy, When
from policies.types import SkipCode
from tests.docs.shell import REPOSITORY, blocks

PAGE = (REPOSITORY / "docs" / "policies.md").read_text(encoding="utf-8")
EXAMPLE = REPOSITORY / "docs" / "examples" / "routing"


def read_yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def table(title: str) -> dict[str, list[str]]:
    """Name -> the other cells, of the table under a heading."""
    section = PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE)
    return {name: rest.split(" | ") for name, rest in rows}


def test_every_condition_is_there() -> None:
    assert list(table("Conditions")) == list(CONDITIONS)


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_example_of_a_condition_is_read(name: str) -> None:
    when = When.model_validate(read_yaml(table("Conditions")[name][0].strip("`")))
    assert [condition for condition, _ in when.given] == [name]


def test_every_order_is_there() -> None:
    assert list(table("Orders")) == list(get_args(Order))


@pytest.mark.parametrize("order", get_args(Order))
def test_the_reason_shown_for_an_order_is_what_explain_says(order: str, tmp_path: Path) -> None:
    _, first = table("Orders")[order]
    for file in EXAMPLE.iterdir():
        text = file.read_text(encoding="utf-8").replace("order: fastest", f"order: {order}")
        if order == "weighted":
            text = text.replace("use: [espeak, tone]\n    order", "use: [{engine: espeak, weight: 3}, tone]\n    order")
        (tmp_path / file.name).write_text(text, encoding="utf-8")
    text = "The text of this request is longer than forty characters."
    arguments = ["explain", "--json", "--config", str(tmp_path), "--board", str(EXAMPLE / "measured.json"), text]
    step = json.loads(CliRunner().invoke(voxgate, arguments, catch_exceptions=False).stdout)["steps"][0]
    assert f"`{step['engine']}`: {step['reason']}" == first


def test_every_skip_is_there() -> None:
    assert list(table("Skips")) == list(get_args(SkipCode))


def test_the_policy_shown_is_that_of_the_example() -> None:
    shown = next(content for language, content in blocks(PAGE) if language == "yaml")
    example = read_yaml((EXAMPLE / "policies.yaml").read_text(encoding="utf-8"))
    assert read_yaml(shown) == example
    Policy.model_validate(example)


def test_the_rules_shown_as_shipped_are_the_shipped_ones() -> None:
    section = PAGE.split("\n## The shipped rules\n", 1)[1]
    shown = read_yaml(next(content for language, content in blocks(section) if language == "yaml"))
    shipped = read_yaml((REPOSITORY / "config" / "policies.yaml").read_text(encoding="utf-8"))
    assert shown == {name: shipped[name] for name in shown}


def test_the_board_shown_is_that_of_the_example() -> None:
    shown = next(content for language, content in blocks(PAGE) if language == "json")
    assert json.loads(shown) == json.loads((EXAMPLE / "loaded.json").read_text(encoding="utf-8"))


def test_the_case_shown_is_one_of_the_cases() -> None:
    shown = next(content for language, content in blocks(PAGE) if language == "yaml" and content.startswith("about:"))
    case = read_yaml((REPOSITORY / "tests" / "policies" / "cases" / "skip_down.yaml").read_text(encoding="utf-8"))
    part = read_yaml(shown)
    assert {**part, "expect": None} == {**case, "expect": None}
    assert part["expect"].items() <= case["expect"].items()
