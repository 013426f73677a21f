"""SIGHUP means two things: read the configuration again, as daemons do; or the terminal is gone, and its programs end.

Knows nothing about configurations or servers.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def on_hangup(reload: Callable[[], None], end: Callable[[], None]) -> Callable[[], None]:
    """What to do at SIGHUP: `end` when the terminal that there is now is gone by then, else `reload`."""
    had_terminal = _has_terminal()

    def heard() -> None:
        if had_terminal and not _has_terminal():
            end()
        else:
            reload()

    return heard


def spare_beginners() -> None:
    """Let SIGHUP do nothing until somebody listens: who starts reads the configuration anyway."""
    if not is_ignored():
        signal.signal(signal.SIGHUP, lambda number, frame: None)


def is_ignored() -> bool:
    """Was this process started with SIGHUP ignored, as `nohup` does: then it stays so."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def _has_terminal() -> bool:
    """Has this process a terminal that is still there (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
