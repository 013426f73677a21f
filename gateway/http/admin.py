"""What an operator asks of a running gateway. For administrators only."""

from typing import Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler

from gateway.configuration.problems import Problem
from gateway.http.access import require_admin
from gateway.http.errors import error_object
from gateway.http.ids import request_id_of
from gateway.reload import Report
from gateway.runtime import Runtime


def admin_endpoints(runtime: Runtime) -> list[HTTPRouteHandler]:
    """The route handlers."""

    @post("/admin/reload", status_code=200, summary="Read the configuration's files again, now", tags=["admin"])
    async def reload(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        require_admin(request.scope, runtime.config, runtime.clock)
        report = await runtime.reloader.reload()
        about = reload_fields(report) | {"restart_pending": list(runtime.reloader.restart_pending)}
        if report.ok:
            return Response({"ok": True, **about})
        request_id = request_id_of(request.scope)
        error = error_object(
            f"refused: {'; '.join(map(str, report.problems))}",
            status=400,
            code="configuration_refused",
            request_id=request_id,
            problems=[problem_fields(one) for one in report.problems],
        )
        return Response(error | {"ok": False, **about}, status_code=400, headers={"x-request-id": request_id})

    return [reload]


def reload_fields(report: Report) -> dict[str, Any]:
    """What was taken over, as far as anything was."""
    engines = report.engines
    return {
        "changed": list(report.changed),
        "engines": {
            "added": list(engines.added),
            "replaced": list(engines.replaced),
            "adjusted": list(engines.adjusted),
            "removed": list(engines.removed),
        },
        "warnings": [problem_fields(one) for one in report.warnings],
    }


def problem_fields(problem: Problem) -> dict[str, Any]:
    """A problem for programs."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
    }
