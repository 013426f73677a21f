"""The application: routes, and what stands around them, in one place.

`create_app(runtime)` is all that a server needs; the runtime starts and closes with the application's lifespan.
"""

import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.types import Scope

from gateway.http.access import sees_details
from gateway.http.admin import admin_endpoints
from gateway.http.docs import openapi_config
from gateway.http.errors import COUNT, HANDLERS, SEES
from gateway.http.health import health_endpoints
from gateway.http.inquiries import inquiry_endpoints
from gateway.http.listings import listing_endpoints
from gateway.http.metrics import metrics_endpoint
from gateway.http.speech import speech_endpoint
from gateway.http.trace import continue_trace
from gateway.runtime import Runtime
from gateway.telemetry.observer import Observer

#: what a page in a browser may read beside the body
EXPOSED_HEADERS = [
    "x-request-id",
    "x-voxgate-engine",
    "x-voxgate-voice",
    "x-voxgate-rule",
    "x-voxgate-cache",
    "x-voxgate-attempts",
    "x-voxgate-degraded",
    "x-voxgate-ignored",
    "x-sample-rate",
    "server-timing",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-characters",
    "x-ratelimit-remaining-characters",
    "x-ratelimit-reset-characters",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
]


def create_app(runtime: Runtime) -> Litestar:
    """The gateway as an ASGI application. Starts nothing before its lifespan begins."""
    api = [
        speech_endpoint(runtime),
        *inquiry_endpoints(runtime),
        *listing_endpoints(runtime),
        *admin_endpoints(runtime),
    ]
    observer = Observer(runtime, _version(), os.environ)

    def sees(scope: Scope) -> bool:
        return sees_details(scope, runtime.config, runtime.clock)

    @asynccontextmanager
    async def living(_: Litestar) -> AsyncGenerator[None, None]:
        server_log = logging.getLogger("uvicorn.error")
        server_log.addFilter(says_more_than_we)
        try:
            async with observer, runtime, runtime.reloader:
                yield
        finally:
            server_log.removeFilter(says_more_than_we)

    return Litestar(
        route_handlers=[
            Router("/v1", route_handlers=api),
            # clients whose base URL lacks the /v1; once in the schema is enough
            Router("/", route_handlers=api, include_in_schema=False),
            *health_endpoints(runtime),
            metrics_endpoint(runtime, observer.exposition),
        ],
        state=State({COUNT: observer.metrics.error, SEES: sees}),
        lifespan=[living],
        # From the outside in; the order is Litestar's own.
        # 1. CORS, why here: around everything, so that a page in a browser can read errors too, those of 2 included.
        cors_config=_cors(runtime.config.settings.cors.allow_origins),
        # 2. Errors, why here: around the router, so that an unknown path gets the same shape as a failed speech.
        exception_handlers=HANDLERS,
        # 3. The trace of a client, why here: around the handlers alone, whose requests have spans.
        middleware=[continue_trace] if observer.tracing else [],
        # 4. The handlers. Nothing stands between them and the errors: whatever wraps `send` costs each piece of audio.
        openapi_config=openapi_config(_version()),
        logging_config=None,  # whoever runs the server says what is logged
    )


def says_more_than_we(record: logging.LogRecord) -> bool:
    """Drops the server's line about a response that was not completed: we broke it off on purpose and said why."""
    return record.getMessage() != "ASGI callable returned without completing response."


def _cors(origins: tuple[str, ...]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(allow_origins=list(origins), expose_headers=EXPOSED_HEADERS, allow_headers=["*"])


def _version() -> str:
    try:
        return version("voxgate")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"
