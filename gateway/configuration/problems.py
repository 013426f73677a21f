"""What is wrong in a configuration, and where. Knows nothing about YAML or about what the fields mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policies import strict
from policies.lint import Severity
from policies.strict import Loc


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `line` and `column` count from 1; `message` says what is wrong and what to do."""

    file: str
    line: int
    column: int
    path: str  # "rules[2].use[0].engine"; empty: the whole file
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        """One line: `file:line:column path: message`."""
        path = f" {self.path}" if self.path else ""
        mark = "warning: " if self.severity == "warning" else ""
        return f"{self.file}:{self.line}:{self.column}{path}: {mark}{self.message}"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds everything found in all its files, warnings too."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def show_path(path: Loc) -> str:
    """`("rules", 2, "use")` as people write it: `rules[2].use`."""
    shown = ""
    for part in path:
        shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else str(part)
    return shown


def near(name: str, known: Iterable[str]) -> str:
    """Advice for a name that is not known: the nearest names, else some of all, or nothing when there is none."""
    names = {one for one in known if one}
    return strict.near(name, names) if names else ""
