"""Every mistake is told at its line and column, with what to do.

The mistakes are in mistakes.yaml, where anyone can add one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from engines.registry import Registry
from gateway.configuration.load import FILES, load_config, shipped_directory
from gateway.configuration.problems import ConfigError

KINDS = Registry.load()

ENGINES = "version: 1\nengines:\n"
VOICES = "version: 1\ndefault: ann\nvoices:\n"
MISTAKES = YAML(typ="safe").load(Path(__file__).with_name("mistakes.yaml"))


def cases(kind: str) -> list[object]:
    return [
        pytest.param(one["file"], one["text"], one["place"], one["says"], id=f"{one['file']} {one['says']}")
        for one in MISTAKES[kind]
    ]


@pytest.mark.parametrize(("file", "text", "place", "fragment"), cases("errors"))
def test_a_mistake_is_told_in_one_line_at_its_place(
    told: Callable[..., list[str]], file: str, text: str, place: str, fragment: str
) -> None:
    lines = [line for line in told({file: text}) if "warning:" not in line]
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{file}:{place}"), lines[0]
    assert fragment in lines[0]
    assert "\n" not in lines[0]


@pytest.mark.parametrize(("file", "text", "place", "fragment"), cases("warnings"))
def test_what_is_doubtful_is_a_warning_and_does_not_refuse(
    load: Callable[..., object], told: Callable[..., list[str]], file: str, text: str, place: str, fragment: str
) -> None:
    load({file: text})
    lines = told({file: text})
    assert any(line.startswith(f"{file}:{place} warning: ") and fragment in line for line in lines), lines


def test_all_errors_of_all_files_are_told_at_once_in_their_order(told: Callable[..., list[str]]) -> None:
    lines = told(
        {
            "gateway.yaml": "version: 1\nauth: open\nlisten: {port: x, host: ''}\nauth: none\nextra: 1\n",
            "engines.yaml": "version: 1\nengines:\n  echo: {kind: small, size: 0, slots: x}\n  far: {kind: clod}\n",
            "voices.yaml": "version: 1\ndefault: bob\nvoices:\n  ann: {engines: {echo: anna}, sex: f}\n",
            "policies.yaml": "version: 1\nlast_resort: echo\nrules:\n  - {name: a, use: [nobody], order: x}\n",
        }
    )
    assert [line.split(" ")[0] + " " + line.split(" ")[1].rstrip(":") for line in lines] == [
        "gateway.yaml:2:7 auth",
        "gateway.yaml:3:16 listen.port",
        "gateway.yaml:3:19 listen.host",
        "gateway.yaml:4:1 auth",
        "gateway.yaml:5:1 extra",
        "engines.yaml:3:29 engines.echo.size",
        "engines.yaml:3:39 engines.echo.slots",
        "engines.yaml:4:15 engines.far.kind",
        "voices.yaml:2:10 default",
        "voices.yaml:4:32 voices.ann.sex",
        "policies.yaml:4:21 rules[0].use[0]",
        "policies.yaml:4:37 rules[0].order",
    ]


def test_a_file_that_cannot_be_read_hides_nothing_of_the_others(told: Callable[..., list[str]]) -> None:
    lines = told(
        {"engines.yaml": "engines: [\n", "voices.yaml": VOICES + "  bob: {}\n", "gateway.yaml": "version: 3\n"}
    )
    assert [line.split(":")[0] for line in lines] == ["gateway.yaml", "engines.yaml", "voices.yaml"]


def test_a_missing_file_names_the_command_that_writes_it(told: Callable[..., list[str]]) -> None:
    (line,) = told({"voices.yaml": None})
    assert line.startswith("voices.yaml:1:1: no such file: `voxgate init ")


def test_an_engine_that_is_wrong_is_still_an_engine_for_the_other_files(told: Callable[..., list[str]]) -> None:
    (line,) = told({"engines.yaml": ENGINES + "  echo: {kind: small, size: x}\n"})
    assert line.startswith("engines.yaml:3:29")


def test_voices_of_an_engine_that_does_not_know_them_before_it_starts_are_not_judged(
    load: Callable[..., object],
) -> None:
    load({"voices.yaml": VOICES + "  ann: {engines: {echo: anna, far: whatever}}\n"})


def test_a_secret_is_never_repeated(told: Callable[..., list[str]]) -> None:
    text = (
        "version: 1\nredis: {password: hunter2, url: 'redis://:hunter2@h', password_env: 'hunter2!'}\n"
        "cache: {path: 'https://u:hunter2@h/'}\nlimits: {token: 'hunter2'}\n"
    )
    lines = told({"gateway.yaml": text})
    assert len(lines) == 5
    assert "hunter2" not in "".join(lines)


def test_a_wrong_value_from_the_environment_is_not_shown(told: Callable[..., list[str]]) -> None:
    (line,) = told({"gateway.yaml": "version: 1\ndrain_s: ${SECRET}\n"}, {"SECRET": "hunter2"})
    assert "must be a number" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "line",
    [
        "endpoint: 'http://localhost:8000/v1'",
        "endpoint: 'http://127.0.0.1:8000/v1'",
        "endpoint: 'http://10.0.0.5/v1'",
        "endpoint: 'http://172.31.0.1'",
        "endpoint: 'ws://192.168.1.7:9'",
        "endpoint: 'http://[::1]:8000'",
        "endpoint: 'http://[fd00::5]:8000'",
        "endpoint: 'http://gpu-box:8000'",
        "endpoint: 'http://box.local'",
        "endpoint: 'https://cloud.example'",
        "endpoint: 'wss://8.8.8.8'",
        "api_key_env: KEY",
        "api_key: '${KEY}'",
        "endpoint: 'https://me:${KEY}@cloud.example'",
    ],
)
def test_private_endpoints_and_secrets_by_name_are_allowed(load: Callable[..., object], line: str) -> None:
    load({"engines.yaml": f"{ENGINES}  echo: {{kind: small}}\n  far: {{kind: cloud, {line}}}\n"}, {"KEY": "sk-1"})


def test_a_kind_that_runs_in_one_way_only_is_not_told_another(
    load: Callable[..., object], told: Callable[..., list[str]]
) -> None:
    engines = f"{ENGINES}  echo: {{kind: small, isolation: inline}}\n  far: {{kind: cloud, isolation: %s}}\n"
    load({"engines.yaml": engines % "inline"})
    (line,) = told({"engines.yaml": engines % "process"})
    assert "engines.far.isolation" in line
    assert "kind cloud run as `inline` only: take this out" in line


@pytest.mark.parametrize(
    "host",
    ["172.32.0.1", "100.64.0.1", "134744072", "0x8080808", "127.0.0.1@cloud.example", "[2001:db8::1]", "a.b", ""],
)
def test_other_hosts_need_encryption(told: Callable[..., list[str]], host: str) -> None:
    (line,) = told(
        {"engines.yaml": f"{ENGINES}  echo: {{kind: small}}\n  far: {{kind: cloud, endpoint: 'HTTP://{host}/v1'}}\n"}
    )
    assert "unencrypted endpoint" in line


DAMAGE = [
    "{",
    "}",
    "[",
    "]",
    ": ",
    "\n",
    "- ",
    "~",
    "&a ",
    "*a",
    "<<: ",
    "!!x ",
    "'",
    '"',
    "${",
    "1",
    "true",
    "\t",
    "{}",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=st.sampled_from(sorted(FILES)), at=st.floats(0, 1), cut=st.integers(0, 9), put=st.sampled_from(["", *DAMAGE])
)
def test_damage_anywhere_is_told_in_lines_and_never_raised(
    shipped: Mapping[str, str], tmp_path: Path, file: str, at: float, cut: int, put: str
) -> None:
    for name, text in shipped.items():
        (tmp_path / name).write_text(text)
    place = int(at * len(shipped[file]))
    (tmp_path / file).write_text(shipped[file][:place] + put + shipped[file][place + cut :])
    try:
        load_config(tmp_path, KINDS, {"HOME": "/home/me"})
    except ConfigError as error:
        for problem in error.problems:
            assert problem.file == str(tmp_path / file) or problem.path  # elsewhere only what refers to it
            assert problem.line >= 1
            assert problem.column >= 1
            assert "\n" not in str(problem)


@pytest.fixture(scope="module")
def shipped() -> Mapping[str, str]:
    """The shipped files, with a rule that uses every shape of condition."""
    shipped = {name: shipped_directory() / name for name in FILES}
    files = {name: file.read_text() for name, file in shipped.items() if file.exists()}
    key = f"{{sha256: {'a1' * 32}, limits: {{in_flight: 2}}, voices: [narrator], expires: 2027-01-31, admin: true}}"
    rule = (
        "{name: x, use: [{engine: tone}], when: {max_chars: 4, languages: [zh], load_above: {tone: 1}, stream: true,\n"
    )
    rule += "    hours: '22:00-06:00 Asia/Shanghai', share: {percent: 5, by: key}, not: {voices: [narrator]}}}"
    files["keys.yaml"] = f"version: 1\nkeys:\n  app: {key}\n"
    return {**files, "policies.yaml": files["policies.yaml"].replace("\nrules:\n", f"\nrules:\n  - {rule}\n")}
