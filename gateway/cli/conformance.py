"""Runs the conformance kit against one kind of one module. Knows none of the rules: they are in `engines.testing`."""

from __future__ import annotations

import difflib
import importlib
import json
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError

from engines.contract import EngineKind, Instance

#: what pytest collects; its own directory and ini file keep a plugin's configuration out of it
_TESTS = """\
from engines.testing import EngineConformance
from gateway.cli.conformance import find_kind

class TestKind(EngineConformance):
    kind = find_kind({target!r})
    options = {options!r}
"""


def run_kit(target: str, options_json: str) -> int:
    """pytest's exit status. Raises ValueError, with one line to show, when there is nothing to run it on."""
    if find_spec("pytest") is None:
        raise ValueError(f"the kit needs pytest: {sys.executable} -m pip install pytest")
    import pytest

    kind = find_kind(target)
    options = _options(kind, options_json)
    with tempfile.TemporaryDirectory(prefix="voxgate-kit-") as there:
        tests = Path(there) / "test_conformance.py"
        tests.write_text(_TESTS.format(target=target, options=options), encoding="utf-8")
        (Path(there) / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        # the asyncio plugin has nothing to do here, and warns when it is not configured
        quiet = ["-q", "--tb=short", "-p", "no:cacheprovider", "-p", "no:asyncio", "--import-mode=importlib"]
        return int(pytest.main([*quiet, "-c", str(Path(there) / "pytest.ini"), f"--rootdir={there}", str(tests)]))


def find_kind(target: str) -> EngineKind:
    """The kind that `MODULE:KIND` names; modules of the current directory and its src/ are found too.

    Raises ValueError for a module that cannot be imported and for a kind that it does not offer.
    """
    module_name, colon, kind_name = target.partition(":")
    if not (module_name and colon and kind_name):
        raise ValueError(f"{target!r} is not of the form MODULE:KIND, such as voxgate_chime:chime")
    for place in (str(Path.cwd() / "src"), str(Path.cwd())):
        if place not in sys.path:
            sys.path.insert(0, place)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ValueError(f"cannot import {module_name!r}: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, "engine_kinds", None)):
        raise ValueError(f"{module_name!r} has no hook `engine_kinds`")
    offered: Iterable[EngineKind] = module.engine_kinds()
    kinds = {kind.name: kind for kind in offered}
    if kind_name not in kinds:
        near = difflib.get_close_matches(kind_name, kinds, n=1) or sorted(kinds)
        raise ValueError(f"{module_name!r} offers no kind {kind_name!r}; it offers: {', '.join(near)}")
    return kinds[kind_name]


def _options(kind: EngineKind, options_json: str) -> object:
    """The options as given, once the kind has accepted them and nothing that it needs is missing."""
    from engines.registry import Registry

    try:
        written = json.loads(options_json)
    except json.JSONDecodeError as error:
        raise ValueError(f"--options is no JSON: {error}") from None
    kinds = Registry.load().kinds
    try:
        options = kind.options.model_validate(written, context={"kinds": kinds})
    except ValidationError as error:
        told = (f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors())
        raise ValueError(f"--options: {'; '.join(told)}") from None
    if kind.missing and (missing := kind.missing(Instance("kit", kinds=kinds), options)):
        raise ValueError(f"{kind.name} is {missing.state}, so there is nothing to test: {missing.advice}")
    return written
