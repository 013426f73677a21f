"""`POST /v1/speech`, and the same under OpenAI's name: body in, audio out.

The handler gives Litestar an ASGI application, which owns the reply from its making to its closing. Litestar's own
responses neither watch for a client that leaves before the first byte nor promise to close what they stream.
"""

import dataclasses
import re

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from engines.errors import Busy
from gateway.http.access import identify
from gateway.http.body import header, read_body
from gateway.http.capacity import most_at_once
from gateway.http.departure import Departure
from gateway.http.docs import SpeechOperation
from gateway.http.ids import request_id_of
from gateway.http.loop import came_through
from gateway.http.permits import keep_permit
from gateway.http.responses import collect, send_stream, send_whole, speech_headers, speech_json
from gateway.http.wire import parse_speech
from gateway.keys.caller import Caller
from gateway.limits.permit import Permit
from gateway.pipeline import speak
from gateway.reply import Reply
from gateway.runtime import Runtime

PATHS = ["/speech", "/audio/speech"]  # under /v1 and without it


def speech_endpoint(runtime: Runtime) -> HTTPRouteHandler:
    """The route handler. It takes no parameters, so that Litestar resolves none: the application reads for itself."""
    endpoint = SpeechEndpoint(runtime)

    @post(
        PATHS,
        status_code=200,
        sync_to_thread=False,
        media_type="audio/mpeg",
        summary="Speak a text",
        tags=["speech"],
        operation_class=SpeechOperation,
    )
    def speech() -> ASGIApp:
        return endpoint

    return speech


class SpeechEndpoint:
    """The ASGI application behind the path."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._max_body_bytes = runtime.config.settings.input.max_body_bytes
        self._max_chars = runtime.config.settings.input.max_chars
        self._most_at_once = most_at_once()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        via = came_through(scope, self._runtime.name)
        if self._runtime.in_flight >= self._most_at_once:
            raise Busy(f"the gateway works on {self._most_at_once} requests already: try again soon", retry_after_s=1.0)
        self._runtime.in_flight += 1
        try:
            with self._runtime.patience():
                await self._admit(scope, receive, send, via)
        finally:
            self._runtime.in_flight -= 1

    async def _admit(self, scope: Scope, receive: Receive, send: Send, via: tuple[str, ...]) -> None:
        """Answer within the limits of whoever asks, who holds a place among the requests in flight until the end."""
        caller = identify(scope, self._runtime.config, self._runtime.clock)
        async with await self._runtime.limiter.admit(caller) as permit:
            keep_permit(scope, permit)
            await self._answer(scope, receive, send, caller, permit, via)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, caller: Caller, permit: Permit, via: tuple[str, ...]
    ) -> None:
        request_id = request_id_of(scope)
        body = await read_body(scope, receive, self._max_body_bytes)
        request, ignored = parse_speech(body, self._max_chars)
        request = caller.ask(request)
        if via:
            request = dataclasses.replace(request, via=via)
        accept = header(scope, b"accept")
        as_json = accept is not None and b"json" in accept and prefers_json(accept.decode("latin-1"))
        # A body that ends with the connection, as HTTP/1.0's do, looks complete when it was cut: it gets a length.
        if as_json or scope.get("http_version") == "1.0":
            request = dataclasses.replace(request, stream=False)
        reply: Reply | None = None
        try:
            with Departure(receive) as departure:
                reply = await speak(request, self._runtime, request_id, permit, lambda: departure.left)
                if as_json:
                    answer = speech_json(reply, request_id, await collect(reply))
                    headers = speech_headers(reply, request_id, ignored, permit)
                    await send_whole(send, b"application/json", answer, headers)
                elif reply.body is not None or not request.stream:
                    clip = await collect(reply)
                    headers = speech_headers(reply, request_id, ignored, permit)
                    await send_whole(send, reply.media_type.encode("ascii"), clip, headers)
                else:
                    await send_stream(send, reply, request_id, ignored, permit)
        finally:
            # After the watch has ended, so that a client leaving now does not interrupt the closing.
            if reply is not None:
                await reply.aclose()


_RANGE = re.compile(r"\s*([^\s;,]+)\s*((?:;[^,]*)?)")
_QUALITY = re.compile(r";\s*q\s*=\s*([^;\s]*)")


def prefers_json(accept: str) -> bool:
    """Is JSON asked for before any audio. `application/json, */*`, the default of some clients, is not asking."""
    json, other = 0.0, 0.0
    for part in accept.lower().split(","):
        if not (found := _RANGE.match(part)):
            continue
        quality = _QUALITY.search(found[2])
        try:
            weight = float(quality[1]) if quality else 1.0
        except ValueError:
            weight = 0.0
        if found[1] == "application/json":
            json = max(json, weight)
        elif found[1] in ("*/*", "application/*", "application/octet-stream") or found[1].startswith("audio/"):
            other = max(other, weight)
    return json > other
