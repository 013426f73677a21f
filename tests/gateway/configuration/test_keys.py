"""keys.yaml: what it holds, what is wrong in it, and what becomes of the keys in force when it is read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from engines.registry import Registry
from gateway.configuration import schema
from gateway.configuration.load import Config, load_config, read_config, read_sources
from gateway.configuration.settings import Limits
from gateway.configuration.yaml import parse_document

SHA = "a1" * 32
OTHER = "b2" * 32


def keys(entry: str) -> dict[str, str]:
    return {"keys.yaml": f"version: 1\nkeys:\n  app: {entry}\n"}


def test_without_the_file_there_are_no_keys(load: Callable[..., Config]) -> None:
    config = load()
    assert config.keys.keys == {}
    assert not config.keys.on


def test_a_key_says_what_it_may(load: Callable[..., Config]) -> None:
    entry = (
        f"{{sha256: {SHA}, tags: [a], voices: [ann], engines: [echo], admin: true, expires: 2027-01-01T01:00:00+01:00}}"
    )
    config = load(keys(entry))
    caller = config.keys.keys["app"].caller
    assert config.warnings == ()
    assert (caller.name, caller.admin, caller.tags) == ("app", True, {"a"})
    assert (caller.voices, caller.engines) == ({"ann"}, {"echo"})
    assert caller.expires == datetime(2027, 1, 1, tzinfo=UTC)
    assert config.keys.on


def test_a_key_may_everything_that_it_is_not_told_and_an_empty_list_lets_nothing(load: Callable[..., Config]) -> None:
    assert load(keys(f"{{sha256: {SHA}}}")).keys.keys["app"].caller.voices is None
    assert load(keys(f"{{sha256: {SHA}, engines: []}}")).keys.keys["app"].caller.engines == frozenset()


def test_limits_of_a_key_stand_over_those_of_gateway_yaml(load: Callable[..., Config]) -> None:
    defaults = {"gateway.yaml": "version: 1\nlimits: {requests_per_minute: 9, in_flight: 3}\n"}
    config = load({**defaults, **keys(f"{{sha256: {SHA}, limits: {{in_flight: 0, characters_per_minute: 5}}}}")})
    assert config.keys.keys["app"].caller.limits == Limits(requests_per_minute=9, characters_per_minute=5)
    assert config.keys.anybody.limits == Limits(requests_per_minute=9, in_flight=3)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{}", "3:3 keys.app.sha256: is missing: write `sha256: …` here"),
        ("{sha256: abc}", "3:17 keys.app.sha256: must be the SHA-256 of a key"),
        (f"{{sha256: {SHA}, voice: [ann]}}", "keys.app.voice: unknown field; did you mean voices?"),
        (f"{{sha256: {SHA}, voices: ann}}", "keys.app.voices: must be a list"),
        (f"{{sha256: {SHA}, expires: soon}}", "keys.app.expires: must be a date such as 2027-01-31"),
        (f"{{sha256: {SHA}, expires: 2027-01-31T12:00:00}}", "or a time with its zone"),
        (f"{{sha256: {SHA}, limits: {{in_flight: -1}}}}", "keys.app.limits.in_flight: must be at least 0, not -1"),
        (f"{{sha256: {SHA}, limits: {{requests: 1}}}}", "keys.app.limits.requests: unknown field"),
        (f"{{sha256: {SHA}}}\n  again: {{sha256: {SHA}}}", "4:19 keys.again.sha256: is the same key as 'app'"),
        (f"{{sha256: {SHA}}}\n  'a b': {{sha256: {OTHER}}}", "is no name for a key"),
        (f"{{sha256: {SHA}}}\n  app: {{sha256: {OTHER}}}", "4:3 keys.app: duplicate key"),
    ],
)
def test_a_mistake_is_told_with_its_place(told: Callable[..., list[str]], entry: str, message: str) -> None:
    (line,) = told(keys(entry))
    assert line.startswith("keys.yaml:")
    assert message in line


def test_a_key_written_into_the_file_is_not_repeated(told: Callable[..., list[str]]) -> None:
    (line,) = told(keys("{sha256: vg_this-would-be-the-key}"))
    assert "only its SHA-256" in line
    assert "this-would-be" not in line


def test_an_empty_file_is_no_file_without_keys(told: Callable[..., list[str]]) -> None:
    (line,) = told({"keys.yaml": ""})
    assert "keys.yaml:1:1: is empty" in line


def test_names_that_are_nowhere_are_warnings(load: Callable[..., Config], told: Callable[..., list[str]]) -> None:
    files = keys(f"{{sha256: {SHA}, voices: [anne, 'echo:anna', 'far:x', 'no:x'], engines: [echos]}}")
    lines = told(files)
    assert [line.split(" ", 1)[1] for line in lines] == [
        "keys.app.voices[0]: warning: voice 'anne' is not in voices.yaml; did you mean ann?",
        "keys.app.voices[3]: warning: voice 'no:x' is not in voices.yaml; known: ann",
        "keys.app.engines[0]: warning: engine 'echos' is not in engines.yaml; did you mean echo?",
    ]
    assert load(files).keys.on


def test_a_rule_for_a_key_that_is_not_there_is_a_warning(told: Callable[..., list[str]]) -> None:
    policies = (
        "version: 1\nrules:\n  - {name: k, when: {keys: [ap], not: {keys: [app]}}, use: [echo]}\nlast_resort: echo\n"
    )
    (line,) = told({"policies.yaml": policies, **keys(f"{{sha256: {SHA}}}")})
    assert "rules[0].when.keys[0]: warning: unknown key 'ap'" in line
    assert line.endswith("did you mean app?")
    first, second = told({"policies.yaml": policies, "keys.yaml": "version: 1\n"})
    assert first.endswith("warning: unknown key 'ap': this never holds before `voxgate keys add ap`")
    assert "not.keys[0]" in second


def test_schema_and_reader_agree() -> None:
    made = schema.schemas()["keys.json"]
    Draft202012Validator.check_schema(made)
    good = {"version": 1, "keys": {"app": {"sha256": SHA, "expires": "2027-01-31", "limits": {"in_flight": 2}}}}
    assert Draft202012Validator(made).is_valid(good)
    assert not Draft202012Validator(made).is_valid({"version": 1, "keys": {"app": {"key": "x"}}})
    assert parse_document(json.dumps(good), "keys.yaml", {}).data == good


class TestReadAgain:
    """What `Config.renewed` makes of a later reading."""

    @pytest.fixture
    def again(self, write: Callable[..., Path], registry: Registry) -> Callable[..., Config]:
        def again(config: Config, files: dict[str, str | None]) -> Config:
            for name in (name for name, text in files.items() if text is None):
                (config.directory / name).unlink()
            write(files)
            return config.renewed(read_config(config.directory, read_sources(config.directory), registry, {}))

        return again

    def test_a_revoked_key_is_known_as_that(self, load: Callable[..., Config], again: Callable[..., Config]) -> None:
        config = load(keys(f"{{sha256: {SHA}}}"))
        later = again(config, keys(f"{{sha256: {SHA}, revoked: 2026-11-20T00:00:00Z}}"))
        assert [one.keys.keys["app"].revoked for one in (config, later)] == [False, True]

    def test_keys_are_renewed_while_another_file_is_wrong(
        self, load: Callable[..., Config], again: Callable[..., Config]
    ) -> None:
        config = load(keys(f"{{sha256: {SHA}}}"))
        later = again(config, {"engines.yaml": "nonsense", **keys(f"{{sha256: {OTHER}}}")})
        assert later.keys.keys["app"].digest == bytes.fromhex(OTHER)
        assert later.engines == config.engines

    def test_a_wrong_file_leaves_the_keys_in_force(
        self, load: Callable[..., Config], again: Callable[..., Config]
    ) -> None:
        config = load(keys(f"{{sha256: {SHA}}}"))
        assert again(config, {"keys.yaml": "version: 1\nkeys: [app]\n"}).keys == config.keys

    @pytest.mark.parametrize("text", [None, "version: 1\nkeys: {}\n"], ids=["file gone", "no key left"])
    def test_who_takes_all_keys_away_closes_the_door(
        self, load: Callable[..., Config], again: Callable[..., Config], text: str | None
    ) -> None:
        later = again(load(keys(f"{{sha256: {SHA}}}")), {"keys.yaml": text})
        assert later.keys.keys == {}
        assert later.keys.on
        assert again(later, {"policies.yaml": "wrong"}).keys.on

    def test_the_first_key_closes_it_too(self, load: Callable[..., Config], again: Callable[..., Config]) -> None:
        config = load({"gateway.yaml": "version: 1\nlimits: {in_flight: 3}\n"})
        later = again(config, {"gateway.yaml": "version: 1\nlimits: {in_flight: 9}\n", **keys(f"{{sha256: {SHA}}}")})
        assert later.keys.on
        # gateway.yaml is read at start alone
        assert later.keys.keys["app"].caller.limits.in_flight == 3


def test_a_file_that_cannot_be_read_keeps_the_gateway_from_starting(
    write: Callable[..., Path], registry: Registry
) -> None:
    directory = write()
    (directory / "keys.yaml").mkdir()
    with pytest.raises(Exception, match=r"keys.yaml:1:1: is a directory"):
        load_config(directory, registry, {})


def test_nothing_prints_a_hash(load: Callable[..., Config]) -> None:
    config = load(keys(f"{{sha256: {SHA}}}"))
    shown = repr(replace(config, sources={}))
    assert SHA not in shown
    assert repr(bytes.fromhex(SHA))[2:-1] not in shown
