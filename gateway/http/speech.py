"""`POST /v1/speech`, and the same under OpenAI's name: body in, audio out.

The handler gives Litestar an ASGI application, which owns the reply from its making to its closing. Litestar's own
responses neither watch for a client that leaves before the first byte nor promise to close what they stream.
"""

import dataclasses
import logging
import re
from typing import Any

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.http.body import header, read_body
from gateway.http.departure import Departure
from gateway.http.docs import SpeechOperation
from gateway.http.ids import request_id_of
from gateway.http.permits import keep_permit
from gateway.http.responses import collect, send_stream, send_whole, speech_headers, speech_json
from gateway.http.wire import parse_speech
from gateway.keys import Caller
from gateway.limits.permit import Permit
from gateway.pipeline import speak
from gateway.record import Served
from gateway.reply import Reply
from gateway.runtime import Runtime

logger = logging.getLogger("voxgate.access")

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._runtime.patience():
            await self._admit(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer within the limits of whoever asks, who holds a place among the requests in flight until the end."""
        caller = Caller(limits=self._runtime.config.settings.limits)
        async with await self._runtime.limiter.admit(caller) as permit:
            keep_permit(scope, permit)
            await self._answer(scope, receive, send, permit)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, permit: Permit) -> None:
        request_id = request_id_of(scope)
        body = await read_body(scope, receive, self._max_body_bytes)
        request, ignored = parse_speech(body, self._max_chars)
        accept = header(scope, b"accept")
        as_json = accept is not None and b"json" in accept and prefers_json(accept.decode("latin-1"))
        # A body that ends with the connection, as HTTP/1.0's do, looks complete when it was cut: it gets a length.
        if as_json or scope.get("http_version") == "1.0":
            request = dataclasses.replace(request, stream=False)
        reply: Reply | None = None
        try:
            with Departure(receive):
                reply = await speak(request, self._runtime, request_id, permit)
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
                _log(reply.served)


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


def _log(served: Served) -> None:
    """One line a request, and never its text. A line costs half of what a clip from the cache does: those tell less."""
    level = logging.DEBUG if served.cache == "hit" else logging.INFO
    if not logger.isEnabledFor(level):
        return
    facts: dict[str, Any] = {
        "request_id": served.request_id,
        "outcome": served.outcome,
        "engine": served.engine,
        "voice": served.engine_voice,
        "rule": served.plan.rule if served.plan else "",
        "cache": served.cache,
        "format": served.format,
        "chars": served.chars,
        "audio_s": round(served.audio_s, 3),
        "bytes_out": served.bytes_out,
        "first_audio_s": None if served.first_audio_s is None else round(served.first_audio_s, 4),
        "total_s": None if served.total_s is None else round(served.total_s, 4),
        "attempts": len(served.attempts),
        "degraded": served.degraded,
        "error": served.error,
    }
    line = " ".join(f"{name}={_quoted(value)}" for name, value in facts.items() if value not in ("", None))
    logger.log(level, "served %s", line, extra={"voxgate": facts})


def _quoted(value: object) -> str:
    text = str(value)
    return repr(text) if re.search(r"[\s\"'=\x00-\x1f]", text) else text
