"""Kind `sambert`: Alibaba's Sambert and CosyVoice voices in the cloud, by the protocol of Model Studio.

This module says what such an engine can do and what it lacks. It loads nothing of the network: websockets is imported
when an engine starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec

from engines.contract import Engine, EngineInfo, EngineKind, Instance, Missing
from engines.errors import Unavailable
from engines.hooks import hookimpl
from engines.remote.credentials import NoKey
from engines.remote.exchange import Exchanges
from engines.sambert.exchanges import exchanges
from engines.sambert.known import known
from engines.sambert.options import KEY_VARIABLE, SambertOptions
from engines.sambert.voices import LICENCE

#: of the engine's code: raise it when the same options and text would sound different
SOUND = "1"
#: tasks at once; the service publishes no limit but of starts a second
DEFAULT_SLOTS = 10
#: price of 1000 characters in CNY, as published 2026-10; of models not named here the dearest is assumed
_CNY_PER_1K = {"sambert": 0.1, "cosyvoice-v3-flash": 0.1, "cosyvoice-v3-plus": 0.2}
_INSTALL = "scripts/install sambert (in a checkout), or: pip install 'voxgate[sambert]'"
#: variables of an AccessKey pair, which signs requests to other services of Alibaba Cloud
_ACCESS_KEYS = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIYUN_AK_ID")
_ACCESS_KEY_ID = "LTAI"


def describe(instance: Instance, options: SambertOptions) -> EngineInfo:
    """What the engine can do: the published voices and those that the options name."""
    voices = options.all_voices
    return EngineInfo(
        voices=tuple(voice.listed(options.rate_of(voice)) for voice in voices),
        languages=frozenset(language for voice in voices for language in voice.languages),
        slots=instance.slots or DEFAULT_SLOTS,
        marks=options.timestamps and any(voice.timestamps for voice in voices),
        normalises=True,
        ssml=True,
        local=False,
        cost_per_1k_chars=_CNY_PER_1K.get(options.model, max(_CNY_PER_1K.values())),
        licence=LICENCE,
        version=f"sambert {SOUND} {options.heard()}",
        han_counts=2 if options.is_duplex else 1,
    )


def missing(instance: Instance, options: SambertOptions) -> Missing | None:
    """Looks for a key first: who has none need not install anything."""
    try:
        options.service_url()
        options.headers()
        key = options.key_places().find()
    except ValueError as error:
        return Missing("not_configured", str(error))
    except NoKey as error:
        given = next((name for name in _ACCESS_KEYS if os.environ.get(name)), "")
        if given:
            return Missing("not_configured", _not_a_pair(f"the AccessKey pair of {given} is for other services"))
        return Missing("not_configured", f"no API key of Alibaba Cloud Model Studio: {error}")
    if key.text.startswith(_ACCESS_KEY_ID):
        return Missing("not_configured", _not_a_pair(f"{key.source} holds the ID of an AccessKey pair"))
    if find_spec("websockets") is None:
        return Missing("not_installed", f"websockets not installed: {_INSTALL}")
    return None


def _not_a_pair(found: str) -> str:
    return f"Model Studio needs an API key, and {found}: make one in its console and put it into {KEY_VARIABLE}"


def create(instance: Instance, options: SambertOptions) -> Engine:
    """The engine, not started. Raises Unavailable in a worker: the account's limits are counted in the gateway."""
    if instance.in_worker:
        raise Unavailable("kind sambert runs in the gateway, where its quota is counted: remove `isolation: process`")
    from engines.sambert.engine import SambertEngine

    return SambertEngine(instance, options)


KIND = EngineKind(
    name="sambert",
    options=SambertOptions,
    create=create,
    summary="Alibaba Cloud Model Studio: Sambert and CosyVoice voices, streamed; needs an API key, costs money",
    licence=LICENCE,
    describe=describe,
    missing=missing,
    isolation="inline",
    isolation_fixed=True,
    exchanges=Exchanges(exchanges, known),
)


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    return [KIND]
