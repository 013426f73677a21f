"""What a request finds when it comes, and keeps until it ends: one configuration, and the engines that run under it.

A reload begins a new era, and so does an engine that takes the place of another. Requests that began before end in the
older one: by its rules, with its voices and with its own engines. Knows nothing about files, nor how engines are
started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.configuration.load import Config
from gateway.fleet.member import Member, somebody_returns
from gateway.guards import Guarded
from gateway.health.board import Board
from gateway.prepared import Preparing
from policies.types import Snapshot


class Era:
    """Immutable, but for who is in it and that it ends."""

    def __init__(self, config: Config, members: Mapping[str, Member], board: Board) -> None:
        self.config = config
        self.members = members
        self.preparing = Preparing(config)
        self._board = board
        self._over = False

    def enter(self) -> None:
        """A request begins: its engines are not closed before it has called `leave`."""
        for member in self.members.values():
            member.users += 1

    def leave(self) -> None:
        for member in self.members.values():
            member.let_go()

    def end(self) -> None:
        """Another era begins. Call it in the same step of the event loop as the change to the engines."""
        self._over = True

    @property
    def engines(self) -> dict[str, Guarded]:
        """What may speak, by name."""
        return {name: member.guarded for name, member in self.members.items()}

    def snapshot(self) -> Snapshot:
        """The engines of this era now. The same object as before when nothing has changed, while it lasts."""
        now = self._board.snapshot()
        if not self._over:
            return now
        # an engine that left rotation is not on the board, where another one of its name may be
        return Snapshot(now.now, {name: member.state for name, member in self.members.items()})

    async def somebody_returns(self, names: Iterable[str], within_s: float) -> bool:
        """Wait until one of these engines, which was lost, is up again; False when none is on its way, or too late."""
        return await somebody_returns([self.members[name] for name in names], within_s)
