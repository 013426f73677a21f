"""Reads a request's body, never more of it than allowed. Knows nothing about what the body says."""

from litestar.types import HTTPScope, Receive, Scope

from engines.errors import SpeechError


class BodyTooLarge(SpeechError):
    """The body is longer than `input.max_body_bytes`."""

    code = "body_too_large"
    status = 413


class ClientLeft(Exception):
    """The client went away before its body was complete: there is nobody to answer."""


def header(scope: HTTPScope | Scope, name: bytes) -> bytes | None:
    """The first header of that (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return value
    return None


async def read_body(scope: HTTPScope | Scope, receive: Receive, max_bytes: int) -> bytes:
    """The whole body. Raises BodyTooLarge, from the announced length where there is one, and ClientLeft."""
    length = header(scope, b"content-length")
    if length is not None and length.isdigit() and int(length) > max_bytes:
        raise BodyTooLarge(f"the body has {int(length)} bytes; {max_bytes} are allowed")
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientLeft
        piece = message.get("body", b"")
        body = body + piece if body else piece
        if len(body) > max_bytes:
            raise BodyTooLarge(f"the body is longer than the {max_bytes} bytes allowed")
        if not message.get("more_body", False):
            return body
