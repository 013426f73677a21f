"""YAML text as nodes, and a parser's complaints in plain words. Knows nothing about what the nodes mean."""

from __future__ import annotations

import warnings

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import Node
from ruamel.yaml.reader import ReaderError


class NotYaml(ValueError):
    """Text that is no YAML: where, counted from 1, and what to do."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


def compose(text: str) -> Node | None:
    """The root node of a text with one document; None if it is empty. Raises NotYaml."""
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about anchors defined twice, which YAML allows
            node: Node | None = yaml.compose(text)
            return node
    except ReaderError as error:
        code = error.character if isinstance(error.character, int) else ord(error.character)
        line, column = place_after(text[: int(error.position)])
        raise NotYaml(f"the control character U+{code:04X} is not allowed: remove it", line, column) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise NotYaml(_plain(error, text, line), line, column) from None
    except RecursionError:
        raise NotYaml("is nested too deeply") from None
    except (YAMLError, ValueError) as error:
        raise NotYaml(f"is not YAML: {error}") from None


def place_after(before: str) -> tuple[int, int]:
    """Line and column, counted from 1, of what follows the text `before`."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _plain(error: MarkedYAMLError, text: str, line: int) -> str:
    """What a complaint means to the person who wrote the file."""
    problem = str(error.problem or "cannot be read")
    lines = text.splitlines()
    shown = lines[line - 1] if 0 < line <= len(lines) else ""
    since = f", in what begins on line {error.context_mark.line + 1}" if error.context_mark else ""
    if "\t" in shown[: len(shown) - len(shown.lstrip())] or "'\\t'" in problem:
        return "a tab: YAML is indented with spaces only"
    if "expected a single document" in str(error.context):
        return "a second document begins here: keep one per file, without `---` between"
    if "${" in shown and ("{" in shown.replace("${", "") or "[" in shown):
        return 'not YAML: inside {…} and […] write "${NAME}" with quotes around it'
    if "undefined alias" in problem:
        return f"not YAML: {problem}: define it above with &name"
    if "mapping values are not allowed" in problem:
        return "not YAML: a second `: ` in this line, or wrong indentation: put quotes around text that holds `: `"
    if "could not find expected ':'" in problem:
        return f"not YAML: a `name: value` line lacks its `:`{since}"
    if any(sign in problem for sign in ("'%'", "'@'", "'`'")):
        return f"not YAML: {problem}: put quotes around the text"
    return f"not YAML: {problem}{since}: check indentation, quotes and brackets"
