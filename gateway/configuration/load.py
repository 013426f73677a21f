"""The whole configuration, from a directory to typed data: every problem of every file, told at once.

Pure but for reading the files, so that a reload is the same function called again. Knows nothing about
watching files, nor about what becomes of the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engines.contract import EngineKind, Instance
from engines.registry import Registry
from gateway.configuration.across import note_policy_findings, note_voice_findings
from gateway.configuration.advice import validate
from gateway.configuration.engines import EngineEntry, type_engines
from gateway.configuration.overrides import override
from gateway.configuration.problems import ConfigError, Problem
from gateway.configuration.secrets import note_clear_endpoints, note_secrets
from gateway.configuration.settings import Settings
from gateway.configuration.yaml import Document, read_document
from gateway.voices import Voices
from policies.policy import Policy

FILES = ("gateway.yaml", "engines.yaml", "voices.yaml", "policies.yaml")


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration without errors. `engines` holds the disabled ones too; `kinds` is what wrapping kinds see."""

    directory: Path
    settings: Settings
    engines: Mapping[str, EngineEntry]
    voices: Voices
    policy: Policy
    warnings: tuple[Problem, ...] = ()
    kinds: Mapping[str, EngineKind] = field(default_factory=dict)

    def instance(self, name: str) -> Instance:
        """What the engine of that name is told about itself, in the gateway's own process."""
        return self.engines[name].instance(self.settings.data_dir, self.kinds)


def shipped_directory() -> Path:
    """The configuration that comes with the program: inside a wheel, or config/ of a checkout."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "shipped"
    return shipped if shipped.is_dir() else package.parent / "config"


def find_directory(cli: Path | None, environ: Mapping[str, str]) -> Path:
    """`--config`, else $VOXGATE_CONFIG, else ./config if it holds a configuration, else the shipped one."""
    if cli is not None:
        return cli.expanduser()
    if environ.get("VOXGATE_CONFIG"):
        return Path(environ["VOXGATE_CONFIG"]).expanduser()
    here = Path("config")
    if any((here / name).is_file() for name in ("gateway.yaml", "engines.yaml")):
        return here
    return shipped_directory()


def load_config(directory: Path, registry: Registry, environ: Mapping[str, str]) -> Config:
    """Read and check all files of `directory`. Raises ConfigError with every problem of every file at once."""
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "no such directory"
        advice = f"{what}: `voxgate init {directory}` writes one with the shipped configuration, ready to edit"
        raise ConfigError([Problem(str(directory), 1, 1, "", advice)])
    documents = [read_document(directory / name, environ) for name in FILES]
    gateway, engines, voices, policies = documents
    for document in documents:
        note_secrets(document)
    note_clear_endpoints(engines)
    settings = _settings(gateway, environ)
    entries = type_engines(engines, registry) if engines.data is not None else None
    voices_typed = validate(Voices, voices) if voices.data is not None else None
    policy = validate(Policy, policies) if policies.data is not None else None
    if entries is not None:
        # engines of unusable settings are described as if all was at its default: better than saying nothing
        data_dir = settings.data_dir if settings else Path()
        if policies.data is not None:
            note_policy_findings(policies, policy, voices, entries, registry.kinds, data_dir)
        if entries and not any(entry is None or entry.enabled for entry in entries.values()):
            engines.problem(("engines",), "every engine is switched off: nothing will speak", at_key=True, warning=True)
        note_voice_findings(voices, entries, registry.kinds, data_dir)
    else:
        note_voice_findings(voices, None, registry.kinds, Path())
    problems = [problem for document in documents for problem in _sorted(document)]
    if settings is None or voices_typed is None or policy is None or any(one.severity == "error" for one in problems):
        raise ConfigError(problems)
    usable = {name: entry for name, entry in (entries or {}).items() if entry is not None}
    return Config(directory, settings, usable, voices_typed, policy, tuple(problems), registry.kinds)


def _settings(document: Document, environ: Mapping[str, str]) -> Settings | None:
    if document.data is None:
        return None
    override(document, environ)
    return validate(Settings, document)


def _sorted(document: Document) -> list[Problem]:
    """Problems in the order of the file; those of the environment, which has no lines, after them."""
    return sorted(document.problems, key=lambda one: (one.file != document.file, one.line, one.column, one.path))
