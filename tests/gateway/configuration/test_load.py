"""A whole directory, loaded; which directory; and what the engines in it can do."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import gateway.hooks
from engines.registry import Registry
from gateway.configuration.load import Config, find_directory, load_config, shipped_directory
from gateway.configuration.problems import ConfigError
from gateway.configuration.standing import idle_snapshot, infos, missing

ENGINES = "version: 1\nengines:\n"
OPENAI_VOICES = ["alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"]
OPENAI_VOICES += ["marin", "nova", "onyx", "sage", "shimmer", "verse"]


def test_engines_have_what_is_common_and_their_own_options(load: Callable[..., Config]) -> None:
    text = "{kind: small, slots: 4, queue: 0, isolation: inline, size: 9, idle_unload_s: 0}"
    echo = load({"engines.yaml": f"{ENGINES}  echo: {text}\n"}).engines["echo"]
    assert (echo.kind.name, echo.slots, echo.queue, echo.isolation, echo.idle_unload_s) == ("small", 4, 0, "inline", 0)
    assert (echo.enabled, echo.start_timeout_s, echo.memory_limit_mb) == (True, 60, None)
    assert echo.options.model_dump() == {"size": 9, "title": "", "stretch": 1.0}


def test_a_home_directory_is_expanded(load: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    settings = load({"gateway.yaml": "version: 1\ndata_dir: ~/data\ncache: {path: ~/clips}\n"}).settings
    assert (settings.data_dir, settings.cache.path) == (Path("/home/me/data"), Path("/home/me/clips"))
    assert load().settings.data_dir == Path("/home/me/.local/share/voxgate")


def test_the_idle_board_has_the_enabled_engines_and_why_one_cannot_start(load: Callable[..., Config]) -> None:
    cloud = "  far: {kind: cloud, slots: 3, cost_per_1k_chars: 2}\n"
    text = f"  echo: {{kind: small}}\n{cloud}  off: {{kind: small, enabled: false}}\n"
    config = load({"engines.yaml": ENGINES + text})
    now = datetime(2026, 1, 1, tzinfo=UTC)
    snapshot = idle_snapshot(config, now)
    assert snapshot.now is now
    assert list(snapshot.engines) == ["echo", "far"]
    echo, far = snapshot.engines.values()
    assert (echo.state, echo.slots, echo.cost_per_1k_chars, echo.load) == ("up", 2, 0.5, 0)
    assert (far.state, far.slots, far.cost_per_1k_chars, far.reason) == ("not_configured", 3, 2, "set api_key_env")
    assert idle_snapshot(config).now.tzinfo is not None
    assert set(infos(config)) == {"echo", "far", "off"}
    assert infos(config)["far"] is None
    assert set(missing(config)) == {"far"}


def test_a_kind_that_cannot_describe_itself_refuses_nothing(
    load: Callable[..., Config], registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("a plugin's bug")

    registry.kinds["small"] = dataclasses.replace(registry.kinds["small"], describe=breaks, missing=breaks)  # type: ignore[arg-type]
    config = load()
    assert infos(config)["echo"] is None
    assert "a plugin's bug" in caplog.text


def test_the_directory_is_the_one_asked_for_else_the_environments_else_the_one_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    assert find_directory(None, {}) == shipped_directory()  # an unrelated ./config does not count
    (tmp_path / "config" / "engines.yaml").touch()
    assert find_directory(None, {}) == Path("config")
    assert find_directory(None, {"VOXGATE_CONFIG": ""}) == Path("config")
    assert find_directory(None, {"VOXGATE_CONFIG": "/etc/voxgate"}) == Path("/etc/voxgate")
    assert find_directory(Path("mine"), {"VOXGATE_CONFIG": "/etc/voxgate"}) == Path("mine")


@pytest.mark.parametrize("make", [False, True])
def test_a_directory_that_is_not_there_is_one_clear_line(tmp_path: Path, make: bool) -> None:
    place = tmp_path / "nowhere"
    if make:
        place.touch()
    with pytest.raises(ConfigError) as caught:
        load_config(place, Registry(), {})
    (problem,) = caught.value.problems
    assert f"`voxgate init {place}`" in str(problem)


def test_an_unreadable_file_is_told_with_its_reason(write: Callable[..., Path], registry: Registry) -> None:
    directory = write()
    (directory / "voices.yaml").unlink()
    (directory / "voices.yaml").mkdir()
    (directory / "gateway.yaml").write_bytes("version: 1\nauth: 开\n".encode("gb18030"))
    with pytest.raises(ConfigError) as caught:
        load_config(directory, registry, {})
    lines = [str(problem) for problem in caught.value.problems]
    assert lines[0].endswith("gateway.yaml:2:7: byte 0xbf is not UTF-8: save the file as UTF-8")
    assert lines[1].endswith("voices.yaml:1:1: is a directory, but must be a file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_told(write: Callable[..., Path], registry: Registry) -> None:
    directory = write()
    (directory / "gateway.yaml").chmod(0)
    with pytest.raises(ConfigError, match="check the file's permissions"):
        load_config(directory, registry, {})


def test_a_byte_order_mark_and_windows_line_ends_are_read(write: Callable[..., Path], registry: Registry) -> None:
    directory = write()
    (directory / "gateway.yaml").write_bytes(b"\xef\xbb\xbfversion: 1\r\nauth: none\r\n")
    assert load_config(directory, registry, {}).settings.auth == "none"


def test_the_shipped_configuration_has_neither_errors_nor_warnings() -> None:
    config = load_config(shipped_directory(), Registry.load([gateway.hooks]), {"HOME": "/home/me"})
    assert config.warnings == ()
    assert [name for name, entry in config.engines.items() if entry.enabled] == ["indextts", "sambert", "espeak"]
    assert config.policy.last_resort == "espeak"
    assert [config.voices.resolve(name) for name in OPENAI_VOICES] == ["narrator"] * len(OPENAI_VOICES)
    assert {voice.gender for voice in config.voices.voices.values()} == {"female", "male"}
    narrator = config.voices.voices["narrator"]
    assert narrator.on("espeak", "zh") == "cmn-latn-pinyin+f3"
    assert all(narrator.on("espeak", language) for language in narrator.languages)
    assert all(config.policy.models[name] == "auto" for name in ("tts-1", "tts-1-hd", "gpt-4o-mini-tts"))


def test_the_shipped_configuration_has_no_warning() -> None:
    assert load_config(shipped_directory(), Registry.load([gateway.hooks]), {}).warnings == ()
