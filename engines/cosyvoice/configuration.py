"""Reads the configuration of a released model, and makes none of the objects that it names.

The file is YAML for HyperPyYAML (https://github.com/speechbrain/HyperPyYAML), where a tag names a class to be made or a
function to be called. Here a tag is a word like any other: it is kept beside the values under it, and `!ref <NAME>`
stands for the value of that name. Knows nothing about what the values mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

#: where a mapping with a tag keeps it, as the file has it behind the "!": "new:cosyvoice.llm.llm.TransformerLM"
TAG = "!"
#: the one form of a reference that is known here; HyperPyYAML's may compute
_REFERENCE = re.compile(r"\s*<(\w+)>\s*")


class ConfigurationError(ValueError):
    """A file that is no configuration; the message says where and why."""


@dataclass(frozen=True, slots=True)
class _Reference:
    name: str


class _Constructor(SafeConstructor):
    """Mappings, lists and plain values, whatever their tags ask for."""


def _construct(constructor: _Constructor, tag: str, node: Node) -> Any:
    if isinstance(node, ScalarNode):
        found = _REFERENCE.fullmatch(node.value) if tag == "ref" else None
        return _Reference(found[1]) if found else node.value
    if isinstance(node, MappingNode):
        return {**constructor.construct_mapping(node, deep=True), TAG: tag}
    return constructor.construct_sequence(node, deep=True)


_Constructor.add_multi_constructor("!", _construct)


def read_configuration(path: Path) -> Mapping[str, Any]:
    """The file as plain dicts, lists and values. Raises ConfigurationError; OSError when it cannot be read."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    try:
        read = yaml.load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if not isinstance(read, dict):
        raise ConfigurationError(f"{path} is no configuration of a model")
    try:
        return {name: _resolved(value, read, ()) for name, value in read.items()}
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _resolved(value: Any, whole: Mapping[str, Any], through: tuple[str, ...]) -> Any:
    """The value with what its references stand for in their place."""
    if isinstance(value, _Reference):
        if value.name not in whole or value.name in through:
            raise ConfigurationError(f"!ref <{value.name}> leads nowhere")
        return _resolved(whole[value.name], whole, (*through, value.name))
    if isinstance(value, dict):
        return {name: _resolved(one, whole, through) for name, one in value.items()}
    if isinstance(value, list):
        return [_resolved(one, whole, through) for one in value]
    return value
