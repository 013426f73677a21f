"""Lets the trace of a client go on in ours: its headers are remembered while its request is worked on."""

from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.http.body import header
from gateway.telemetry.tracing import CARRIER

#: of W3C Trace Context
_HEADERS = ("traceparent", "tracestate")


def continue_trace(app: ASGIApp) -> ASGIApp:
    """The middleware. Stands in the way only where traces are wanted; it wraps neither `receive` nor `send`."""

    async def remember(scope: Scope, receive: Receive, send: Send) -> None:
        found = {name: header(scope, name.encode()) for name in _HEADERS}
        CARRIER.set({name: value.decode("latin-1") for name, value in found.items() if value})
        await app(scope, receive, send)

    return remember
