"""`GET /metrics`: what Prometheus reads. Who may: whoever may see details of engines."""

from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import HTTPRouteHandler

from gateway.http.access import sees_details
from gateway.telemetry.exposition import Exposition


def metrics_endpoint(exposition: Exposition) -> HTTPRouteHandler:
    """The route handler."""

    @get("/metrics", media_type="text/plain", summary="Metrics, as Prometheus reads them", tags=["health"])
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        if not sees_details(request.scope):
            raise PermissionDeniedException("only programs on the gateway's own machine may read its metrics")
        body, media_type = await exposition.text(request.headers.get("accept", ""))
        return Response(body, media_type=media_type)

    return metrics
