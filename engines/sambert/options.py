"""What engines.yaml may say of kind `sambert`, and what the environment says where it is silent.

The variables and files are those of Alibaba's own SDK, dashscope 1.x and 2.0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engines.contract import Gender, Options
from engines.errors import near_names
from engines.remote.credentials import KeyPlaces
from engines.remote.language import BaseCode
from engines.sambert.voices import CloudVoice, published

SAMBERT = "sambert"
ENDPOINT = "wss://dashscope.aliyuncs.com/api-ws/v1/inference"
KEY_VARIABLE = "DASHSCOPE_API_KEY"
#: tasks that an account may start a second: Sambert, and all models of CosyVoice
STARTS_PER_S, COSYVOICE_STARTS_PER_S = 20, 3
#: rate at which CosyVoice's voices are heard (Hz), being what the gateway gives by default
COSYVOICE_HZ = 24000
_HOME = Path("~/.dashscope")
_WORKSPACE_VARIABLES = ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID")
_ENDPOINT_VARIABLE = "DASHSCOPE_WEBSOCKET_BASE_URL"
_SAMBERT_VOICE = re.compile(r"sambert-[a-z0-9_-]+-v[0-9]+")
_WORKSPACE_ID = r"[A-Za-z0-9_-]*"


class NamedVoice(BaseModel):
    """A voice that is not in our table: cloned for the account, or newer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    languages: Annotated[tuple[BaseCode, ...], Field(min_length=1, description="base codes: zh, en, yue, …")]
    gender: Gender = Field("", description="for requests that choose by it")
    timestamps: bool = Field(True, description="does it tell when each word is said")


class SambertOptions(Options):
    """Options of kind `sambert` in engines.yaml. The key is in the environment or in a file, never here."""

    model: Annotated[str, Field(pattern=r"^(sambert|cosyvoice-[a-z0-9.-]+)$")] = Field(
        SAMBERT,
        description="`sambert`, whose voices are models themselves, or one of CosyVoice, such as `cosyvoice-v3-flash`",
    )
    endpoint: Annotated[str, Field(pattern=r"^(wss?://[^\s/:?#]\S*)?$")] = Field(
        "", description=f"unset: `{_ENDPOINT_VARIABLE}`, or `{ENDPOINT}`"
    )
    workspace: Annotated[str, Field(pattern=f"^{_WORKSPACE_ID}$")] = Field(
        "", description=f"its ID, for a key that is not of the default one; unset: `{_WORKSPACE_VARIABLES[0]}`"
    )
    api_key_env: Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")] = Field(
        "",
        description=f"environment variable with the key; unset, like `api_key_file`: `{KEY_VARIABLE}`, then the file "
        "that `DASHSCOPE_API_KEY_FILE_PATH` names, `~/.dashscope/api_key` and `~/.dashscope/config.toml`",
    )
    api_key_file: str = Field("", description="file with the key; read again for each task")
    voices: Mapping[str, NamedVoice] = Field(
        default_factory=dict, description="voices beside the published ones: cloned for the account, or newer"
    )
    sample_rate: Annotated[int, Field(ge=8000, le=48000)] | None = Field(
        None, description="in Hz; unset: each voice's own, 48000 or 16000, and 24000 for CosyVoice"
    )
    volume: Annotated[int, Field(ge=0, le=100, description="50 is the voice's own")] = 50
    pitch: Annotated[float, Field(ge=0.5, le=2, description="1 is the voice's own")] = 1.0
    timestamps: bool = Field(True, description="ask when each word is said")
    data_inspection: bool = Field(
        False, description="let the service inspect the content; what it refuses is not spoken"
    )
    starts_per_s: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="tasks that the account may start a second, over all gateways that share a Redis; 0: not limited; "
        f"unset: {STARTS_PER_S}, and {COSYVOICE_STARTS_PER_S} for CosyVoice, as published",
    )
    at_once: Annotated[int, Field(ge=0)] = Field(
        0, description="tasks of the account under way at once, over all gateways that share a Redis; 0: not limited"
    )
    connect_s: Annotated[float, Field(gt=0, description="seconds to connect in")] = 5.0
    start_s: Annotated[float, Field(gt=0, description="seconds until a task has started")] = 5.0
    first_audio_s: Annotated[float, Field(gt=0, description="seconds from there to the first audio")] = 10.0
    gap_s: Annotated[float, Field(gt=0, description="seconds of silence between two pieces of audio")] = 10.0

    @model_validator(mode="after")
    def _make_sense_together(self) -> Self:
        KeyPlaces.named(self.api_key_env, self.api_key_file)
        for name in self.voices:
            if not self.is_duplex and not _SAMBERT_VOICE.fullmatch(name):
                near = near_names(name, [one.id for one in published(SAMBERT)], ["sambert-zhiqi-v1"])
                what = f"`voices`: each voice of `{SAMBERT}` is a model named sambert-…-v1, which {name!r} is not"
                raise ValueError(f"{what}: take a model of CosyVoice for cloned voices; {near}")
        if not self.all_voices:
            raise ValueError(f"{self.model} has no published voices that are known here: name yours under `voices`")
        return self

    @property
    def is_duplex(self) -> bool:
        """CosyVoice takes text in pieces, and its voices are parameters, not models."""
        return self.model != SAMBERT

    @property
    def all_voices(self) -> tuple[CloudVoice, ...]:
        """The published voices, and those that are named here, which win."""
        named = (CloudVoice(name, one.languages, one.gender, 0, one.timestamps) for name, one in self.voices.items())
        return (*(one for one in published(self.model) if one.id not in self.voices), *named)

    def rate_of(self, voice: CloudVoice) -> int:
        """The sample rate (Hz) at which a voice is asked for."""
        return self.sample_rate or voice.sample_rate or (COSYVOICE_HZ if self.is_duplex else 16000)

    @property
    def task_starts_per_s(self) -> int:
        if self.starts_per_s is not None:
            return self.starts_per_s
        return COSYVOICE_STARTS_PER_S if self.is_duplex else STARTS_PER_S

    def key_places(self, environ: Mapping[str, str] | None = None) -> KeyPlaces:
        """Where the key is looked for."""
        environ = os.environ if environ is None else environ
        if places := KeyPlaces.named(self.api_key_env, self.api_key_file):
            return places
        named = environ.get("DASHSCOPE_API_KEY_FILE_PATH", "")
        files = ([Path(named)] if named else []) + [_HOME / "api_key", _HOME / "config.toml"]
        return KeyPlaces((KEY_VARIABLE,), tuple(file.expanduser() for file in files))

    def service_url(self, environ: Mapping[str, str] | None = None) -> str:
        """Where the service is. Raises ValueError: the environment names an address that a key must not be sent to."""
        environ = os.environ if environ is None else environ
        if self.endpoint:
            return self.endpoint  # `voxgate check` has looked at it
        url = environ.get(_ENDPOINT_VARIABLE, "").strip() or ENDPOINT
        if not _may_have_a_key(url):
            raise ValueError(f"{_ENDPOINT_VARIABLE} must be the URL of a host and begin with wss://")
        return url

    def headers(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """What is said in the handshake beside the key. Raises ValueError: the environment names no workspace that may
        stand in a header."""
        environ = os.environ if environ is None else environ
        variable = next((one for one in _WORKSPACE_VARIABLES if environ.get(one, "").strip()), "")
        workspace = self.workspace or environ.get(variable, "").strip()
        if not re.fullmatch(_WORKSPACE_ID, workspace):
            raise ValueError(f"{variable} must be the ID of a workspace: letters, digits, - and _")
        said = {"X-DashScope-WorkSpace": workspace} if workspace else {}
        return said | ({"X-DashScope-DataInspection": "enable"} if self.data_inspection else {})

    def heard(self) -> str:
        """All that changes what is heard, as part of the engine's version."""
        return self.model_dump_json(include={"model", "sample_rate", "volume", "pitch"})


def _may_have_a_key(url: str) -> bool:
    """Does it lead to a host, encrypted, or stay on this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port  # the port is looked at because it may be no number
    except ValueError:
        return False
    if not host or re.search(r"\s", url):
        return False
    return parts.scheme == "wss" or (parts.scheme == "ws" and _is_here(host))


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name, of whatever
        return False
