"""Files that are made from types: written with `--write DIR`, compared with `--check DIR`.

Knows nothing about their content.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path


def generate(files: Callable[[], Mapping[str, str]], usual: Path) -> None:
    """The command line of a generator of `files` (name -> content); `usual`: the directory when none is named."""
    parser = argparse.ArgumentParser(description="Write generated files, or check that they are as they should be.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", nargs="?", const=usual, type=Path, metavar="DIR", help=f"default: {usual}")
    mode.add_argument("--check", nargs="?", const=usual, type=Path, metavar="DIR", help=f"default: {usual}")
    asked = parser.parse_args()
    if asked.write:
        asked.write.mkdir(parents=True, exist_ok=True)
        for name, text in files().items():
            (asked.write / name).write_text(text, encoding="utf-8")
        return
    for name in stale(files(), asked.check):
        print(f"{asked.check / name} is not as generated: run this command with --write", file=sys.stderr)
        sys.exit(1)


def stale(files: Mapping[str, str], directory: Path) -> list[str]:
    """The names of the files that are missing in `directory`, or differ."""
    return [
        name
        for name, text in files.items()
        if not (directory / name).is_file() or (directory / name).read_text(encoding="utf-8") != text
    ]
