"""The reloader: what files say by now is put into force, or refused with its place, however they were written."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engines.contract import EngineKind, Options
from engines.registry import Registry
from gateway.configuration.load import Config, Reading, load_config, read_config, read_sources
from gateway.configuration.yaml import Source
from gateway.fleet.fleet import Changes
from gateway.keys.keyring import digest_of
from gateway.reload import Reloader
from tests.engines_at_hand import Scripted
from tests.virtual import VirtualClock

GATEWAY = "version: 1\ndata_dir: {data}\n"
ENGINES = "version: 1\nengines:\n  a: {kind: scripted}\n  b: {kind: scripted}\n"
VOICES = "version: 1\ndefault: narrator\nvoices:\n  narrator: {languages: [en], engines: {a: one}}\n"
POLICIES = "version: 1\nrules:\n  - {name: first, use: [a]}\n"


def keys(*names: str, revoked: str = "") -> str:
    lines = [f"  {name}: {{sha256: {digest_of(name.encode()).hex()}}}\n" for name in names if name != revoked]
    if revoked:
        lines.append(f"  {revoked}: {{sha256: {digest_of(revoked.encode()).hex()}, revoked: 2026-11-20T12:00:00Z}}\n")
    return "version: 1\nkeys:\n" + "".join(lines)


class Desk:
    """A directory of files, and what a reloader made of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        files = {"gateway": GATEWAY, "engines": ENGINES, "voices": VOICES, "policies": POLICIES}
        for name, text in files.items():
            (directory / f"{name}.yaml").write_text(text.replace("{data}", str(directory / "data")))
        self.registry = Registry()
        self.registry.kinds["scripted"] = EngineKind("scripted", Options, lambda *_: Scripted(), "", "")
        self.adopted: list[Config] = []

    def _adopt(self, config: Config) -> Changes:
        self.adopted.append(config)
        return Changes()

    @property
    def config(self) -> Config:
        return self.adopted[-1]

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[Reloader, None]:
        config = load_config(self.directory, self.registry, {})
        self.adopted.append(config)
        async with Reloader(config, self._adopt, self.registry, VirtualClock(), look_every_s=0.02) as reloader:
            yield reloader

    def file(self, name: str) -> Path:
        return self.directory / f"{name}.yaml"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def until(holds: Callable[[], object]) -> None:
    """Poll; the bound is only there to fail instead of hanging."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.005)


async def looks(desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int = 5) -> None:
    """Let so many looks at the files go by."""
    seen = 0

    def counted(directory: Path) -> object:
        nonlocal seen
        seen += 1
        return read_sources(directory)

    with monkeypatch.context() as patch:
        patch.setattr("gateway.reload.read_sources", counted)
        await until(lambda: seen > number)


async def test_a_change_is_noticed_and_put_into_force(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with desk.watched() as reloader:
        desk.file("policies").write_text(POLICIES.replace("first", "second"))
        await until(lambda: len(desk.adopted) == 2)
        assert desk.config.policy.rules[0].name == "second"
        await until(lambda: reloader.succeeded == 1)
        assert (reloader.last.ok, reloader.last.changed) == (True, ("policies.yaml",))
    assert "reloaded policies.yaml" in caplog.messages


async def test_several_files_are_taken_over_in_one_step(desk: Desk) -> None:
    async with desk.watched() as reloader:
        desk.file("policies").write_text(POLICIES.replace("[a]", "[c]"))  # refused as long as there is no c
        await until(lambda: reloader.refused)
        desk.file("engines").write_text(ENGINES + "  c: {kind: scripted}\n")
        await until(lambda: reloader.succeeded)
        assert len(desk.adopted) == 2
        assert reloader.last.changed == ("engines.yaml", "policies.yaml")


BAD_EDITS = {
    "a field that is none": ("policies", POLICIES + "pauzed: [a]\n", ":4:1 pauzed: unknown field"),
    "an engine that is none": ("policies", POLICIES.replace("[a]", "[z]"), ":3:25 rules[0].use[0]: "),
    "no YAML": ("policies", "version: 1\nrules: [\n", ":3:1: not YAML"),
    "nothing at all": ("engines", "", ":1:1: is empty"),
    "an engine that rules use is gone": ("engines", "version: 1\nengines:\n  b: {kind: scripted}\n", "rules[0].use[0]"),
    "an option that is none": ("engines", ENGINES.replace("b: {", "b: {speed: 3, "), ":4:"),
    "no such default voice": ("voices", VOICES.replace("default: narrator", "default: nobody"), ":2:10 default: "),
    "a secret": ("engines", ENGINES.replace("a: {", "a: {api_key: sk-1, "), ":3:"),
    "a key that is no hash": ("keys", "version: 1\nkeys:\n  app: {sha256: abc}\n", ":3:17 keys.app.sha256: "),
    "a setting that is none": ("gateway", GATEWAY + "listen: {porto: 1}\n", ":3:10 listen.porto: unknown field"),
}


@pytest.mark.parametrize(("name", "text", "told"), BAD_EDITS.values(), ids=BAD_EDITS)
async def test_a_bad_edit_is_refused_with_its_place_and_told_once(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str, text: str, told: str
) -> None:
    caplog.set_level(logging.INFO)
    async with desk.watched() as reloader:
        good = desk.file(name).read_text() if desk.file(name).exists() else None
        desk.file(name).write_text(text)
        await until(lambda: reloader.refused)
        assert any(told in str(problem) for problem in reloader.last.problems), reloader.last.problems
        assert len(desk.adopted) == 1
        await looks(desk, monkeypatch)
        assert reloader.refused == 1
        assert len([one for one in caplog.messages if one.startswith("refused: ")]) == len(reloader.last.problems)
        if good is None:
            desk.file(name).unlink()
        else:
            desk.file(name).write_text(good)
        await until(lambda: reloader.last.ok)
        assert len(desk.adopted) == 1  # nothing has changed after all


async def test_a_file_that_is_gone_is_a_bad_edit(desk: Desk) -> None:
    async with desk.watched() as reloader:
        desk.file("voices").unlink()
        await until(lambda: reloader.refused)
        assert "no such file" in str(reloader.last.problems[0])


async def test_a_file_is_not_read_while_it_is_written(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look finds a little more of it, and nearly each of these states is a mistake."""
    text = iter(POLICIES.replace("first", "second"))
    async with desk.watched() as reloader:
        desk.file("policies").write_text("")

        def growing(directory: Path) -> dict[str, Source]:
            with desk.file("policies").open("a") as file:
                file.write("".join(itertools.islice(text, 3)))
            return read_sources(directory)

        monkeypatch.setattr("gateway.reload.read_sources", growing)
        await until(lambda: len(desk.adopted) == 2)
        assert reloader.refused == 0
        assert desk.config.policy.rules[0].name == "second"


async def test_an_editor_that_renames_another_file_into_the_place_is_noticed(desk: Desk) -> None:
    async with desk.watched():
        for count in range(3):
            new = desk.directory / ".policies.yaml.swp"
            new.write_text(POLICIES.replace("first", f"rule {count}"))
            new.rename(desk.file("policies"))
            await until(lambda wanted=f"rule {count}": desk.config.policy.rules[0].name == wanted)  # type: ignore[misc]


async def test_a_change_that_keeps_size_and_times_is_noticed(desk: Desk) -> None:
    async with desk.watched():
        file = desk.file("policies")
        before = file.stat()
        file.write_text(POLICIES.replace("first", "other"))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert file.stat().st_size == before.st_size
        await until(lambda: desk.config.policy.rules[0].name == "other")


async def test_a_config_map_is_swapped_as_a_whole(tmp_path: Path) -> None:
    """Kubernetes: the files are links to `..data/NAME`, and `..data` is a link that is replaced by a rename."""
    inside = Desk(tmp_path)
    for version in ("1", "2"):
        folder = tmp_path / f"..version{version}"
        folder.mkdir()
        for name in ("engines", "policies"):
            text = inside.file(name).read_text()
            (folder / f"{name}.yaml").write_text(text.replace("a:", f"a{version}:").replace("[a]", f"[a{version}]"))
    (tmp_path / "..data").symlink_to("..version1")
    for name in ("engines", "policies"):
        inside.file(name).unlink()
        inside.file(name).symlink_to(Path("..data") / f"{name}.yaml")
    async with inside.watched() as reloader:
        assert "a1" in inside.config.engines
        (tmp_path / "..data_tmp").symlink_to("..version2")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        await until(lambda: len(inside.adopted) == 2)
        assert "a2" in inside.config.engines
        assert inside.config.policy.rules[0].use[0].engine == "a2"
        assert reloader.refused == 0


async def test_a_revoked_key_is_gone_also_when_another_file_is_broken(desk: Desk) -> None:
    desk.file("keys").write_text(keys("app", "other"))
    async with desk.watched() as reloader:
        assert desk.config.keys.find(b"app")
        desk.file("policies").write_text("version: 1\nrules: [\n")
        await until(lambda: reloader.refused)
        desk.file("keys").write_text(keys("app", "other", revoked="app"))
        await until(lambda: len(desk.adopted) == 2)
        found = desk.config.keys.find(b"app")
        assert found is None or found.revoked
        assert desk.config.keys.find(b"other")
        assert desk.config.policy.rules[0].name == "first"
        await until(lambda: reloader.last.changed == ("keys.yaml",))
        assert not reloader.last.ok


async def test_keys_that_come_are_needed_from_then_on_and_a_file_that_is_gone_opens_no_door(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk.watched():
        assert not desk.config.needs_keys
        desk.file("keys").write_text(keys("app"))
        await until(lambda: desk.config.needs_keys)
        assert desk.config.keys.find(b"app")
        assert "no active key" not in caplog.text
        desk.file("keys").unlink()
        await until(lambda: not desk.config.keys.find(b"app"))
        assert desk.config.needs_keys
        await until(lambda: "no active key" in caplog.text)


async def test_broken_keys_keep_no_rule_from_changing(desk: Desk) -> None:
    desk.file("keys").write_text(keys("app"))
    async with desk.watched() as reloader:
        desk.file("keys").write_text("version: 1\nkeys: [\n")
        desk.file("policies").write_text(POLICIES.replace("first", "second"))
        await until(lambda: reloader.refused)
        await until(lambda: desk.config.policy.rules[0].name == "second")
        assert desk.config.keys.find(b"app")


async def test_settings_of_gateway_yaml_wait_for_a_restart(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    text = desk.file("gateway").read_text()
    async with desk.watched() as reloader:
        desk.file("gateway").write_text(text + "cache: {memory_mb: 1}\ndrain_s: 3\n")
        await until(lambda: reloader.restart_pending)
        assert reloader.restart_pending == ("cache.memory_mb", "drain_s")
        assert (reloader.last.ok, len(desk.adopted)) == (True, 1)
        desk.file("policies").write_text(POLICIES.replace("first", "second"))
        await until(lambda: len(desk.adopted) == 2)
        assert desk.config.settings.drain_s == 30
        desk.file("gateway").write_text(text)
        await until(lambda: not reloader.restart_pending)
    assert len([one for one in caplog.messages if "restart the gateway" in one]) == 1


async def test_rules_change_while_gateway_yaml_is_broken(desk: Desk) -> None:
    async with desk.watched() as reloader:
        desk.file("gateway").write_text("version: 1\nlisten: {port: none}\n")
        await until(lambda: reloader.refused)
        desk.file("policies").write_text(POLICIES.replace("first", "second"))
        await until(lambda: len(desk.adopted) == 2)
        await until(lambda: reloader.refused == 2)


async def test_a_reload_on_demand_says_what_it_did(desk: Desk) -> None:
    async with desk.watched() as reloader:
        assert (await reloader.reload()).changed == ()
        desk.file("policies").write_text(POLICIES.replace("first", "second"))
        first, second = await asyncio.gather(reloader.reload(), reloader.reload())
        assert {first.changed, second.changed} == {("policies.yaml",), ()}
        assert len(desk.adopted) == 2


async def test_what_fails_unexpectedly_is_told_and_the_watch_goes_on(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk.watched() as reloader:
        with monkeypatch.context() as patch:
            patch.setattr("gateway.reload.read_config", lambda *_: 1 / 0)
            desk.file("policies").write_text(POLICIES.replace("first", "second"))
            await until(lambda: reloader.refused)
            await looks(desk, monkeypatch)
        assert len([one for one in caplog.records if one.exc_info]) == 1
        assert "ZeroDivisionError" in str(reloader.last.problems)
        desk.file("policies").write_text(POLICIES.replace("first", "third"))
        await until(lambda: desk.config.policy.rules[0].name == "third")


async def test_a_directory_that_is_swapped_by_a_link_is_followed(tmp_path: Path) -> None:
    desk, other = Desk(tmp_path / "1"), Desk(tmp_path / "2")
    other.file("policies").write_text(POLICIES.replace("first", "second"))
    desk.directory = tmp_path / "current"
    desk.directory.symlink_to("1")
    async with desk.watched():
        (tmp_path / "next").symlink_to("2")
        (tmp_path / "next").rename(tmp_path / "current")
        await until(lambda: desk.config.policy.rules[0].name == "second")


async def test_a_reload_that_is_broken_off_leaves_the_change_to_the_next_look(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk.watched() as reloader:
        begun, go = threading.Event(), threading.Event()

        def slowly(*arguments: Any) -> Reading:
            begun.set()
            go.wait(20)
            return read_config(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr("gateway.reload.read_config", slowly)
            desk.file("policies").write_text(POLICIES.replace("first", "second"))
            asked = asyncio.create_task(reloader.reload())
            await asyncio.to_thread(begun.wait, 20)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            assert len(desk.adopted) == 1
            go.set()
        await until(lambda: desk.config.policy.rules[0].name == "second")
