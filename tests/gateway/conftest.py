"""A runtime on scripted engines: the whole pipeline, without HTTP and without worker processes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from engines.contract import EngineInfo, EngineKind, Options
from engines.registry import Registry
from gateway import hooks
from gateway.configuration.load import load_config
from gateway.runtime import Runtime
from tests.engines_at_hand import Scripted

VOICES = """version: 1
default: narrator
voices:
  narrator: {languages: [zh, en], gender: female, engines: {a: a-voice, b: {zh: b-zh, en: b-en}}}
  other: {languages: [en], gender: male, engines: {b: b-other}}
aliases: {alloy: narrator}
"""
POLICIES = """version: 1
models: {tts-1: auto, best: a}
rules:
  - {name: everything, use: [a, b]}
"""


class Bench:
    """Makes runtimes whose engines are the `Scripted` ones given, by instance name."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self._directory, self._stack, self._count = directory, stack, 0

    async def runtime(
        self,
        engines: Mapping[str, Scripted],
        *,
        policies: str = POLICIES,
        voices: str = VOICES,
        gateway: str = "",
        each: str = "",
    ) -> Runtime:
        """`each`: more fields of every engine's entry, such as `, slots: 2`."""
        self._count += 1
        config_dir = self._directory / f"config{self._count}"
        config_dir.mkdir()
        off = "".join(f"  {name}: {{kind: scripted, enabled: false}}\n" for name in ("a", "b") if name not in engines)
        listed = "".join(f"  {name}: {{kind: scripted, queue: 4{each}}}\n" for name in engines)
        files = {
            "gateway": f"version: 1\ndata_dir: {self._directory / 'data'}\n{gateway}",
            "engines": f"version: 1\nengines:\n{listed}{off}",
            "voices": voices,
            "policies": policies,
        }
        for name, text in files.items():
            (config_dir / f"{name}.yaml").write_text(text)
        registry = Registry.load([hooks], only="tone")
        kind = EngineKind(
            "scripted",
            Options,
            lambda instance, _: engines[instance.name],
            "for tests",
            "",
            describe=lambda instance, _: engines[instance.name].info if instance.name in engines else EngineInfo(),
            isolation="inline",
        )
        registry.kinds["scripted"] = kind
        return await self._stack.enter_async_context(Runtime.build(load_config(config_dir, registry, {}), registry))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench, None]:
    async with AsyncExitStack() as stack:
        yield Bench(tmp_path, stack)
