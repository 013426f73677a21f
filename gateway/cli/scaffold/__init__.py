"""Writes a plugin package from the templates beside this module. Knows nothing about engines but their names."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from string import Template

from engines.registry import BUILT_IN

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TAKEN = {module.rpartition(".")[2] for module in BUILT_IN}

#: template -> where it goes in the package
_FILES = {
    "pyproject.toml.tmpl": "pyproject.toml",
    "README.md.tmpl": "README.md",
    "engine.py.tmpl": "src/$module/__init__.py",
    "test_engine.py.tmpl": "tests/test_$module.py",
}


def write_package(name: str, parent: Path) -> Path:
    """Write `parent`/voxgate-NAME and return its path. Whole or not at all.

    Raises ValueError for a name that cannot be used or a directory that is there already; OSError.
    """
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise ValueError(f"{name!r} is no name for a kind: write it like `my-voice`, up to 40 of a-z, 0-9 and single -")
    if name in _TAKEN:
        raise ValueError(f"{name!r} is the name of a built-in kind: choose another")
    package = f"voxgate-{name}"
    names = {
        "kind": name,
        "package": package,
        "module": package.replace("-", "_"),
        "camel": "".join(part.capitalize() for part in name.split("-")),
    }
    where = parent / package
    if where.exists():
        raise ValueError(f"{where} is there already: choose another name, or remove it")
    where.mkdir(parents=True)
    try:
        for template, target in _FILES.items():
            file = where / Template(target).substitute(names)
            file.parent.mkdir(parents=True, exist_ok=True)
            text = Path(__file__).with_name(template).read_text(encoding="utf-8")
            file.write_text(Template(text).substitute(names), encoding="utf-8")
    except BaseException:
        shutil.rmtree(where, ignore_errors=True)
        raise
    return where
