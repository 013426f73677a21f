"""A directory of configuration files, written by a test, and a registry of small kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, model_validator

from engines.contract import EngineInfo, EngineKind, Instance, Missing, Options, Voice
from engines.registry import PluginState, Registry
from gateway.configuration.load import Config, load_config
from gateway.configuration.problems import ConfigError

FILES: Mapping[str, str] = {
    "gateway.yaml": "version: 1\n",
    "engines.yaml": "version: 1\nengines:\n  echo: {kind: small}\n  far: {kind: cloud, enabled: false}\n",
    "voices.yaml": "version: 1\ndefault: ann\nvoices:\n  ann: {languages: [en], engines: {echo: anna}}\n",
    "policies.yaml": "version: 1\nrules:\n  - {name: all, use: [echo]}\nlast_resort: echo\n",
}


class SmallOptions(Options):
    size: Annotated[int, Field(ge=1, le=9)] = 3
    title: str = ""
    stretch: float = 1.0


class CloudOptions(Options):
    endpoint: str = "https://cloud.example/v1"
    api_key: str = ""
    api_key_env: str = ""
    model: Annotated[str, Field(pattern="^[a-z]+$")] = Field("deep", description="`deep`, or another model of it")
    names: dict[Literal["language", "speed"], str] = {}  # noqa: RUF012

    @model_validator(mode="before")
    @classmethod
    def _breaks(cls, given: Any) -> Any:
        if given.get("endpoint") == "https://broken.example":
            raise RuntimeError("a plugin's bug")
        return given


def describe_small(instance: Instance, options: SmallOptions) -> EngineInfo:
    voices = (Voice("anna", ("en", "zh"), 16000, "female"), Voice("bert", ("en",), 16000, "male"))
    return EngineInfo(voices, languages=frozenset({"en", "zh"}), slots=instance.slots or 2, cost_per_1k_chars=0.5)


def miss_key(instance: Instance, options: CloudOptions) -> Missing | None:
    return None if options.api_key_env else Missing("not_configured", "set api_key_env")


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for kind in (
        EngineKind("small", SmallOptions, lambda *_: None, "small", "", describe=describe_small),  # type: ignore[arg-type]
        EngineKind(
            "cloud",
            CloudOptions,
            lambda *_: None,  # type: ignore[arg-type]
            "far",
            "",
            missing=miss_key,
            isolation="inline",
            isolation_fixed=True,
        ),
    ):
        registry.kinds[kind.name] = kind
    registry.plugins.append(
        PluginState("engines.broken", "built in", error="failed to load: ImportError: no libbroken")
    )
    return registry


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a configuration that is well but for the files given; None leaves a file out."""

    def write(files: Mapping[str, str | None] | None = None) -> Path:
        for name, text in {**FILES, **(files or {})}.items():
            if text is not None:
                (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def load(write: Callable[..., Path], registry: Registry) -> Callable[..., Config]:
    """Load such a configuration."""

    def load(files: Mapping[str, str | None] | None = None, environ: Mapping[str, str] | None = None) -> Config:
        return load_config(write(files), registry, environ or {"HOME": "/home/me"})

    return load


@pytest.fixture
def told(load: Callable[..., Config], tmp_path: Path) -> Callable[..., list[str]]:
    """The problems of such a configuration as lines, without the directory; warnings alone are not refused."""

    def told(files: Mapping[str, str | None] | None = None, environ: Mapping[str, str] | None = None) -> list[str]:
        try:
            problems = load(files, environ).warnings
        except ConfigError as error:
            problems = error.problems
        return [str(problem).replace(f"{tmp_path}/", "") for problem in problems]

    return told
