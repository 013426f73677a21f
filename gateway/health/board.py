"""The board: the only mutable state of health and load, one row per engine.

`row.py` has what is known about one engine; `snapshot` gives policies an immutable view of all. Knows nothing about
requests or engines' code.
"""

from __future__ import annotations

import math

from engines.contract import EngineInfo
from engines.slots import Slots
from gateway.clock import Clock
from gateway.health.row import Row, Watcher
from policies.types import EngineState, Snapshot

#: a snapshot may be used again for this long (seconds): its `now` only serves the hours of rules, and people
SAME_FOR_S = 1.0


class Board:
    """Rows by engine name. All methods are quick and synchronous; used from one event loop."""

    def __init__(self, clock: Clock, watchers: list[Watcher] | None = None) -> None:
        self._clock = clock
        self.watchers: list[Watcher] = [] if watchers is None else watchers
        self._rows: dict[str, Row] = {}
        self._latest = Snapshot(clock.now(), {})
        self._latest_views: list[EngineState] = []
        self._latest_s = -math.inf

    def add(self, name: str, slots: Slots, *, cost_per_1k_chars: float = 0.0, info: EngineInfo | None = None) -> Row:
        """A new row, for an engine that is starting."""
        row = Row(name, slots, self._clock, self.watchers, cost_per_1k_chars, info, since=self._clock.now())
        self._rows[name] = row
        return row

    def row(self, name: str) -> Row:
        return self._rows[name]

    def apart(self) -> Board:
        """An empty board beside this one: for engines that are not in rotation yet."""
        return Board(self._clock, self.watchers)

    def remove(self, name: str) -> None:
        """Take an engine out of rotation. What still speaks with it goes on writing on its row."""
        del self._rows[name]

    def put(self, row: Row) -> None:
        """Take in a row of another board, in place of the one of that name if there is one."""
        self._rows[row.name] = row

    def snapshot(self) -> Snapshot:
        """All rows now. The same object as before when nothing has changed for less than a second, so that what
        follows from it need not be worked out again; its `now` may be that much old."""
        now_s = self._clock.monotonic()
        views = [row.view(now_s) for row in self._rows.values()]
        if now_s - self._latest_s < SAME_FOR_S and views == self._latest_views:
            return self._latest
        self._latest_s, self._latest_views = now_s, views
        self._latest = Snapshot(self._clock.now(), dict(zip(self._rows, views, strict=True)))
        return self._latest
