"""The hook that hears of every request after its last byte: metrics, billing, audit.

Called once per request, synchronously and without I/O, plugin by plugin; what one raises is logged and
neither reaches the client nor keeps the others from being called.
"""

from __future__ import annotations

from engines.hooks import hookspec
from gateway.record import Served


@hookspec
def on_served(record: Served) -> None:
    """Read the record of a finished request. It must not be changed or kept waiting for."""
