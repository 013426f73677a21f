"""Alerts and dashboard: sound by themselves, and about metrics that the gateway really has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from gateway.telemetry.catalog import METRICS
from tests.gateway.http.conftest import running
from tests.packaging.processes import ROOT

RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
RULES_TEST = RULES.with_name("rules_test.yaml")
DASHBOARD = ROOT / "deploy" / "grafana" / "voxgate.json"
OPERATIONS = ROOT / "docs" / "operations.md"

#: labels that Prometheus and histograms add
ADDED = {"job", "instance", "le"}
NAME = re.compile(r"\b(?:voxgate|process)_[a-z_]+\b")

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed (Debian: apt-get install prometheus)"
)


def promtool(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, cwd=cwd, timeout=50)


def alerts() -> list[dict[str, Any]]:
    (group,) = YAML(typ="safe").load(RULES)["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    for alert in alerts():
        yield alert["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"]
    for variable in dashboard()["templating"]["list"]:
        yield variable.get("definition", "")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all lines of a gateway's own /metrics; those of histograms by what Prometheus makes of them."""
    with running(tmp_path_factory.mktemp("gateway")) as gateway:
        families = list(text_string_to_metric_families(gateway.client.get("/metrics").text))
    names = set()
    for family in families:
        ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {f"{family.name}{end}" for end in ends}
    return names


def test_every_metric_in_alerts_and_dashboard_is_one_that_the_gateway_has(told: set[str]) -> None:
    used = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(used) > 30
    assert used - told == set()
    assert set(NAME.findall(RULES_TEST.read_text())) - told == set()


def test_every_label_in_alerts_and_dashboard_is_one_that_its_metric_has() -> None:
    labels = {metric.name: set(metric.labels) | ADDED for metric in METRICS}
    known = set().union(*labels.values())
    matched = 0
    for expression in expressions():
        for grouped in re.findall(r"\b(?:by|on|ignoring|without) ?\(([^)]*)\)", expression):
            assert {label.strip() for label in grouped.split(",")} - known == set(), expression
        for name, selector in re.findall(r"\b((?:voxgate|process)_[a-z_]+)\{([^}]*)\}", expression):
            metric = re.sub(r"_(bucket|sum|count)$", "", name)
            for label in re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", selector):
                assert label in labels[metric], expression
                matched += 1
    assert matched > 50


def test_every_metric_is_shown_somewhere() -> None:
    shown = " ".join(expressions())
    aside = {"process_max_fds", "process_start_time_seconds"}  # what other dashboards make of every process
    assert [metric.name for metric in METRICS if metric.name not in shown and metric.name not in aside] == []


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    names = [alert["alert"] for alert in alerts()]
    assert len(set(names)) == len(names)
    assert set(names) >= {
        "NothingCanSpeak",
        "EngineDown",
        "DegradedForLong",
        "RedisDown",
        "HighFirstAudio",
        "QueueFull",
        "ReloadRefused",
        "TruncatedSpeech",
        "EventLoopLag",
    }
    for alert in alerts():
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["annotations"]["summary"]
        assert len(alert["annotations"]["runbook"]) > 80
        assert f"`{alert['alert']}`" in OPERATIONS.read_text()
        assert alert["alert"] in RULES_TEST.read_text()


@needs_promtool
def test_the_alerts_are_sound_and_fire_when_they_should() -> None:
    for command in (("check", "rules", RULES.name), ("test", "rules", RULES_TEST.name)):
        done = promtool(*command, cwd=RULES.parent)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("alert", [alert["alert"] for alert in alerts()])
def test_an_alert_that_never_fires_is_found_out(alert: str, tmp_path: Path) -> None:
    text = RULES.read_text()
    begin = text.index(f"alert: {alert}\n")
    broken = re.sub(r"expr: (?:>-\n\s+)?", r"\g<0>(vector(1) unless vector(1)) and ", text[begin:], count=1)
    (tmp_path / RULES.name).write_text(text[:begin] + broken)
    (tmp_path / RULES_TEST.name).write_text(RULES_TEST.read_text())
    assert promtool("check", "rules", RULES.name, cwd=tmp_path).returncode == 0
    assert promtool("test", "rules", RULES_TEST.name, cwd=tmp_path).returncode != 0


@needs_promtool
def test_what_the_dashboard_asks_is_sound(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    plain = [re.sub(r"\$\w+", ".*", one.replace("$__rate_interval", "5m")) for one in asked]
    rules = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(plain)]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", "rules.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    whole = dashboard()
    assert whole["uid"] == "voxgate"
    assert "id" not in whole  # Grafana gives one; another's would overwrite another dashboard
    assert {"title", "schemaVersion", "panels", "templating", "time"} <= whole.keys()
    variables = {variable["name"]: variable for variable in whole["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    ids = [panel["id"] for panel in whole["panels"]]
    assert len(set(ids)) == len(ids)
    used = set(re.findall(r"\$\{?([a-z]\w*)", " ".join(expressions())))
    assert used - variables.keys() == set()


def test_every_panel_asks_the_chosen_data_source_and_says_what_it_shows() -> None:
    assert len({panel["title"] for panel in panels()}) == len(panels())
    for panel in panels():
        assert panel["description"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"], panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        assert panel["fieldConfig"]["defaults"].get("unit", "short") != ""


def test_no_panel_lies_over_another() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    for place in places:
        assert 0 <= place["x"] <= place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
