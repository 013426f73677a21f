"""Plugins are found one by one, and a broken one is a reported state while the others load."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import gateway.hooks
from engines.contract import API
from engines.registry import BUILT_IN, PluginState, Registry

IMPORTS = """
from engines.contract import EngineKind, Options
from engines.hooks import hookimpl
def kind(name, **more):
    return EngineKind(name, **({"options": Options, "create": print, "summary": "s", "licence": "l"} | more))
"""
GOOD = """
@hookimpl
def engine_kinds():
    return [kind("good")]
"""
BROKEN = {
    "import error": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "syntax error": ("def (", "SyntaxError"),
    "exit at import": ("raise SystemExit(3)", "the module exits (SystemExit(3))"),
    "misspelled hook": ("@hookimpl\ndef engine_kind():\n    return []", "engine_kind"),
    "hook of wrong arguments": ("@hookimpl\ndef engine_kinds(config):\n    return []", "config"),
    "raising hook": (
        "@hookimpl\ndef engine_kinds():\n    raise RuntimeError('no luck\\nat all')",
        "RuntimeError: no luck at all",
    ),
    "hook that raises half way": (
        "@hookimpl\ndef engine_kinds():\n    yield kind('half')\n    1 / 0",
        "ZeroDivisionError",
    ),
    "hook that exits": ("@hookimpl\ndef engine_kinds():\n    exit()", "the module exits"),
    "coroutine as hook": ("@hookimpl\nasync def engine_kinds():\n    return []", "hooks are synchronous"),
    "something else than a kind": (
        "@hookimpl\ndef engine_kinds():\n    return ['tone']",
        "'tone', which is no EngineKind",
    ),
    "options of another type": ("@hookimpl\ndef engine_kinds():\n    return [kind('o', options=dict)]", "no subclass"),
    "another contract": (f"@hookimpl\ndef engine_kinds():\n    return [kind('new', api={API + 1})]", f"this is {API}"),
    "a built-in kind's name": ("@hookimpl\ndef engine_kinds():\n    return [kind('tone')]", "'tone' is already taken"),
    "one name twice": ("@hookimpl\ndef engine_kinds():\n    return [kind('x'), kind('x')]", "'x' is already taken"),
}


class Site:
    """A directory of installed distributions, as pip leaves them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.modules: list[str] = []

    def install(self, name: str, source: str, *, entry: str = "", metadata: bool = True) -> None:
        module = f"plugin_{name.replace('-', '_')}"
        self.modules.append(module)
        (self.path / f"{module}.py").write_text(IMPORTS + dedent(source))
        info = self.path / f"{module}-1.2.dist-info"
        info.mkdir()
        if metadata:
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[voxgate.engines]\n{name} = {entry or module}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    site = Site(tmp_path)
    yield site
    for module in site.modules:
        sys.modules.pop(module, None)


def state_of(registry: Registry, name: str) -> PluginState:
    (state,) = [plugin for plugin in registry.plugins if plugin.name == name]
    return state


def test_the_built_in_kinds_are_there() -> None:
    registry = Registry.load([gateway.hooks])
    assert {"tone", "fault", "espeak"} <= set(registry.kinds)
    assert not [plugin for plugin in registry.plugins if plugin.source == "built in" and plugin.error]


def test_an_installed_plugin_is_found_with_its_distribution(site: Site) -> None:
    site.install("good", GOOD)
    registry = Registry.load([gateway.hooks])
    assert registry.kinds["good"].name == "good"
    assert state_of(registry, "good") == PluginState("good", "good 1.2", ("good",))


@pytest.mark.parametrize("how", sorted(BROKEN))
def test_a_broken_plugin_is_a_reported_state_while_others_load(site: Site, how: str) -> None:
    source, told = BROKEN[how]
    site.install("a-broken", source)
    site.install("good", GOOD)
    registry = Registry.load([gateway.hooks])
    state = state_of(registry, "a-broken")
    assert state.error.startswith("failed to load: ")
    assert told in state.error
    assert "\n" not in state.error
    assert not state.kinds
    assert {"tone", "fault", "good"} <= set(registry.kinds)
    assert set(registry.kinds) & {"half", "x", "new", "o"} == set()
    assert not state_of(registry, "good").error


def test_an_entry_point_that_names_nothing_is_a_reported_state(site: Site) -> None:
    site.install("a-broken", GOOD, entry="plugin_a_broken:missing")
    site.install("b-broken", GOOD, entry="not a module!")
    registry = Registry.load()
    assert "missing" in state_of(registry, "a-broken").error
    assert state_of(registry, "b-broken").error
    assert "tone" in registry.kinds


def test_a_distribution_without_metadata_is_no_obstacle(site: Site) -> None:
    site.install("good", GOOD, metadata=False)
    registry = Registry.load()
    assert "good" in registry.kinds
    assert state_of(registry, "good").source


def test_two_plugins_of_one_name_do_not_hide_each_other(site: Site) -> None:
    site.install("good", GOOD)
    other = site.path / "other"
    other.mkdir()
    twin = Site(other)
    sys.path.insert(0, str(other))
    try:
        twin.install("twin", GOOD.replace('"good"', '"twin"'))
        entry = other / "plugin_twin-1.2.dist-info" / "entry_points.txt"
        entry.write_text("[voxgate.engines]\ngood = plugin_twin\n")
        registry = Registry.load()
    finally:
        sys.path.remove(str(other))
        sys.modules.pop("plugin_twin", None)
    states = [plugin for plugin in registry.plugins if plugin.name == "good"]
    assert sorted(bool(state.error) for state in states) == [False, True]


SERVED = """
@hookimpl
def on_served(record):
    heard.append(record)
heard = []
"""


def test_a_plugin_may_only_listen(site: Site) -> None:
    site.install("listener", SERVED)
    registry = Registry.load([gateway.hooks])
    assert state_of(registry, "listener") == PluginState("listener", "listener 1.2")
    ((name, hook),) = registry.served_hooks()
    hook(record="the record")
    assert name == "listener"
    assert sys.modules["plugin_listener"].heard == ["the record"]


def test_on_served_is_a_known_hook_in_a_process_without_a_gateway(site: Site) -> None:
    site.install("both", GOOD + SERVED)
    registry = Registry.load()
    assert not state_of(registry, "both").error
    assert "good" in registry.kinds


def test_a_broken_plugin_does_not_listen(site: Site) -> None:
    site.install("broken", SERVED + "@hookimpl\ndef engine_kind(): ...\n")
    registry = Registry.load([gateway.hooks])
    assert list(registry.served_hooks()) == []


def test_a_worker_loads_no_further_than_its_kind(site: Site) -> None:
    site.install("good", GOOD)
    registry = Registry.load(only="tone")
    assert set(registry.kinds) >= {"tone"}
    assert "good" not in registry.kinds
    assert "plugin_good" not in sys.modules


def test_a_kind_that_wraps_another_finds_it_in_a_worker_too(site: Site) -> None:
    site.install("good", GOOD)
    registry = Registry.load(only="fault")
    fault = registry.kinds["fault"]
    options = fault.options.model_validate({"of": {"kind": "good"}, "mode": "cut"}, context={"kinds": registry.kinds})
    assert options.model_dump()["of"] == {"kind": "good"}
    with pytest.raises(KeyError):
        registry.kinds["nowhere"]


def test_each_built_in_engine_is_held_to_the_import_contracts() -> None:
    """An engine that no contract names could be imported by anyone."""
    contracts = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    apart = next(one for one in contracts if one["name"].startswith("Engines never import each other"))
    assert set(apart["forbidden_modules"]) == set(BUILT_IN)
