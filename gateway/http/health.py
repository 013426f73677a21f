"""Is the process alive, and can it speak. Liveness never depends on an engine: a restart would not mend one."""

from typing import Any

from litestar import Request, Response, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler

from gateway.http.access import sees_details
from gateway.http.errors import error_object
from gateway.http.ids import request_id_of
from gateway.runtime import Runtime
from policies.decide import out_of_rotation
from policies.types import EngineState

#: probes ask with either
_METHODS = [HttpMethod.GET, HttpMethod.HEAD]


def health_endpoints(runtime: Runtime) -> list[HTTPRouteHandler]:
    """The route handlers."""

    @route(
        ["/livez", "/healthz"], http_method=_METHODS, status_code=200, summary="Is the process alive", tags=["health"]
    )
    async def alive() -> dict[str, Any]:
        return {"status": "ok"}

    @route("/readyz", http_method=_METHODS, status_code=200, summary="Can at least one engine speak", tags=["health"])
    async def ready(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        states = out_of_rotation(runtime.board.snapshot(), runtime.config.policy).engines
        able = any(state.state == "up" for state in states.values())
        about: dict[str, Any] = {}
        if sees_details(request.scope, runtime.config, runtime.clock):
            told = {name: _state(state) for name, state in states.items()}
            for name, state in runtime.fleet.successors().items():
                told[name]["successor"] = _state(state)  # of an engine that was changed and speaks on as it was
            about = {"engines": told, "config": _config(runtime)}
            if runtime.store:
                about["redis"] = {"state": runtime.store.state, "reason": runtime.store.reason or None}
        if able:
            return Response({"ready": True, **about})
        request_id = request_id_of(request.scope)
        error = error_object("no engine can speak now", status=503, code="not_ready", request_id=request_id)
        return Response(error | {"ready": False, **about}, status_code=503, headers={"x-request-id": request_id})

    return [alive, ready]


def _state(state: EngineState) -> dict[str, Any]:
    return {"state": state.state, "reason": state.reason or None}


def _config(runtime: Runtime) -> dict[str, Any]:
    """What is in force, and what the files say otherwise."""
    reloader = runtime.reloader
    return {
        "loaded": reloader.loaded.isoformat(timespec="milliseconds"),
        "ok": reloader.last.ok,
        "problems": [str(problem) for problem in reloader.last.problems],
        "restart_pending": list(reloader.restart_pending),
    }
