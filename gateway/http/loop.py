"""Whether a request has come back to the gateway that it left: some engine speaks by asking this very gateway.

Each gateway writes its name behind those that are in `Via` when it asks another (RFC 9110, section 7.6.3). Proxies that
write there too are passed over: they are none of our chain, and what stands before a gateway is nobody's business
behind it. Knows nothing about engines.
"""

from __future__ import annotations

from typing import Final

from litestar.types import HTTPScope, Scope

from engines.errors import SpeechError
from gateway.identity import NAME

#: gateways one behind the other: more than anybody would set up, and few enough for a loop whose names always differ
MOST_GATEWAYS: Final = 8


class LoopDetected(SpeechError):
    """The request has come through this gateway before, or through more gateways than make sense."""

    code = "loop_detected"
    status = 508


def came_through(scope: HTTPScope | Scope, own: str) -> tuple[str, ...]:
    """The gateways that a request has come through, the first one first; mostly none.

    Raises LoopDetected when the gateway called `own` is among them, or when there are too many.
    """
    written = [value for name, value in scope["headers"] if name == b"via"]
    if not written:
        return ()
    gateways = tuple(NAME.findall(b",".join(written).decode("latin-1")))
    if own in gateways:
        raise LoopDetected(
            "this request has come back to the gateway that it left: an engine's URL in engines.yaml points at this "
            "gateway itself, or at another one with the same data_dir; point it elsewhere, or name another data_dir"
        )
    if len(gateways) > MOST_GATEWAYS:
        raise LoopDetected(
            f"this request has come through {len(gateways)} gateways, and {MOST_GATEWAYS} are allowed: the URLs of "
            "their engines, each in engines.yaml, probably lead in a circle"
        )
    return gateways
