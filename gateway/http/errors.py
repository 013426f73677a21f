"""Every error, in OpenAI's shape, with the headers that tell an SDK whether another try makes sense.

    {"error": {"message", "type", "param", "code", "request_id"}}

The facts come from the error's class; there is no ladder of types here. What was not raised on purpose is logged with
its traceback and told to the client as nothing but a request id.
"""

import logging
import math
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap, Scope

from engines.errors import SpeechError
from gateway.http.body import ClientLeft
from gateway.http.ids import request_id_of
from gateway.http.permits import permit_of
from gateway.limits.headers import Headers
from gateway.limits.limiter import RateLimited
from gateway.no_engine import for_clients
from gateway.refusals import NoEngine

logger = logging.getLogger("voxgate.http")

JSON: Final = "application/json"
#: seconds; SDKs obey `retry-after` up to two minutes, and beyond that do not try again at all
SHORTEST_RETRY_S, LONGEST_RETRY_S = 1.0, 120.0

#: where the application keeps what counts its errors, by status and code
COUNT: Final = "count_error"
#: and what tells by a request's scope whether its sender may see details of engines
SEES: Final = "sees_details"
#: codes of what the router says by itself
_CODES: Final = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


def error_type(status: int) -> str:
    """OpenAI's word for the kind of error: who has to change something."""
    if status == 429:
        return "rate_limit_error"
    if status == 401:
        return "authentication_error"
    if status == 403:
        return "permission_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def error_object(
    message: str, *, status: int, code: str, request_id: str, param: str | None = None, **more: Any
) -> dict[str, Any]:
    """The body of an error. `more` stands beside the fields that OpenAI's clients know."""
    about = {"message": message, "type": error_type(status), "param": param, "code": code, "request_id": request_id}
    return {"error": about | more}


def retry_headers(status: int, *, may_retry: bool, retry_after_s: float | None) -> dict[str, str]:
    """`retry-after` where another try makes sense, `x-should-retry: false` where an SDK would try in vain."""
    if not may_retry:
        return {"x-should-retry": "false"} if status >= 500 or status == 429 else {}
    wait_s = retry_after_s or 0.0
    if status != 429:  # a limit's time is known, and told as it is; others are guesses
        wait_s = min(max(wait_s, SHORTEST_RETRY_S), LONGEST_RETRY_S)
    headers = {"retry-after": str(math.ceil(wait_s)), "retry-after-ms": str(math.ceil(wait_s * 1000))}
    return headers if wait_s <= LONGEST_RETRY_S else headers | {"x-should-retry": "false"}


def _respond(scope: Scope, status: int, body: dict[str, Any], headers: dict[str, str]) -> Response[bytes]:
    code = body["error"]["code"]
    scope["litestar_app"].state[COUNT](str(status), code)
    logger.info("refused", extra={"voxgate": {"request_id": request_id_of(scope), "status": status, "code": code}})
    limits = _as_text(permit_of(scope).headers())
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type=JSON,
        headers={"x-request-id": request_id_of(scope), **limits, **headers},
    )


def _as_text(headers: Headers) -> dict[str, str]:
    return {name.decode("ascii"): value.decode("ascii") for name, value in headers}


def on_speech_error(request: Request[Any, Any, Any], error: SpeechError) -> Response[bytes]:
    """What engines, the pipeline and the parser raise on purpose: their messages are written for clients."""
    skipped = {}
    if isinstance(error, NoEngine):  # the one error that carries more than words
        told = error.plan.skipped
        if not request.app.state[SEES](request.scope):
            told = tuple(map(for_clients, told))
        skipped["skipped"] = [{"engine": one.engine, "code": one.code, "reason": one.reason} for one in told]
    body = error_object(
        error.message,
        status=error.status,
        code=error.code,
        request_id=request_id_of(request.scope),
        param=error.param,
        **skipped,
    )
    headers = retry_headers(error.status, may_retry=error.client_may_retry, retry_after_s=error.retry_after_s)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"  # RFC 9110: with every 401, what would be taken
    if isinstance(error, RateLimited):  # whoever is not admitted has no permit
        headers |= _as_text(error.headers)
    return _respond(request.scope, error.status, body, headers)


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the router says: no such path, not this method."""
    status, headers = error.status_code, dict(error.headers or {})
    method, path = request.scope["method"], request.scope["path"]
    if status == 404:
        message = f"there is nothing at {path}; /docs lists what there is"
    elif status == 405:
        message = f"{method} is not possible on {path}; possible: {headers.get('allow', '')}"
    elif status >= 500:
        logger.error("the router failed", exc_info=error)
        message = "internal error"
    else:
        message = error.detail
    code = _CODES.get(status, "invalid_request" if status < 500 else "internal_error")
    body = error_object(message, status=status, code=code, request_id=request_id_of(request.scope))
    return _respond(request.scope, status, body, headers)


def on_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A fault of ours. The log has the traceback; the client gets the id to ask about."""
    request_id = request_id_of(request.scope)
    logger.error("unexpected error", exc_info=error, extra={"voxgate": {"request_id": request_id}})
    message = f"internal error; the gateway's log has more under request id {request_id}"
    body = error_object(message, status=500, code="internal_error", request_id=request_id)
    return _respond(request.scope, 500, body, retry_headers(500, may_retry=False, retry_after_s=None))


def on_client_left(request: Request[Any, Any, Any], error: ClientLeft) -> Response[bytes]:
    """Nobody hears this; the server drops it."""
    return Response(b"", status_code=400)


# Litestar looks for the most special class first, so the order here is for readers: ours, the router's, the rest.
HANDLERS: Final[ExceptionHandlersMap] = {
    SpeechError: on_speech_error,
    HTTPException: on_http_error,
    ClientLeft: on_client_left,
    Exception: on_unexpected,
}
