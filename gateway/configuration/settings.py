"""gateway.yaml, typed: what is read once, at start. Knows nothing about YAML or about who uses which section."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.configuration.redis_url import read_redis_url

AtLeastOne = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
#: of a limit: as many as can be counted exactly, in Redis too
Countable = Annotated[int, Field(ge=0, le=1_000_000_000)]


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no address: write one like 10.0.0.1 or 10.0.0.0/8") from None
    return text


def _redis_url(text: str) -> str:
    if text:
        read_redis_url(text)
    return text


def _collector(text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://, or be empty")
    return text


def _origin(text: str) -> str:
    scheme, colon, host = text.partition("://")
    if text != "*" and (not colon or scheme not in ("http", "https") or not host or "/" in host):
        raise ValueError(f"{text!r} is no origin: write one like https://example.org, without a path, or *")
    return text


def _home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be resolved ({error}): write the whole path") from None


def _path_or_none(value: object) -> object:
    return None if value == "" else value


HomePath = Annotated[Path, AfterValidator(_home)]


class Section(BaseModel):
    """A part of gateway.yaml: frozen, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Listen(Section):
    """Where the gateway listens."""

    host: Annotated[str, Field(min_length=1)] = Field("127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8080, description="TCP port; 0: any free one")
    workers: AtLeastOne = Field(1, description="gateway processes that share the port")
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        (), description="addresses or networks of proxies whose `x-forwarded-for` is believed"
    )


class Cors(Section):
    """Which web pages may call the gateway from a browser."""

    allow_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        (), description="origins such as `https://example.org`; `*`: every one"
    )


class Redis(Section):
    """A Redis that several gateways share; without one, each keeps its own state."""

    url: Annotated[str, AfterValidator(_redis_url)] = Field(
        "", description="`redis://`, `rediss://` or `unix://`; empty: none"
    )
    password_env: str = Field("", description="name of the environment variable that holds the password")
    ca_file: Annotated[HomePath | None, BeforeValidator(_path_or_none)] = Field(
        None, description="certificates that a `rediss://` server is checked against; empty: the system's"
    )
    prefix: str = Field("voxgate:", description="what every key in Redis begins with")
    budget_ms: AtLeastOne = Field(
        50, description="milliseconds a request waits for Redis at most, then goes on without it"
    )


class CacheSettings(Section):
    """Finished clips, kept to be sent again."""

    memory_mb: NotNegative = Field(64, description="MB of clips kept in memory, by each process; 0: none")
    path: Annotated[HomePath | None, BeforeValidator(_path_or_none)] = Field(
        None, description="directory of clips kept on disk; empty: none"
    )
    disk_mb: NotNegative = Field(1024, description="MB of clips kept on disk")
    redis_ttl_s: AtLeastOne = Field(604800, description="seconds that a clip stays in Redis")
    redis_max_clip_kb: NotNegative = Field(4096, description="kB of the largest clip that is kept in Redis; 0: none")
    scope: Literal["shared", "key"] = Field("shared", description="`key`: nobody hears a clip made for another key")


class Limits(Section):
    """What each key may use unless it says otherwise itself. 0: no limit."""

    requests_per_minute: Countable = Field(0, description="requests in a minute")
    characters_per_minute: Countable = Field(0, description="characters of text in a minute")
    audio_seconds_per_day: Countable = Field(0, description="seconds of speech in a day")
    in_flight: Countable = Field(0, description="requests at the same time")


class Input(Section):
    """The largest request that is accepted."""

    max_body_bytes: AtLeastOne = Field(1048576, description="bytes of a request's body; larger: 413")
    max_chars: AtLeastOne = Field(
        20000, description="code points of its text as it was sent, markup and all; more: 400"
    )


class Outcomes(Section):
    """How long `GET /v1/speech/{request_id}` can tell what became of a request."""

    keep: NotNegative = Field(10000, description="how many outcomes are kept")
    keep_s: NotNegative = Field(3600, description="for how many seconds")


class ServedLog(Section):
    """served.jsonl in the data directory: one line per request, for `voxgate simulate`."""

    enabled: bool = Field(True, description="whether it is written")
    max_mb: AtLeastOne = Field(100, description="MB at which a new file is begun")
    keep: NotNegative = Field(5, description="how many old files stay")
    texts: bool = Field(False, description="write the texts too, not only facts about them")


class Log(Section):
    """What is written to stderr."""

    format: Literal["text", "json"] = Field("text", description="`text`: for people; `json`: an object a line")
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="of the gateway's own lines; libraries are heard from warnings on"
    )


class Tracing(Section):
    """Spans of each request, sent by OTLP over HTTP. Needs the extra `otel`."""

    otlp_endpoint: Annotated[str, AfterValidator(_collector)] = Field(
        "",
        description="address of a collector, such as `http://localhost:4318`; empty: as `OTEL_EXPORTER_OTLP_ENDPOINT` "
        "says, else none",
    )


class Settings(Section):
    """gateway.yaml: read at start, and again only by a restart."""

    version: Literal[1] = Field(description="of this file's form")
    listen: Listen = Field(Listen(), description="where the gateway listens")
    data_dir: HomePath = Field(
        Path("~/.local/share/voxgate"),
        validate_default=True,
        description="holds models/, voices/, run/ and served.jsonl",
    )
    auth: Literal["auto", "keys", "none"] = Field(
        "auto",
        description="`auto`: open on loopback until there are keys; `keys`: always keys; `none`: open everywhere",
    )
    cors: Cors = Field(Cors(), description="which web pages may call the gateway")
    redis: Redis = Field(Redis(), description="state shared by several gateways")
    cache: CacheSettings = Field(CacheSettings(), description="finished clips")
    limits: Limits = Field(Limits(), description="for each key; 0: none")
    input: Input = Field(Input(), description="the largest request")
    outcomes: Outcomes = Field(Outcomes(), description="how long the outcome of a request can be looked up")
    served_log: ServedLog = Field(ServedLog(), description="one line per request in served.jsonl")
    log: Log = Field(Log(), description="what is written to stderr")
    tracing: Tracing = Field(Tracing(), description="spans of each request")
    drain_s: Annotated[float, Field(ge=0)] = Field(
        30.0, description="seconds that what speaks may take to finish at SIGTERM"
    )
