"""Files, and parts of files, that are made from types: schemas, references, tables of documents.

    python -m gateway.generated --write
    python -m gateway.generated --check

This module knows how they are written and compared, and nothing about their content; `__main__` lists who makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

#: path in the repository -> content of the whole file
Files = Mapping[str, str]


def stale(files: Files, root: Path) -> list[str]:
    """The paths of the files that are missing under `root`, or differ."""
    return [
        path
        for path, text in files.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]


def write(files: Files, root: Path) -> list[str]:
    """Write what is missing under `root` or differs; returns the paths."""
    written = stale(files, root)
    for path in written:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(files[path], encoding="utf-8")
    return written


def put_between(document: str, name: str, text: str) -> str:
    """The document with `text` between its lines `<!-- generated: NAME -->` and `<!-- end: NAME -->`.

    Raises ValueError when it has not just one such pair.
    """
    first, last = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
    before, opened, rest = document.partition(first)
    _, closed, after = rest.partition(last)
    if not (opened and closed) or first in rest or last in after:
        raise ValueError(f"the document needs one line {first.strip()!r} and, below it, one {last!r}")
    return f"{before}{first}{text}{last}{after}"
