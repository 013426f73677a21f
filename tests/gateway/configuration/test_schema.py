"""The schemas take what the reader takes, and every field that they and the reference show says what it means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from gateway.configuration import schema
from gateway.configuration.engines import Common
from gateway.configuration.keys import KeyEntry, KeyLimits, KeysFile
from gateway.configuration.load import shipped_directory
from gateway.configuration.settings import Settings
from gateway.configuration.yaml import read_document
from gateway.voices import VoiceEntry, Voices
from policies.policy import Policy, Rule, Share, Terms, Use, When


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from models(field.annotation)


@pytest.mark.parametrize(
    "model",
    [*models(Settings), Common, Voices, VoiceEntry, Policy, Terms, Use, When, Share, KeysFile, KeyEntry, KeyLimits]
    + [kind.options for kind in schema.built_in_kinds()],
)
def test_every_field_says_what_it_means(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_every_field_of_a_rule_is_one_of_the_defaults_or_says_what_it_means() -> None:
    silent = {name for name, field in Rule.model_fields.items() if not field.description}
    assert silent == set(Terms.model_fields)


@pytest.mark.parametrize("name", ["gateway", "engines", "voices", "policies"])
def test_the_shipped_files_name_their_schema_and_fit_it(name: str) -> None:
    file = shipped_directory() / f"{name}.yaml"
    first = file.read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema=schema/{name}.json"
    made = json.loads((file.parent / "schema" / f"{name}.json").read_text())
    Draft202012Validator.check_schema(made)
    assert list(Draft202012Validator(made).iter_errors(read_document(file, {}).data)) == []


@pytest.mark.parametrize(
    ("engine", "fits"),
    [
        ({"kind": "tone", "slots": 2, "beep_ms": 50}, True),
        ({"kind": "tone", "slots": "${SLOTS}"}, True),
        ({"kind": "from-a-plugin", "whatever": 1}, True),
        ({"kind": "fault", "mode": "cut", "of": {"kind": "tone"}}, True),
        ({"kind": "tone", "beeps": 50}, False),
        ({"kind": "tone", "slots": "many"}, False),
        ({"kind": "fault", "mode": "cut"}, False),
        ({"slots": 2}, False),
    ],
)
def test_the_schema_of_an_engine_depends_on_its_kind(engine: dict[str, Any], fits: bool) -> None:
    made = schema.schemas()["engines.json"]
    assert Draft202012Validator(made).is_valid({"version": 1, "engines": {"one": engine}}) is fits
