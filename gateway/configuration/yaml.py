"""A YAML file as plain data that remembers where each value stands.

The file is composed to nodes, which carry their positions, and built into data here rather than by a loader: so
every duplicate key is found, not only the first, and a plain scalar can be typed after `${ENV}` was replaced in it. The
rules of YAML 1.2 hold: `no` is text (Norwegian), `12:30` too. Knows nothing about what the fields mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.configuration.problems import Problem, show_path
from gateway.configuration.syntax import NotYaml, compose, place_after
from gateway.configuration.variables import VariableError, expand, has_reference
from policies.lint import Severity
from policies.strict import Loc

_TAG = "tag:yaml.org,2002:"
#: aliases can make a small file enormous; no honest configuration comes near
_MOST_VALUES = 100_000


#: a file's content or, where there is none, what is wrong and what to do
Source = bytes | str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value and its key stand, counted from 1. `raw`: a scalar as written, before `${ENV}` was replaced."""

    file: str
    line: int
    column: int
    key_line: int
    key_column: int
    raw: str | None = None


@dataclass(slots=True)
class Document:
    """A file's data, the place of each value in it, and what is wrong with it. `data` is None if nothing is usable."""

    file: str
    data: Any = None
    places: dict[Loc, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: set[Loc] = field(default_factory=set)  # values that could not be read, already told

    def place(self, path: Loc) -> Place:
        """The place of the value at `path`, or of the nearest one around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return Place(self.file, 1, 1, 1, 1)

    def problem(self, path: Loc, message: str, *, at_key: bool = False, warning: bool = False) -> None:
        """Note what is wrong with the value at `path` (or with its key)."""
        place = self.place(path)
        line, column = (place.key_line, place.key_column) if at_key else (place.line, place.column)
        severity: Severity = "warning" if warning else "error"
        text = " ".join(message.split())
        self.problems.append(Problem(place.file, line, column, show_path(path), text, severity))

    def value(self, path: Loc) -> Any:
        """The value at `path`, or None."""
        data = self.data
        for part in path:
            if isinstance(data, dict):
                data = data.get(part)
            elif isinstance(data, list) and isinstance(part, int) and part < len(data):
                data = data[part]
            else:
                return None
        return data

    @property
    def failed(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)


def read_source(file: Path, absent: Source | None = None) -> Source:
    """What stands in a file now, or `absent` where there is none and that is said. Nothing is raised."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        if absent is not None:
            return absent
        return f"no such file: `voxgate init --missing {file.parent}` writes the shipped one, ready to edit"
    except IsADirectoryError:
        return "is a directory, but must be a file"
    except OSError as error:
        return f"cannot be read ({error.strerror}): check the file's permissions"


def read_document(file: Path, environ: Mapping[str, str], source: Source | None = None) -> Document:
    """Read a file whose root is a mapping, or the `source` that was read before. What is wrong is in `problems`."""
    document = Document(str(file))
    content = read_source(file) if source is None else source
    if isinstance(content, str):
        document.problem((), content)
    else:
        _parse(content, document, environ)
    return document


def parse_document(text: str, file: str, environ: Mapping[str, str]) -> Document:
    """Like `read_document`, from text; `file` is what problems call it."""
    document = Document(file)
    _parse(text.encode(), document, environ)
    return document


def parse_value(text: str) -> Any:
    """One YAML scalar or flow value, as in an environment variable. Raises ValueError."""
    document = Document("")
    node = compose(text)
    data = None if node is None else _Builder(document, {}).build(node, ())
    if document.problems:
        raise ValueError(document.problems[0].message)
    return data


def _parse(content: bytes, document: Document, environ: Mapping[str, str]) -> None:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = place_after(content[: error.start].decode("utf-8", "replace"))
        message = f"byte 0x{content[error.start]:02x} is not UTF-8: save the file as UTF-8"
        document.problems.append(Problem(document.file, line, column, "", message))
        return
    try:
        node = compose(text)
    except NotYaml as error:
        document.problems.append(Problem(document.file, error.line, error.column, "", str(error)))
        return
    if node is None:
        document.problem((), "is empty: write at least `version: 1`, or take the shipped one from `voxgate init`")
        return
    if not isinstance(node, MappingNode):
        _note(document, node, "must hold `name: value` lines at its top, beginning with `version: 1`")
        return
    try:
        document.data = _Builder(document, environ).build(node, ())
    except (_TooLarge, RecursionError):
        document.problem((), "holds too many or too deeply nested values: look for aliases (*name) inside aliases")


def _note(document: Document, node: Node, message: str, path: Loc = ()) -> None:
    mark = node.start_mark
    document.problems.append(Problem(document.file, mark.line + 1, mark.column + 1, show_path(path), message))


class _TooLarge(Exception):
    pass


class _Builder:
    """Turns nodes into data, noting the place of each value and every problem on the way."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self.document = document
        self.environ = environ
        self.open: set[int] = set()  # nodes being built: an alias to one of them would never end
        yaml = YAML(typ="safe", pure=True)
        self.resolver = yaml.resolver
        self.constructor = yaml.constructor

    def build(self, node: Node, path: Loc, key: Node | None = None) -> Any:
        self._remember(node, path, key)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if id(node) in self.open:
            return self._broken(node, path, "holds itself: an alias (*name) cannot stand inside its own anchor (&name)")
        self.open.add(id(node))
        try:
            if isinstance(node, MappingNode) and node.tag == _TAG + "map":
                return self._mapping(node, path)
            if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
                return [self.build(one, (*path, index)) for index, one in enumerate(node.value)]
        finally:
            self.open.discard(id(node))
        return self._broken(node, path, f"the tag {_short(node.tag)} is not used here: remove it")

    def _remember(self, node: Node, path: Loc, key: Node | None) -> None:
        if len(self.document.places) >= _MOST_VALUES:
            raise _TooLarge
        value, named = node.start_mark, (key or node).start_mark
        raw = node.value if isinstance(node, ScalarNode) else None
        # a missing value is reported by the parser after the white space that follows; its key is where people look
        at = named if key is not None and raw == "" else value
        self.document.places[path] = Place(
            self.document.file, at.line + 1, at.column + 1, named.line + 1, named.column + 1, raw
        )

    def _broken(self, node: Node, path: Loc, message: str) -> None:
        self.document.broken.add(path)
        _note(self.document, node, message, path)

    def _mapping(self, node: MappingNode, path: Loc) -> dict[str, Any]:
        own: dict[str, Node] = {}
        data: dict[str, Any] = {}
        merged: list[MappingNode] = []
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                merged += self._merged(value, path)
            elif not isinstance(key, ScalarNode) or key.tag not in (_TAG + "str", _TAG + "timestamp"):
                shown = key.value if isinstance(key, ScalarNode) else "…"
                _note(self.document, key, f"the key {shown} is not text: put quotes around it", path)
            elif key.value in own:
                first = own[key.value].start_mark.line + 1
                text = f"duplicate key, already written on line {first}: remove one of the two"
                _note(self.document, key, text, (*path, key.value))
            else:
                own[key.value] = key
                data[key.value] = self.build(value, (*path, key.value), key)
        for other in merged:
            for key, value in other.value:
                if isinstance(key, ScalarNode) and key.value not in data and key.tag == _TAG + "str":
                    data[key.value] = self.build(value, (*path, key.value), key)
        return data

    def _merged(self, value: Node, path: Loc) -> list[MappingNode]:
        """The mappings that `<<: *name` or `<<: [*a, *b]` brings in, the nearest first."""
        several = value.value if isinstance(value, SequenceNode) else [value]
        found = [one for one in several if isinstance(one, MappingNode) and id(one) not in self.open]
        if len(found) < len(several):
            _note(self.document, value, "`<<` takes an alias to a mapping: write `<<: *name`", path)
        return found

    def _scalar(self, node: ScalarNode, path: Loc) -> Any:
        tag = str(node.tag)
        try:
            value = expand(node.value, self.environ)
        except VariableError as error:
            return self._broken(node, path, str(error))
        if value != node.value:
            plain = node.style is None and tag == _TAG + "str"
            tag = str(self.resolver.resolve(ScalarNode, value, (True, False))) if plain and value else _TAG + "str"
        if tag in (_TAG + "str", _TAG + "timestamp", _TAG + "merge", _TAG + "value"):
            return value
        build = {
            _TAG + "null": lambda _: None,
            _TAG + "bool": self.constructor.construct_yaml_bool,
            _TAG + "int": self.constructor.construct_yaml_int,
            _TAG + "float": self.constructor.construct_yaml_float,
        }.get(tag)
        if build is None:
            return self._broken(node, path, f"the tag {_short(tag)} is not used here: remove it")
        try:
            return build(ScalarNode(tag, value, node.start_mark, node.end_mark))
        except (ValueError, KeyError, YAMLError):
            hint = " after ${…} was replaced" if has_reference(node.value) else ""
            return self._broken(node, path, f"cannot be read as {_short(tag)}{hint}: put quotes around text")


def _short(tag: object) -> str:
    return str(tag).replace(_TAG, "!!")
