"""The whole configuration, from a directory to typed data: every problem of every file, told at once.

Pure but for reading the files, so that a reload is the same function called again. A mistake in one file must not keep
what another one says from being used: `Reading` has each part that is free of errors. Knows nothing about watching
files, nor about what becomes of the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from engines.contract import EngineKind, Instance
from engines.registry import Registry
from gateway.configuration.across import note_key_findings, note_policy_findings, note_voice_findings
from gateway.configuration.advice import validate
from gateway.configuration.engines import EngineEntry, type_engines
from gateway.configuration.keys import NO_KEYS, KeysFile, type_keys
from gateway.configuration.overrides import override
from gateway.configuration.problems import ConfigError, Problem
from gateway.configuration.redis_access import note_redis_findings
from gateway.configuration.secrets import note_clear_endpoints, note_secrets
from gateway.configuration.settings import Settings
from gateway.configuration.yaml import Document, Source, read_document, read_source
from gateway.keys.keyring import Keyring
from gateway.voices import Voices
from policies.policy import Policy

FILES = ("gateway.yaml", "engines.yaml", "voices.yaml", "policies.yaml", "keys.yaml")

#: these name each other's engines and voices: they are used together or not at all
ROUTING = ("engines.yaml", "voices.yaml", "policies.yaml")


@dataclass(frozen=True, slots=True)
class Routing:
    """Who speaks, with which voices, by which rules."""

    engines: Mapping[str, EngineEntry]
    voices: Voices
    policy: Policy


@dataclass(frozen=True, slots=True)
class Reading:
    """What the files said when they were read. A part with an error in it is None; `problems` has the warnings too."""

    sources: Mapping[str, Source]
    settings: Settings | None
    routing: Routing | None
    keys: KeysFile | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(one for one in self.problems if one.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(one for one in self.problems if one.severity == "warning")


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration without errors. `engines` holds the disabled ones too; `kinds` is what wrapping kinds see.

    `environ` and `sources` are what it was made of: the variables, and the content of each file.
    """

    directory: Path
    settings: Settings
    engines: Mapping[str, EngineEntry]
    voices: Voices
    policy: Policy
    keys: Keyring = field(default_factory=Keyring)
    warnings: tuple[Problem, ...] = ()
    kinds: Mapping[str, EngineKind] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    sources: Mapping[str, Source] = field(default_factory=dict, repr=False)

    def renewed(self, reading: Reading) -> Config:
        """This configuration with what can be used of a later reading, but for gateway.yaml, which is read at start."""
        config = self
        if (routing := reading.routing) is not None:
            config = replace(
                config,
                engines=routing.engines,
                voices=routing.voices,
                policy=routing.policy,
                warnings=reading.warnings,
                sources={**config.sources, **{name: reading.sources[name] for name in ROUTING}},
            )
        if reading.keys is not None:
            config = replace(
                config,
                keys=config.keys.renewed(reading.keys.keyring(config.settings.limits)),
                sources={**config.sources, "keys.yaml": reading.sources["keys.yaml"]},
            )
        return config

    @property
    def needs_keys(self) -> bool:
        """Does a request for speech need a key, wherever it comes from."""
        return self.settings.auth == "keys" or (self.settings.auth == "auto" and self.keys.on)

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
    reading = read_config(directory, read_sources(directory), registry, environ)
    settings, routing, keys = reading.settings, reading.routing, reading.keys
    if settings is None or routing is None or keys is None or reading.errors:
        raise ConfigError(reading.problems)
    return Config(
        directory,
        settings,
        routing.engines,
        routing.voices,
        routing.policy,
        keys.keyring(settings.limits),
        reading.warnings,
        registry.kinds,
        environ,
        reading.sources,
    )


def read_sources(directory: Path) -> dict[str, Source]:
    """What stands in the files of a directory now, by their names. keys.yaml alone may be absent."""
    return {name: read_source(directory / name, NO_KEYS if name == "keys.yaml" else None) for name in FILES}


def read_config(
    directory: Path,
    sources: Mapping[str, Source],
    registry: Registry,
    environ: Mapping[str, str],
    data_dir: Path | None = None,
) -> Reading:
    """Check what stands in the files of `directory`. `data_dir` is that of a gateway which runs, whatever gateway.yaml
    says by now; None: the one named there."""
    documents = {name: read_document(directory / name, environ, sources[name]) for name in FILES}
    for document in documents.values():
        note_secrets(document)
    note_clear_endpoints(documents["engines.yaml"])
    settings = _settings(documents["gateway.yaml"], environ)
    if data_dir is None:
        # engines of unusable settings are described as if all was at its default: better than saying nothing
        data_dir = settings.data_dir if settings else Path()
    routing = _routing(documents, registry, data_dir)
    keys = type_keys(documents["keys.yaml"])
    note_key_findings(documents["keys.yaml"], documents["engines.yaml"], documents["voices.yaml"])
    problems = tuple(problem for document in documents.values() for problem in _sorted(document))
    return Reading(sources, None if documents["gateway.yaml"].failed else settings, routing, keys, problems)


def _routing(documents: Mapping[str, Document], registry: Registry, data_dir: Path) -> Routing | None:
    """Type the three files that name each other's engines and voices, and note what only shows between them."""
    engines, voices, policies = (documents[name] for name in ROUTING)
    entries = type_engines(engines, registry) if engines.data is not None else None
    voices_typed = validate(Voices, voices) if voices.data is not None else None
    policy = validate(Policy, policies) if policies.data is not None else None
    if entries is not None:
        if policies.data is not None:
            note_policy_findings(policies, policy, voices, entries, registry.kinds, data_dir, documents["keys.yaml"])
        if entries and not any(entry is None or entry.enabled for entry in entries.values()):
            engines.problem(("engines",), "every engine is switched off: nothing will speak", at_key=True, warning=True)
    note_voice_findings(voices, entries, registry.kinds, data_dir)
    if voices_typed is None or policy is None or any(documents[name].failed for name in ROUTING):
        return None
    return Routing({name: one for name, one in (entries or {}).items() if one is not None}, voices_typed, policy)


def _settings(document: Document, environ: Mapping[str, str]) -> Settings | None:
    if document.data is None:
        return None
    override(document, environ)
    settings = validate(Settings, document)
    if settings is not None:
        note_redis_findings(document, settings.redis, environ)
    return settings


def _sorted(document: Document) -> list[Problem]:
    """Problems in the order of the file; those of the environment, which has no lines, after them."""
    return sorted(document.problems, key=lambda one: (one.file != document.file, one.line, one.column, one.path))
