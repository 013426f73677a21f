"""`${NAME}` and `${NAME:-default}` in the values of a configuration file. Knows nothing about YAML.

As in a shell, `:-` stands in for a variable that is unset or empty. `$${` is a literal `${`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\}|\$\{[^}]*\}?")


class VariableError(ValueError):
    """A reference that cannot be replaced; the text says what to do."""


def expand(text: str, environ: Mapping[str, str]) -> str:
    """`text` with every reference replaced. Raises VariableError that names the variable."""

    def value(found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        name, default = found["name"], found["default"]
        if name is None:
            raise VariableError(f"{found[0]} names no environment variable: write ${{NAME}} or ${{NAME:-default}}")
        known = environ.get(name)
        if default is not None:
            return known or default[2:]
        if known is None:
            raise VariableError(
                f"environment variable {name} is not set: set it, or give a default with ${{{name}:-default}}"
            )
        return known

    return _REFERENCE.sub(value, text)


def without_references(text: str) -> str:
    """What of `text` is written out: references taken out, but the defaults inside them kept."""
    return _REFERENCE.sub(lambda found: (found["default"] or "")[2:] if found["name"] else found[0], text)


def has_reference(text: str) -> bool:
    """Does it hold a `${NAME}`, in whose place something of the environment is put."""
    return any(found["name"] for found in _REFERENCE.finditer(text))
