"""Looks at the machine, the installation and the configuration, and says what would keep speech from working.

Each check is one function and gives findings; a check that fails unexpectedly is a finding itself. Nothing is loaded
into this process that does not belong there, nothing is changed, no secret's value is shown.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import platform
import shutil
import socket
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from engines.contract import Missing
from engines.registry import Registry
from gateway.configuration.engines import EngineEntry
from gateway.configuration.load import Config
from models.bundle import BundleError, find_bundles

Level = Literal["ok", "note", "problem"]

#: our import packages, under names short enough that another distribution might have them too
OUR_PACKAGES = ("gateway", "engines", "policies", "models")
#: a library, and what goes without it
LIBRARIES = {
    "av": "mp3, opus, aac and flac cannot be encoded",
    "soundfile": "reference audio cannot be read",
    "soxr": "sample rates cannot be changed",
    "numpy": "sample rates cannot be changed",
}
#: of a CPU's features, those that make neural engines faster
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm")
LOW_DISK_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `advice` says what to do about a problem."""

    subject: str
    level: Level
    message: str
    advice: str = ""


def examine(registry: Registry, config: Config | None) -> Iterator[Finding]:
    """All findings, in the order in which one would look. `config` is None when it has errors of its own."""
    checks: list[Callable[[], Iterator[Finding]]] = [python, machine, packages, libraries, lambda: plugins(registry)]
    if config is not None:
        checks += [
            lambda: data_folder(config),
            lambda: model_folder(config),
            lambda: port(config),
            lambda: keys(config),
            lambda: redis(config),
            lambda: credentials(config),
            lambda: engines(config),
        ]
    for check in checks:
        try:
            yield from check()
        except Exception as error:
            yield Finding("doctor", "problem", f"a check failed: {type(error).__name__}: {error}", "please report it")


def python() -> Iterator[Finding]:
    level: Level = "ok" if sys.version_info >= (3, 11) else "problem"
    found = f"Python {platform.python_version()} at {sys.executable}"
    yield Finding("python", level, found, "" if level == "ok" else "3.11 or newer is needed")
    if sys.prefix == sys.base_prefix:
        advice = "install voxgate into one of its own: scripts/install, uv tool or pipx"
        yield Finding("python", "note", "not in a virtual environment", advice)


def machine() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"{platform.system()} {platform.machine()}, {cores} cores, {memory.total / 2**30:.1f} GiB of memory"
    yield Finding("machine", "ok", f"{text}, {memory.available / 2**30:.1f} GiB free")
    features = sorted(_cpu_flags() & set(CPU_FEATURES))
    yield Finding("cpu", "ok", f"features for neural engines: {', '.join(features) or 'none that are known'}")


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    lines = (line.partition(":") for line in text.splitlines())
    return {flag for name, _, value in lines if name.strip() in ("flags", "Features") for flag in value.split()}


def packages() -> Iterator[Finding]:
    """Is each of our packages the one that Python finds."""
    home = Path(__file__).resolve().parent.parent
    owners = packages_distributions()
    for name in OUR_PACKAGES:
        spec = find_spec(name)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else None
        others = sorted(set(owners.get(name, [])) - {"voxgate"})
        advice = "install voxgate into an environment of its own"
        if found != home / name:
            yield Finding("packages", "problem", f"{name!r} is found at {found}, not at {home / name}", advice)
        elif others:
            yield Finding("packages", "problem", f"{name!r} is also installed by {', '.join(others)}", advice)
    if not (home / "pyproject.toml").exists() and home != Path(sysconfig.get_path("purelib")).resolve():
        yield Finding("packages", "note", f"voxgate is loaded from {home}")
    yield Finding("packages", "ok", f"{', '.join(OUR_PACKAGES)} at {home}")


def libraries() -> Iterator[Finding]:
    for name, without in LIBRARIES.items():
        try:
            library = importlib.import_module(name)
        except Exception as error:  # a missing shared library is an OSError, a wrong one an ImportError
            advice = f"install voxgate again (scripts/install), or: pip install --force-reinstall {name}"
            yield Finding("libraries", "problem", f"{name} cannot be loaded ({error}): {without}", advice)
        else:
            more = f", libsndfile {library.__libsndfile_version__}" if name == "soundfile" else ""
            yield Finding("libraries", "ok", f"{name} {getattr(library, '__version__', '')}{more}")


def plugins(registry: Registry) -> Iterator[Finding]:
    for plugin in registry.plugins:
        if plugin.error:
            advice = "install its newest version, or remove it"
            yield Finding("plugins", "problem", f"{plugin.name} ({plugin.source}): {plugin.error}", advice)
    yield Finding("plugins", "ok", f"engine kinds: {', '.join(sorted(registry.kinds)) or 'none'}")


def data_folder(config: Config) -> Iterator[Finding]:
    folder = config.settings.data_dir
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        advice = "name another with data_dir in gateway.yaml or VOXGATE_DATA"
        yield Finding("data", "problem", f"{there} cannot be written", advice)
        return
    for path in {there, config.settings.cache.path or there}:
        existing = next(parent for parent in (path, *path.parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        text = f"{path}: {free / 1e9:.1f} GB free"
        low = free < LOW_DISK_BYTES
        yield Finding("data", "problem" if low else "ok", text, "make room: nothing can be kept" if low else "")


def model_folder(config: Config) -> Iterator[Finding]:
    folder = config.settings.data_dir / "models"
    try:
        found = list(find_bundles(folder))
    except FileNotFoundError:
        found = []
    except OSError as error:
        yield Finding("models", "problem", f"{folder} cannot be read: {error.strerror}", "check owner and permissions")
        return
    for bundle in found:
        if isinstance(bundle, BundleError):
            yield Finding("models", "problem", str(bundle))
        else:
            yield Finding("models", "ok", f"{bundle.name} {bundle.version} ({bundle.licence})")
    if not found:
        yield Finding("models", "note", f"{folder} is empty: engines that need a model are not installed")


def port(config: Config) -> Iterator[Finding]:
    listen = config.settings.listen
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        advice = "if that is this gateway, all is well; else choose another with --port"
        text = f"{listen.host} port {listen.port}: {error.strerror or error}{_holder(listen.port)}"
        yield Finding("port", "note" if error.errno == 98 else "problem", text, advice)
    else:
        yield Finding("port", "ok", f"{listen.host} port {listen.port} is free")


def _holder(number: int) -> str:
    """Who listens there, as far as this user may see it."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            here = connection.laddr[1] if connection.laddr else None
            if connection.status == psutil.CONN_LISTEN and here == number and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return ""


def keys(config: Config) -> Iterator[Finding]:
    """Whom the gateway lets in."""
    now = datetime.now(UTC)
    states = Counter(key.state(now) for key in config.keys.keys.values())
    if config.settings.auth == "none":
        yield Finding("keys", "note", "none is needed (auth: none): whoever reaches the port may speak")
    elif not config.needs_keys:
        advice = "others may with one that `voxgate keys add NAME` makes"
        yield Finding("keys", "ok", "there is none: only programs on this machine may speak", advice)
    elif not states["active"]:
        found = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "there is none"
        yield Finding("keys", "problem", f"{found}: nobody may speak", "`voxgate keys add NAME` makes one")
    else:
        yield Finding("keys", "ok", ", ".join(f"{count} {state}" for state, count in sorted(states.items())))


def redis(config: Config) -> Iterator[Finding]:
    """Is Redis there, new enough, and quick enough for the time that a request gives it."""
    settings = config.settings.redis
    if not settings.url:
        yield Finding("redis", "ok", "none configured")
        return
    if name := settings.password_env:
        there = bool(os.environ.get(name))
        yield Finding("redis", "ok" if there else "note", f"its password: {name} is {'set' if there else 'not set'}")
    from gateway.redis.probe import OLDEST, visit

    visited = asyncio.run(visit(settings, os.environ))
    if visited.version:
        old = visited.version < OLDEST
        text = f"version {'.'.join(map(str, visited.version))}, answers in {visited.answers_ms:.1f} ms"
        advice = "" if not old else f"{'.'.join(map(str, OLDEST))} or newer is needed"
        yield Finding("redis", "problem" if old else "ok", text, advice)
        if visited.answers_ms > settings.budget_ms / 2:
            advice = f"redis.budget_ms is {settings.budget_ms}: a nearer Redis, or a larger budget"
            yield Finding("redis", "problem", "it is too slow for the time that requests give it", advice)
    if visited.fault:
        what, _, advice = visited.fault.partition(": ")
        yield Finding("redis", "problem", what, advice)


def credentials(config: Config) -> Iterator[Finding]:
    """Every option that names an environment variable: is it set. An engine that is not configured says among the
    engines what it lacks."""
    for entry in config.engines.values():
        missing = _missing(config, entry) if entry.enabled else None
        if missing and missing.state == "not_configured":
            continue
        for option, variable in entry.options.model_dump().items():
            if entry.enabled and option.endswith("_env") and isinstance(variable, str) and variable:
                there = bool(os.environ.get(variable))
                text = f"engine {entry.name}: {variable} is {'set' if there else 'not set'}"
                yield Finding("credentials", "ok" if there else "note", text)


def _missing(config: Config, entry: EngineEntry) -> Missing | None:
    return entry.kind.missing(config.instance(entry.name), entry.options) if entry.kind.missing else None


def engines(config: Config) -> Iterator[Finding]:
    for name, entry in config.engines.items():
        if not entry.enabled:
            continue
        if missing := _missing(config, entry):
            state = missing.state.replace("_", " ")
            yield Finding("engines", "note", f"{name} is {state}", missing.advice)
        else:
            yield Finding("engines", "ok", f"{name} ({entry.kind.name}) has what it needs")
