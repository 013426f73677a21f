"""Kind `openai`: any server that speaks OpenAI's `POST /v1/audio/speech`, or something near it, over HTTP.

This module says what the engine can do as far as engines.yaml and its servers tell, and loads nothing of HTTP.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from importlib.util import find_spec
from urllib.parse import urlsplit

from engines.contract import Engine, EngineInfo, EngineKind, Instance, Missing, Voice
from engines.errors import Unavailable
from engines.hooks import hookimpl
from engines.openai.dialects import Dialect, Listed
from engines.openai.exchanges import exchanges
from engines.openai.known import known
from engines.openai.options import OpenAiOptions
from engines.remote.credentials import NoKey
from engines.remote.exchange import Exchanges

#: of the engine's code: raise it when the same options, server and text would sound different
SOUND = "1"
#: requests at once that each server is taken to manage, unless engines.yaml says `slots`
SLOTS_PER_URL = 8
_LIBRARY = "aiohttp"
_INSTALL = "scripts/install openai (in a checkout), or: pip install 'voxgate[openai]'"


def describe(
    instance: Instance,
    options: OpenAiOptions,
    *,
    listed: Iterable[Listed] = (),
    model: str = "",
    rate_hz: int | None = None,
) -> EngineInfo:
    """What the engine can do. `listed`, `model` and `rate_hz`: what its servers have told, once they have."""
    dialect = options.dialect()
    known = _voices(listed, dialect)
    languages = dialect.languages
    if not languages and known and all(one.languages for one in known):
        languages = frozenset(code for one in known for code in one.languages)
    rate_hz = rate_hz or dialect.rate_hz
    return EngineInfo(
        voices=tuple(Voice(one.name, _spoken(one, languages), rate_hz, one.gender) for one in known),
        languages=languages,
        any_language=not languages,
        max_chars=dialect.max_chars,
        slots=instance.slots or SLOTS_PER_URL * len(options.urls),
        streams=dialect.streams,
        ssml=dialect.takes("markup"),
        local=all(map(_is_here, options.urls)),
        licence="as its server's",
        version=f"openai {SOUND} {model or options.model} {options.heard()}",
    )


def _voices(listed: Iterable[Listed], dialect: Dialect) -> list[Listed]:
    """Each once, the one that speaks by default first: of several that would fit, the first is taken."""
    known = {one.name: one for one in (*listed, *dialect.voices)}
    return sorted(known.values(), key=lambda one: one.name != dialect.default_voice)


def _spoken(voice: Listed, languages: frozenset[str]) -> tuple[str, ...]:
    return tuple(code for code in voice.languages if not languages or code in languages)


def _is_here(url: str) -> bool:
    """Is the server on this machine: then other gateways' news of it are of another one."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def missing(instance: Instance, options: OpenAiOptions) -> Missing | None:
    """Looks for the library and the key, and loads neither."""
    if find_spec(_LIBRARY) is None:
        return Missing("not_installed", f"{_LIBRARY} not installed: {_INSTALL}")
    if options.key_places is not None:
        try:
            options.key_places.find()
        except NoKey as error:
            return Missing("not_configured", f"no key for its server: {error}")
    return None


def create(instance: Instance, options: OpenAiOptions) -> Engine:
    """The engine, not connected. Raises Unavailable in a worker process."""
    if instance.in_worker:
        raise Unavailable(
            "kind openai only waits for a network: a process of its own would do nothing but hand its audio on; "
            "remove `isolation: process`"
        )
    from engines.openai.engine import OpenAiEngine

    return OpenAiEngine(instance, options)


KIND = EngineKind(
    name="openai",
    options=OpenAiOptions,
    create=create,
    summary="any server that speaks OpenAI's speech API over HTTP: vLLM-Omni, Kokoro-FastAPI, speaches, LocalAI, …",
    licence="as its server's",
    describe=describe,
    missing=missing,
    isolation="inline",
    isolation_fixed=True,
    exchanges=Exchanges(exchanges, known),
)


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    return [KIND]
