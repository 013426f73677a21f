"""What passes between an engine and its server, told to whoever looks on.

Knows no protocol, writes no file and imports no library of the network. Nothing is masked here: whoever
records hides keys and accounts.
"""

from __future__ import annotations

from typing import Literal, Protocol

Direction = Literal["sent", "received", "closed"]


class Tap(Protocol):
    """Looks on at one connection after another. Drivers take `tap: Tap | None = None`: None costs nothing."""

    def note(self, direction: Direction, what: str, data: str | bytes) -> None:
        """One thing that passed, as it stood on the wire.

        `sent` and `received`: `what` is `head` (JSON: of a request or handshake `{"method", "url", "headers"}`, of its
        answer `{"status", "headers"}`), `text` (a text frame, or a body of text or JSON) or `binary` (a frame, or a
        piece of a body as it was read). `closed`: `what` is a WebSocket's close code, else `end`, `reset` or
        `cancelled`; `data` is the reason, if one was given. Never raises, and never waits.
        """
