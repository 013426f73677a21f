"""JSON Schemas of the configuration files, for completion and checks in editors: config/schema/*.json.

Generated from the types that read the files. Knows nothing about kinds of other packages: the schema lets them pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from engines.contract import EngineKind
from engines.registry import Registry
from gateway.configuration.engines import Common, EnginesFile
from gateway.configuration.keys import KeysFile
from gateway.configuration.settings import Settings
from gateway.voices import Voices
from policies.policy import Policy, Terms

#: what stands where a number or a word is wanted and the environment gives it
_REFERENCE = {"type": "string", "pattern": r"\$\{"}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def built_in_kinds() -> list[EngineKind]:
    """The kinds that come with the program, by name; a plugin's are not the same on every machine."""
    registry = Registry.load()
    names = {name for plugin in registry.plugins if plugin.source == "built in" for name in plugin.kinds}
    return [registry.kinds[name] for name in sorted(names)]


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema."""
    return {
        "gateway.json": _schema(Settings),
        "engines.json": _engines(built_in_kinds()),
        "voices.json": _schema(Voices),
        "policies.json": _policies(),
        "keys.json": _schema(KeysFile),
    }


def _policies() -> dict[str, Any]:
    """policies.yaml: what a rule sets over the defaults means the same there."""
    made = _schema(Policy)
    for name, one in made["$defs"]["Rule"]["properties"].items():
        if name in Terms.model_fields:
            one["description"] = Terms.model_fields[name].description
    return made


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    made: dict[str, Any] = _for_people(model.model_json_schema())
    return {"$schema": _DIALECT, **made}


def _engines(kinds: Iterable[EngineKind]) -> dict[str, Any]:
    """engines.yaml: what an instance may hold depends on its `kind`."""
    common = Common.model_json_schema()
    definitions: dict[str, Any] = {}
    branches = []
    names = []
    for kind in kinds:
        names.append(kind.name)
        own = kind.options.model_json_schema(ref_template=f"#/$defs/{kind.name}.{{model}}")
        definitions |= {f"{kind.name}.{name}": one for name, one in own.pop("$defs", {}).items()}
        instance = {
            "type": "object",
            "description": kind.summary,
            "properties": {"kind": {"const": kind.name}, **own.get("properties", {}), **common["properties"]},
            "required": ["kind", *own.get("required", [])],
            "additionalProperties": False,
        }
        definitions[kind.name] = instance
        condition = {"properties": {"kind": {"const": kind.name}}, "required": ["kind"]}
        branches.append({"if": condition, "then": {"$ref": f"#/$defs/{kind.name}"}})
    definitions["Engine"] = {
        "type": "object",
        # a plugin's kind is any other text
        "properties": {
            "kind": {"description": "what it is an instance of", "anyOf": [{"enum": names}, {"type": "string"}]}
        },
        "required": ["kind"],
        "allOf": branches,
    }
    schema = EnginesFile.model_json_schema()
    schema["properties"]["engines"]["additionalProperties"] = {"$ref": "#/$defs/Engine"}
    schema["properties"]["engines"]["propertyNames"] = {"pattern": "^[a-z0-9][a-z0-9_-]*$"}
    return {"$schema": _DIALECT, **_for_people({**schema, "$defs": definitions})}


def _for_people(schema: Any) -> Any:
    """The schema with `${ENV}` allowed wherever a value is not text anyway, and without what only programs need.

    A field that may be left out is written or not: `null` is no third way. Titles only repeat the fields' names.
    """
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for name, one in schema.items():
        if name in ("properties", "$defs"):
            made[name] = {key: _for_people(inner) for key, inner in one.items()}
        elif isinstance(one, list):
            made[name] = [_for_people(inner) for inner in one if inner != {"type": "null"}]
        elif name != "title" and not (name == "default" and one is None):
            made[name] = _for_people(one)
    if len(made.get("anyOf", ())) == 1:
        made |= made.pop("anyOf")[0]
    if made.get("type") in ("integer", "number", "boolean") or ("enum" in made and "type" in made):
        about = {name: made.pop(name) for name in ("description", "default") if name in made}
        return {**about, "anyOf": [made, _REFERENCE]}
    return made


def files() -> dict[str, str]:
    """Path in the repository -> content."""
    return {
        f"config/schema/{name}": json.dumps(one, indent=2, ensure_ascii=False) + "\n" for name, one in schemas().items()
    }
