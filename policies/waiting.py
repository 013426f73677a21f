"""Can one who comes to a line be served in time: the one sum behind a plan's `too_slow` and an engine's door.

Knows nothing about engines, requests or clocks.
"""

from __future__ import annotations

#: a wait is estimated from texts; it may be so many times as long, and who is let in must be in time all the same
MAY_BE_LONGER = 1.5


def longest_s(wait_s: float, own_s: float) -> float:
    """Seconds until the end of work of `own_s` behind a line of `wait_s`, if that is as long as it may be."""
    return wait_s * MAY_BE_LONGER + own_s


def room_in_s(wait_s: float, own_s: float, allowed_s: float) -> float | None:
    """Seconds until the line is short enough for work of `own_s` to end within `allowed_s`: 0 when it is now, None when
    it never will be."""
    if own_s > allowed_s:
        return None
    return max(0.0, wait_s - (allowed_s - own_s) / MAY_BE_LONGER)
