"""`GET /metrics`: what Prometheus reads. Who may: whoever may see details of engines."""

from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from gateway.http.access import require_admin
from gateway.runtime import Runtime
from gateway.telemetry.exposition import Exposition


def metrics_endpoint(runtime: Runtime, exposition: Exposition) -> HTTPRouteHandler:
    """The route handler."""

    @get("/metrics", media_type="text/plain", summary="Metrics, as Prometheus reads them", tags=["health"])
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        require_admin(request.scope, runtime.config, runtime.clock)
        body, media_type = await exposition.text(request.headers.get("accept", ""))
        return Response(body, media_type=media_type)

    return metrics
