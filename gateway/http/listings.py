"""What there is to ask for: models, voices, engines. Read only, from the configuration and the board."""

from typing import Any

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from engines.contract import EngineInfo
from gateway.configuration.load import Config
from gateway.http.access import identify, sees_details
from gateway.http.loop import came_through
from gateway.runtime import Runtime
from gateway.target import models, unknown_model
from policies.board_file import board_fields
from policies.decide import out_of_rotation
from policies.types import Snapshot


def listing_endpoints(runtime: Runtime) -> list[HTTPRouteHandler]:
    """The route handlers."""
    created = int(runtime.clock.now().timestamp())  # OpenAI's shape wants one; the start is as true as any

    @get("/models", summary="What model may be: auto, aliases, engines", tags=["listings"])
    async def list_models(request: Request[Any, Any, Any]) -> dict[str, Any]:
        came_through(request.scope, runtime.name)  # an engine that asks its own gateway finds out before anybody speaks
        return {"object": "list", "data": [_model(*one, created) for one in models(runtime.config).items()]}

    @get("/models/{model_id:str}", summary="One model", tags=["listings"])
    async def show_model(model_id: FromPath[str]) -> dict[str, Any]:
        known = models(runtime.config)
        if model_id not in known:
            raise unknown_model(model_id, known)
        return _model(model_id, known[model_id], created)

    @get(["/voices", "/audio/voices"], summary="The voices of voices.yaml, aliases included", tags=["listings"])
    async def list_voices(request: Request[Any, Any, Any]) -> dict[str, Any]:
        came_through(request.scope, runtime.name)
        found = voices(runtime.config, runtime.board.snapshot())
        # `data` is where OpenAI's lists have their entries, `voices` is where Open WebUI and Kokoro's clients look
        return {"object": "list", "data": found, "voices": found}

    @get("/engines", summary="State and load of the engines, and what became of each plugin", tags=["listings"])
    async def list_engines(request: Request[Any, Any, Any]) -> dict[str, Any]:
        identify(request.scope, runtime.config, runtime.clock)
        snapshot = out_of_rotation(runtime.board.snapshot(), runtime.config.policy)
        board = board_fields(snapshot)
        if not sees_details(request.scope, runtime.config, runtime.clock):
            for engine in board["engines"].values():
                del engine["reason"]
            return board
        for name, engine in board["engines"].items():
            engine["about"] = about_engine(runtime.config.engines[name].kind.name, snapshot.engines[name].info)
        return board | {
            "disabled": [name for name, entry in runtime.config.engines.items() if not entry.enabled],
            "plugins": [
                {"name": one.name, "source": one.source, "kinds": list(one.kinds), "error": one.error or None}
                for one in runtime.registry.plugins
            ],
        }

    return [list_models, show_model, list_voices, list_engines]


def _model(name: str, stands_for: str, created: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": name, "object": "model", "created": created, "owned_by": "voxgate"}
    return entry if stands_for == name else entry | {"alias_of": stands_for}


def voices(config: Config, snapshot: Snapshot) -> list[dict[str, Any]]:
    """The voices, then their other names; `engines` are those that have the voice under some name of their own."""
    known: dict[str, dict[str, Any]] = {}
    for name, voice in config.voices.voices.items():
        having = [
            engine
            for engine, state in snapshot.engines.items()
            if engine in voice.engines or (state.info and state.info.any_voice)
        ]
        languages = list(voice.languages)
        known[name] = {"id": name, "name": name, "languages": languages, "gender": voice.gender, "engines": having}
    aliases = [
        {**known[meant], "id": alias, "name": alias, "alias_of": meant}
        for alias, meant in config.voices.aliases.items()
        if meant in known
    ]
    return [*known.values(), *aliases]


def about_engine(kind: str, info: EngineInfo | None) -> dict[str, Any]:
    """What an engine is and can do, as far as is known."""
    if info is None:
        return {"kind": kind}
    return {
        "kind": kind,
        "local": info.local,
        "streams": info.streams,
        "languages": "any" if info.any_language else sorted(info.languages),
        "voices": "any" if info.any_voice else len(info.voices),
        "max_chars": info.max_chars,
        "licence": info.licence,
    }
