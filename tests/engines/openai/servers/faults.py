"""Ways in which a server goes wrong: each makes another answer of the one that its dialect would have given."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from tests.engines.openai.servers.dialect import Dialect
from tests.engines.openai.servers.wire import Reply, json_reply, with_headers

Fault = Callable[[Reply, Dialect], Reply]


def failing(status: int, message: str = "it is broken", code: str = "", **headers: str) -> Fault:
    """An error in the dialect's own form; of header names, `_` stands for `-`: `retry_after="2"`."""
    return lambda _, dialect: with_headers(dialect.error(status, message, code), **headers)


def cut(after_bytes: int, by: Literal["close", "reset"] = "close", *, sized: bool = False) -> Fault:
    """The connection ends after so much of the body, chunked or with a longer `content-length`."""
    return lambda reply, _: replace(reply, stops_at=after_bytes, stops_by=by, sized=sized)


def hanging_up(by: Literal["close", "reset"] = "close") -> Fault:
    """The request is read, and the connection ends without an answer."""
    return lambda reply, _: replace(reply, stops_at=-1, stops_by=by)


def held(after_bytes: int) -> Fault:
    """So much of the body is sent, and the rest when the test says `go_on()`: never, in most of them."""
    return lambda reply, _: replace(reply, held_at=after_bytes)


def silent() -> Fault:
    """The request is read, and not even a status line comes until `go_on()`."""
    return lambda reply, _: replace(reply, held_at=-1)


def empty() -> Fault:
    """200, the right content type, and no audio: what some do when their engine has failed."""
    return lambda reply, _: replace(reply, body=b"")


def half_a_sample() -> Fault:
    """The last byte is missing, and yet it ends cleanly."""
    return lambda reply, _: replace(reply, body=reply.body[:-1])


def error_with_200(message: str = "the model is not loaded") -> Fault:
    """An error, told as success."""
    body = {"error": {"message": message, "type": "server_error"}}
    return lambda reply, _: json_reply(200, body)


def error_as_audio(message: str = "the model is not loaded") -> Fault:
    """The same under the content type of audio."""
    body = json.dumps({"error": {"message": message, "type": "server_error"}}).encode()
    return lambda reply, _: replace(reply, body=body)


def page(status: int = 200) -> Fault:
    """A page for browsers: a proxy or a portal has answered."""
    body = b"<!doctype html><html><body>Sign in to the network at http://10.0.0.1/portal</body></html>"
    return lambda reply, _: Reply(body, "text/html; charset=utf-8", status, sized=True)


def redirect(to: str, status: int = 307) -> Fault:
    return lambda reply, _: Reply(status=status, headers={"location": to}, sized=True)


def gibberish() -> Fault:
    """What no HTTP client can read."""
    return lambda reply, _: Reply(raw=b"SSH-2.0-OpenSSH_9.2p1\r\n")


def labelled(**headers: str) -> Fault:
    """The right answer with more headers, such as `x_sample_rate="16000"`."""
    return lambda reply, _: with_headers(reply, **headers)


def typed(content_type: str) -> Fault:
    """The right answer under another content type."""
    return lambda reply, _: replace(reply, content_type=content_type)
