"""Questions about one request: the plan before it is spoken, the outcome afterwards. Nothing is spoken here."""

from typing import Any

from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from engines.errors import SpeechError
from gateway.explain import explain
from gateway.http.access import identify, sees_details
from gateway.http.body import read_body
from gateway.http.docs import PlanOperation
from gateway.http.wire import parse_speech
from gateway.no_engine import without_advice
from gateway.record import Served
from gateway.runtime import Runtime


class RequestNotFound(SpeechError):
    """No outcome is kept under this id, or it is another key's."""

    code = "request_not_found"
    status = 404


def inquiry_endpoints(runtime: Runtime) -> list[HTTPRouteHandler]:
    """The route handlers."""
    limits = runtime.config.settings.input

    @post(
        "/plan",
        status_code=200,
        summary="Which engines would speak this, in which order, and why",
        tags=["speech"],
        operation_class=PlanOperation,
    )
    async def plan(request: Request[Any, Any, Any]) -> dict[str, Any]:
        caller = identify(request.scope, runtime.config, runtime.clock)
        body = await read_body(request.scope, request.receive, limits.max_body_bytes)
        asked, _ = parse_speech(body, limits.max_chars)
        snapshot = runtime.board.snapshot()
        if not sees_details(request.scope, runtime.config, runtime.clock):
            snapshot = without_advice(snapshot)
        return explain(caller.ask(asked), runtime.config, snapshot)

    @get(
        ["/speech/{request_id:str}", "/audio/speech/{request_id:str}"],
        summary="What became of a request",
        tags=["speech"],
    )
    async def outcome(request: Request[Any, Any, Any], request_id: FromPath[str]) -> dict[str, Any]:
        caller = identify(request.scope, runtime.config, runtime.clock)
        served = await runtime.outcomes.get(request_id)
        if served is not None and served.key != caller.name:
            served = served if sees_details(request.scope, runtime.config, runtime.clock) else None
        if served is None:
            keep = runtime.config.settings.outcomes
            raise RequestNotFound(
                f"nothing is known of request {request_id[:64]!r}; the last {keep.keep} are kept for {keep.keep_s} s",
                param="request_id",
            )
        return outcome_fields(served)

    return [plan, outcome]


def outcome_fields(served: Served) -> dict[str, Any]:
    """The record of a request as its client may see it."""
    return {
        "request_id": served.request_id,
        "state": served.outcome,
        "complete": served.outcome == "complete",
        "received": served.received.isoformat(timespec="milliseconds"),
        "model": served.model,
        "voice": served.voice,
        "format": served.format,
        "chars": served.chars,
        "languages": list(served.languages),
        "rule": served.plan.rule if served.plan else None,
        "cache": served.cache,
        "engine": served.engine or None,
        "engine_voice": served.engine_voice or None,
        "degraded": served.degraded or None,
        "clause_engines": list(served.clause_engines),  # by clause, as far as spoken
        "audio_s": round(served.audio_s, 3),
        "bytes": served.bytes_out,
        "first_audio_s": _rounded(served.first_audio_s),
        "total_s": _rounded(served.total_s),
        "attempts": [
            {
                "engine": one.engine,
                "voice": one.voice,
                "clause": one.clause,
                "started_s": _rounded(one.started_s),
                "first_audio_s": _rounded(one.first_audio_s),
                "ended_s": _rounded(one.ended_s),
                "audio_s": round(one.audio_s, 3),
                "error": {"code": one.error, "message": one.message} if one.error else None,
            }
            for one in served.attempts
        ],
        "error": {"code": served.error, "message": served.message} if served.error else None,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
