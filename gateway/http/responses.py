"""Sends a `Reply`: whole with a length, as a chunked stream, or inside JSON.

A reply is complete or detectably not. What fails before the first byte is raised, and becomes an error with a status;
what fails later breaks the transfer off, and is told by `GET /v1/speech/{request_id}`. Knows nothing about engines.
"""

import logging
import re
from typing import Any, Final
from urllib.parse import quote

import msgspec
from litestar.types import Send

from engines.errors import EngineFault
from gateway.limits.headers import Headers
from gateway.limits.permit import Permit
from gateway.record import Served
from gateway.reply import Reply

logger = logging.getLogger("voxgate.http")

_NEEDS_ESCAPE = re.compile(r"[^\x20-\x24\x26-\x7e]").search
_ESCAPE_SAFE: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
#: names of ignored fields told in one header: enough for a person, too few to overflow a proxy's buffer
MAX_IGNORED_NAMES: Final = 20
#: the same for the reason of a degradation; the whole of it is in the outcome
MAX_REASON_CHARS: Final = 200


def header_value(text: str) -> bytes:
    """Text as a header carries it: ASCII as it is; whatever else, and `%`, percent-encoded UTF-8.

    A client that decodes percent-encoding gets back what was meant: voices and rules may have names in any script.
    """
    return (quote(text, safe=_ESCAPE_SAFE) if _NEEDS_ESCAPE(text) else text).encode("ascii")


def _timing(served: Served) -> bytes:
    """`server-timing`: what is known when the headers go out, in milliseconds."""
    if served.first_audio_s is None:
        return b"total;dur=%.2f" % ((served.total_s or 0.0) * 1000)
    return b"first_audio;dur=%.2f" % (served.first_audio_s * 1000)


def speech_headers(reply: Reply, request_id: str, ignored: list[str], permit: Permit) -> Headers:
    """The headers of CONTRACT's section on HTTP, as far as they are known before the first byte."""
    served = reply.served
    headers = [
        (b"x-request-id", request_id.encode("ascii")),
        (b"x-voxgate-engine", header_value(served.engine)),
        (b"x-voxgate-voice", header_value(served.engine_voice)),
        (b"x-voxgate-rule", header_value(served.plan.rule if served.plan else "")),
        (b"x-voxgate-cache", served.cache.encode("ascii")),
        (b"x-voxgate-attempts", b"%d" % len(served.attempts)),
        (b"x-sample-rate", b"%d" % reply.sample_rate),
        (b"server-timing", _timing(served)),
    ]
    if served.degraded:
        headers.append((b"x-voxgate-degraded", header_value(served.degraded[:MAX_REASON_CHARS])))
    if ignored:
        names = [quote(name[:64], safe="") for name in ignored[:MAX_IGNORED_NAMES]]
        headers.append((b"x-voxgate-ignored", ", ".join(names).encode("ascii")))
    return headers + permit.headers()


async def send_whole(send: Send, media_type: bytes, body: bytes, headers: Headers) -> None:
    """One body with its length."""
    headers.append((b"content-type", media_type))
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_stream(send: Send, reply: Reply, request_id: str, ignored: list[str], permit: Permit) -> None:
    """Pieces as they are made. Nothing is sent before the first one is there: until then, failing has a status.

    When a later one fails, this returns without the last chunk; the server then closes the connection, and every client
    sees an incomplete transfer.
    """
    assert reply.stream is not None
    first = await _first_piece(reply)
    headers = speech_headers(reply, request_id, ignored, permit)
    headers.append((b"content-type", reply.media_type.encode("ascii")))
    headers.append((b"x-accel-buffering", b"no"))  # nginx would collect the whole clip before passing it on
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": first, "more_body": True})
    try:
        async for piece in reply.stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except Exception as error:
        code = getattr(error, "code", None)
        about = {"request_id": request_id, "engine": reply.served.engine}
        if code:
            about["reason"] = str(error)
        logger.warning(
            "broke off: %s", code or "unexpected error", exc_info=None if code else error, extra={"voxgate": about}
        )
        return
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _first_piece(reply: Reply) -> bytes:
    """The first bytes. Raises EngineFault when there are none."""
    assert reply.stream is not None
    async for piece in reply.stream:
        if piece:
            return piece
    raise _no_audio()


async def collect(reply: Reply) -> bytes:
    """The whole clip, with true sizes in its header. Raises what the stream raises: nothing was sent yet."""
    clip = await reply.whole()
    if not clip:
        raise _no_audio()
    return clip


def _no_audio() -> EngineFault:
    # SDKs take a 200 without a body for success
    return EngineFault("the engine gave no audio")


def speech_json(reply: Reply, request_id: str, audio: bytes) -> bytes:
    """The answer for `Accept: application/json`; `audio` becomes base64."""
    served = reply.served
    about: dict[str, Any] = {
        "audio": audio,
        "format": served.format,
        "media_type": reply.media_type,
        "sample_rate": reply.sample_rate,
        "duration_s": round(served.audio_s, 3),
        "engine": served.engine,
        "voice": served.engine_voice,
        "rule": served.plan.rule if served.plan else None,
        "cache": served.cache,
        "attempts": len(served.attempts),
        "degraded": served.degraded or None,
        "request_id": request_id,
    }
    return msgspec.json.encode(about)
