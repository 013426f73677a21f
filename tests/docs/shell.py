"""Reads documents: their fenced blocks, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
#: what tools leave behind in a checkout
_FOREIGN = frozenset({".git", ".venv", ".pytest_cache", ".hypothesis", "node_modules", "site-packages"})

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_PROGRAM = re.compile(r"(\S*/)?voxgate|scripts/run")
_SEPARATORS = frozenset({"&&", "||", ";", "|", "&"})


def documents() -> list[Path]:
    """Every Markdown file of the repository."""
    found = (path.relative_to(REPOSITORY) for path in REPOSITORY.rglob("*.md"))
    return sorted(path for path in found if not _FOREIGN & set(path.parts))


def blocks(text: str) -> list[tuple[str, str]]:
    """Fenced blocks in their order: (language, content)."""
    return [(match[2], match[3]) for match in _FENCE.finditer(text)]


def without_blocks(text: str) -> str:
    """The text with its fenced blocks and code spans taken out."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))


def spans(text: str) -> list[str]:
    """Code spans, outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))


def voxgate_commands(script: str) -> Iterator[list[str]]:
    """The arguments of each `voxgate` in a shell script, by whatever path it is called; `scripts/run` is `serve`."""
    for line in script.replace("\\\n", " ").splitlines():
        if "voxgate" not in line and "scripts/run" not in line:
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if word in _SEPARATORS:
                yield from _arguments(command)
                command = []
            else:
                command.append(word)


def _arguments(command: list[str]) -> Iterator[list[str]]:
    words = list(command)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # variables that stand before a command
        del words[0]
    if words and _PROGRAM.fullmatch(words[0]):
        yield ["serve", *words[1:]] if words[0] == "scripts/run" else words[1:]
