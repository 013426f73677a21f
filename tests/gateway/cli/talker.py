"""A plugin whose engine speaks to a server, in lines of JSON: what `voxgate engines record` is tried with."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Sequence
from functools import partial

from engines.contract import EngineKind, Instance, Missing, Options
from engines.errors import BY_CODE
from engines.hooks import hookimpl
from engines.remote.exchange import Exchange, Exchanges, Known, Tap
from engines.tone import ToneEngine, ToneOptions

HEADERS = {"authorization": "Bearer {key}", "x-workspace": "workspace-of-mine"}


class TalkerOptions(Options):
    port: int
    api_key_env: str = "TALKER_KEY"


async def talk(options: TalkerOptions, case: str, tap: Tap) -> None:
    """Ask for `case`; note what the server says, line by line, until it hangs up. Raises the error that it names."""
    headers = {name: value.format(key=os.environ[options.api_key_env]) for name, value in HEADERS.items()}
    head = {"method": "GET", "url": f"http://127.0.0.1:{options.port}/{case}?token=hidden-one", "headers": headers}
    reader, writer = await asyncio.open_connection("127.0.0.1", options.port)
    try:
        tap.note("sent", "head", json.dumps(head))
        writer.write(f"{case}\n".encode())
        while line := await reader.readline():
            direction, what, data = json.loads(line)
            if direction == "error":
                raise BY_CODE[what](data)
            tap.note(direction, what, bytes.fromhex(data) if what == "binary" else data)
    finally:
        writer.close()


def exchanges(instance: Instance, options: TalkerOptions) -> Sequence[Exchange]:
    def case(name: str, summary: str, **more: object) -> Exchange:
        return Exchange(name, summary, partial(talk, options, name), **more)  # type: ignore[arg-type]

    return [
        case("plain", "a short text", chars=10),
        case("wrong-key", "a key that nobody has", ends=("unavailable",)),
        case("long", "too long a text", chars=5000, ends=("unsupported",), usual=False),
        case("slow", "a server that says nothing", usual=False, within_s=0.05),
    ]


def known() -> Known:
    return Known(
        name=lambda message: message["event"],
        messages={"done": [{"event": "done", "chars": 10}, {"event": "done", "chars": 10, "usage": None}]},
        headers=frozenset({"x-talker"}),
    )


def missing(instance: Instance, options: TalkerOptions) -> Missing | None:
    return None if os.environ.get(options.api_key_env) else Missing("not_configured", f"set {options.api_key_env}")


def create(instance: Instance, options: TalkerOptions) -> ToneEngine:
    return ToneEngine(instance, ToneOptions.model_validate({}))


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    declared = Exchanges(exchanges, known)
    yield EngineKind(
        "talker", TalkerOptions, create, "lines", "CC0-1.0", missing=missing, isolation="inline", exchanges=declared
    )
