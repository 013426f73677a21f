"""`${ENV}` inside values, and VOXGATE_A__B over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.configuration.load import Config
from gateway.configuration.yaml import parse_document


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${PORT}", 9000),
        ("${PORT:-8080}", 9000),
        ("${NONE:-8080}", 8080),
        ("${EMPTY:-8080}", 8080),
        ("${EMPTY}", ""),
        ("${NONE:-}", ""),
        ("${NONE:-1.5}", 1.5),
        ("${YES}", True),
        ("'${PORT}'", "9000"),
        ('"${PORT}"', "9000"),
        ("a-${PORT}", "a-9000"),
        ("1${PORT}", 19000),
        ("${HOST}:${PORT}", "box:9000"),
        ("$${PORT}", "${PORT}"),
        ("$PORT", "$PORT"),
        ("${COLON}", "a: b"),
        ("${NONE:-~/x}", "~/x"),
    ],
)
def test_a_variable_is_replaced_and_a_plain_value_typed_as_yaml_would(written: str, expected: object) -> None:
    environ = {"PORT": "9000", "EMPTY": "", "YES": "true", "HOST": "box", "COLON": "a: b"}
    document = parse_document(f"a: {written}\n", "f.yaml", environ)
    assert document.problems == []
    assert document.data == {"a": expected}
    assert type(document.data["a"]) is type(expected)


def test_keys_are_not_replaced() -> None:
    assert parse_document("${PORT}: 1\n", "f", {"PORT": "x"}).data == {"${PORT}": 1}


def test_anchors_and_merges_are_allowed_and_own_keys_win() -> None:
    text = "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: [*x, {<<: [{a: 9}, *x]}]\n"
    data = parse_document(text, "f", {}).data
    assert data["y"] == {"a": 1, "b": 3}
    assert data["z"] == [{"a": 1, "b": 2}, {"a": 9, "b": 2}]


@pytest.mark.parametrize("written", ["no", "on", "12:30", "2026-01-01", "0x", "1.2.3"])
def test_the_text_of_yaml_1_2_stays_text(written: str) -> None:
    assert parse_document(f"a: {written}\n", "f", {}).data == {"a": written}


def test_a_small_file_of_aliases_does_not_become_enormous() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (problem,) = parse_document("\n".join(lines), "f", {}).problems
    assert "too many" in problem.message


@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "a: " + "{b: " * 3000])
def test_a_deeply_nested_file_is_a_problem_not_a_crash(text: str) -> None:
    (problem,) = parse_document(text, "f", {}).problems
    assert "nested" in problem.message


@pytest.mark.parametrize(
    ("name", "value", "read", "expected"),
    [
        ("VOXGATE_LISTEN__PORT", "9000", lambda s: s.listen.port, 9000),
        ("VOXGATE_AUTH", "none", lambda s: s.auth, "none"),
        ("VOXGATE_DATA_DIR", "/data", lambda s: s.data_dir, Path("/data")),
        ("VOXGATE_REDIS__URL", "redis://:pw@h", lambda s: s.redis.url, "redis://:pw@h"),
        ("VOXGATE_REDIS__PREFIX", "123", lambda s: s.redis.prefix, "123"),
        ("VOXGATE_REDIS__URL", "", lambda s: s.redis.url, ""),
        ("VOXGATE_CACHE__PATH", "", lambda s: s.cache.path, None),
        ("VOXGATE_CACHE__PATH", "/c", lambda s: s.cache.path, Path("/c")),
        ("VOXGATE_SERVED_LOG__TEXTS", "true", lambda s: s.served_log.texts, True),
        ("VOXGATE_CORS__ALLOW_ORIGINS", "['https://a.example']", lambda s: s.cors.allow_origins, ("https://a.example",)),
        ("VOXGATE_CACHE", "{memory_mb: 7}", lambda s: (s.cache.memory_mb, s.cache.disk_mb), (7, 5)),
        ("VOXGATE_DRAIN_S", "1.5", lambda s: s.drain_s, 1.5),
    ],
)  # fmt: skip
def test_the_environment_overrides_gateway_yaml(
    load: Callable[..., Config], name: str, value: str, read: Callable[[object], object], expected: object
) -> None:
    text = "version: 1\nlisten: {port: 1}\nauth: keys\ncache: {disk_mb: 5, path: /old}\n"
    assert read(load({"gateway.yaml": text}, {name: value, "HOME": "/home/me"}).settings) == expected


def test_a_field_overrides_its_section_too(load: Callable[..., Config]) -> None:
    settings = load({}, {"VOXGATE_CACHE__MEMORY_MB": "8", "VOXGATE_CACHE": "{memory_mb: 7, disk_mb: 6}"}).settings
    assert (settings.cache.memory_mb, settings.cache.disk_mb) == (8, 6)


def test_an_override_mends_a_wrong_value_in_the_file(load: Callable[..., Config]) -> None:
    text = "version: 1\nlisten:\n  port: many\nauth: ${NOT_SET_HERE}\n"
    settings = load({"gateway.yaml": text}, {"VOXGATE_LISTEN__PORT": "5", "VOXGATE_AUTH": "keys"}).settings
    assert (settings.listen.port, settings.auth) == (5, "keys")


def test_a_secret_in_the_file_is_refused_though_it_is_overridden(told: Callable[..., list[str]]) -> None:
    text = "version: 1\nredis: {url: 'redis://:pw@h'}\n"
    (line,) = told({"gateway.yaml": text}, {"VOXGATE_REDIS__URL": "redis://h"})
    assert "a password in a URL" in line


@pytest.mark.parametrize(
    ("name", "meant"),
    [("VOXGATE_REDIS_URL", "VOXGATE_REDIS__URL"), ("VOXGATE_CACHE_MEMORY_MB", "VOXGATE_CACHE__MEMORY_MB")],
)
def test_a_variable_that_lacks_an_underscore_is_warned_of(load: Callable[..., Config], name: str, meant: str) -> None:
    config = load({}, {name: "1"})
    (warning,) = [one for one in config.warnings if one.file == name]
    assert (warning.severity, meant in warning.message) == ("warning", True)
    assert (config.settings.redis.url, config.settings.cache.memory_mb) == ("", 64)


def test_names_that_are_no_fields_are_left_alone(load: Callable[..., Config]) -> None:
    environ = {
        "VOXGATE_CONFIG": "/x",
        "VOXGATE_DATA": "/d",
        "VOXGATE_PORT": "tcp://10.0.0.1:8080",
        "VOXGATE_VERSION": "9",
    }
    assert load({}, environ).settings.listen.port == 8080


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("VOXGATE_LISTEN__PROT", "1", "listen.prot: no such field in gateway.yaml; did you mean listen.port"),
        ("VOXGATE_LISTN__PORT", "1", "listn.port: no such field in gateway.yaml; did you mean listen.port"),
        ("VOXGATE_ENGINES__ESPEAK__SLOTS", "1", "engines.espeak.slots: no such field in gateway.yaml"),
        ("VOXGATE_LISTEN__PORT", "many", "listen.port: must be a whole number"),
        ("VOXGATE_AUTH", "open", "auth: must be auto, keys or none"),
        ("VOXGATE_CORS__ALLOW_ORIGINS", "[a", "cors.allow_origins: not YAML"),
        ("VOXGATE_CACHE", "{sise: 1}", "cache.sise: unknown field"),
        ("VOXGATE_LIMITS", "7", "limits: must be a mapping"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_told_under_its_own_name(
    told: Callable[..., list[str]], name: str, value: str, line: str
) -> None:
    (only,) = told({}, {name: value})
    assert only.startswith(f"{name}:1:1 {line}")
