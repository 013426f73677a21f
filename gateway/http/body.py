"""Reads a request's body, never more of it than allowed. Knows nothing about what the body says."""

import asyncio

from litestar.types import HTTPScope, Receive, Scope

from engines.errors import SpeechError

#: seconds in which the whole body must have come
BODY_WITHIN_S = 30.0


class BodyTooLarge(SpeechError):
    """The body is longer than `input.max_body_bytes`."""

    code = "body_too_large"
    status = 413


class BodyTooSlow(SpeechError):
    """The body took longer than a working client needs: whoever sends it drop by drop does not hold a task for ever."""

    code = "body_too_slow"
    status = 408


class ClientLeft(Exception):
    """The client went away before its body was complete: there is nobody to answer."""


def header(scope: HTTPScope | Scope, name: bytes) -> bytes | None:
    """The first header of that (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return value
    return None


async def read_body(scope: HTTPScope | Scope, receive: Receive, max_bytes: int) -> bytes:
    """The whole body. Raises BodyTooLarge, from the announced length where there is one, BodyTooSlow and ClientLeft."""
    length = header(scope, b"content-length")
    if length is not None and length.isdigit() and int(length) > max_bytes:
        raise BodyTooLarge(f"the body has {int(length)} bytes; {max_bytes} are allowed")
    # most bodies have come with their headers: the timer is set when there is a wait, and costs them nothing
    loop, timer = asyncio.get_running_loop(), asyncio.timeout(None)
    soon = loop.call_soon(lambda: timer.reschedule(loop.time() + BODY_WITHIN_S))
    pieces, held = [], 0
    try:
        async with timer:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientLeft
                pieces.append(message.get("body", b""))
                held += len(pieces[-1])
                if held > max_bytes:
                    raise BodyTooLarge(f"the body is longer than the {max_bytes} bytes allowed")
                if not message.get("more_body", False):
                    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    except TimeoutError:
        if not timer.expired():
            raise
        raise BodyTooSlow(f"the body did not arrive within {BODY_WITHIN_S:g} s") from None
    finally:
        soon.cancel()
