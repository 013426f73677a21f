"""What passes between an engine and its server: told to whoever looks on, and compared with what is known of it.

`voxgate engines record` records the exchanges that a kind declares here. Knows no protocol, writes no file and imports
no library of the network. Nothing is masked here: whoever records hides keys and accounts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from engines.contract import Instance

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


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange with a server that is worth a record, such as a short text, an unknown voice or a wrong key.

    `run(tap)` has it, once, with the engine's own driver; what it raises is what the engine would have raised. Nothing
    is sent, and no key read, before that.
    """

    name: str
    summary: str
    run: Callable[[Tap], Awaitable[None]]
    ends: tuple[str, ...] = ("",)  # codes of the SpeechErrors that it may end with; "": it ends well
    chars: int = 0  # that the account may be charged for
    within_s: float = 60.0
    usual: bool = True  # recorded where nobody says which; False for what costs much, takes long or disturbs others


@dataclass(frozen=True, slots=True)
class Known:
    """What the code of a protocol knows of its server. Whatever a recording has beside it is a difference.

    `messages` are examples of what is received as text, parsed, under the names that `name` gives them: one for each
    shape that is taken. A field that all examples of a message have is needed, others may be there, and types are
    those of the examples; `...` stands for any value, or for any name of a field. `headers` are those of the server's
    own, in lower case: HTTP's are always known.
    """

    name: Callable[[Any], str]
    messages: Mapping[str, Sequence[Any]]
    headers: frozenset[str] = frozenset()
    closes: frozenset[str] = frozenset({"1000", "end", "cancelled"})


@dataclass(frozen=True, slots=True)
class Exchanges:
    """What `voxgate engines record` may record of the engines of a kind, and what it is compared with."""

    of: Callable[[Instance, Any], Sequence[Exchange]]  # of an engine with these options; loads nothing, needs no key
    known: Callable[[], Known]
