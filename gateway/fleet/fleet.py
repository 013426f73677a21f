"""The fleet: every engine instance of engines.yaml, built, kept alive, and changed while it speaks.

    added      is started, and can be chosen once it is up
    changed    a successor is started beside it; once that is up it takes the place, and the old one drains
    removed    leaves rotation at once, and drains
    drains     whatever may still speak with it ends first, then it is closed

Knows nothing about requests: who may still speak with an engine counts itself (`gateway/era.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from engines.contract import EngineKind, Quota
from gateway.configuration.engines import EngineEntry
from gateway.fleet.keeper import keep
from gateway.fleet.member import Member, build_member, cost_of, first_of
from gateway.health.board import Board
from policies.types import EngineState

logger = logging.getLogger("voxgate.fleet")

#: seconds that an engine out of rotation is left to those who still speak with it: the longest text, slowly listened to
DRAIN_WITHIN_S = 3600.0
#: seconds that closing an engine may take
CLOSE_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of the engines, by name: `replaced` ones go on until their successors are up."""

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    adjusted: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class Fleet:
    """Engines by instance name. `members` is replaced, never changed: whoever holds it keeps what he has.

    `on_succession` is called when a successor took its place, in the same step of the event loop. `gateway` and `quota`
    are what engines are told of the gateway that they belong to.
    """

    def __init__(
        self,
        entries: Mapping[str, EngineEntry],
        kinds: Mapping[str, EngineKind],
        data_dir: Path,
        board: Board,
        gateway: str = "",
        quota: Quota | None = None,
    ) -> None:
        self._board, self._kinds, self._data_dir = board, kinds, data_dir
        self._gateway, self._quota = gateway, quota
        self.members: Mapping[str, Member] = {
            name: self._build(entry, board) for name, entry in entries.items() if entry.enabled
        }
        self.on_succession: Callable[[], None] = lambda: None
        self._successors: dict[str, Member] = {}  # of changed engines, until they are up
        self._leaving: dict[asyncio.Task[None], Member] = {}

    async def start(self, within_s: float = 10.0) -> None:
        """Start all engines at once. Returns when one can speak, or all have settled, or the time is over;
        the others go on starting."""
        for member in self.members.values():
            self._keep(member)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        while not self.can_speak and loop.time() < until_s:
            starting = [member.settled for member in self.members.values() if not member.settled.is_set()]
            if not await first_of(starting, until_s - loop.time()):
                break

    async def settled(self) -> None:
        """Wait until every engine came up or failed at least once."""
        await asyncio.gather(*(member.settled.wait() for member in self.members.values()))

    @property
    def can_speak(self) -> bool:
        """Is at least one engine up."""
        return any(state.state == "up" for state in self._board.snapshot().engines.values())

    def successors(self) -> dict[str, EngineState]:
        """The changed engines whose old instance still speaks, because the new one is not up."""
        return {name: member.state for name, member in self._successors.items()}

    async def aclose(self) -> None:
        """Stop keeping the engines alive, and close them, those included that still drain."""
        members = [*self.members.values(), *self._successors.values(), *self._leaving.values()]
        for task in (*self._leaving, *(member.keeper for member in members if member.keeper)):
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await asyncio.gather(*map(_close, members))

    # --- changes while it runs ---

    def apply(self, entries: Mapping[str, EngineEntry]) -> Changes:
        """Go over to other entries, in one step of the event loop. What stays the same runs on untouched."""
        wanted = {name: entry for name, entry in entries.items() if entry.enabled}
        kept = {name: (self._newest(name).entry, wanted[name]) for name in self.members if name in wanted}
        changes = Changes(
            added=tuple(name for name in wanted if name not in self.members),
            replaced=tuple(name for name, (old, new) in kept.items() if not _is_same(old, new)),
            adjusted=tuple(name for name, (old, new) in kept.items() if _is_same(old, new) and old != new),
            removed=tuple(name for name in self.members if name not in wanted),
        )
        # whatever may fail comes first
        apart = self._board.apart()
        built = {name: self._build(wanted[name], apart) for name in (*changes.added, *changes.replaced)}
        for name in changes.removed:
            self._dismiss_successor(name)
            self._board.remove(name)
            self._retire(self.members[name])
        self.members = {name: member for name, member in self.members.items() if name in wanted}
        for name in changes.adjusted:
            self._adjust(self._newest(name), wanted[name])
        for name in changes.added:
            self._enter_rotation(built[name])
        for name in changes.replaced:
            self._replace(built[name])
        for member in built.values():
            if not member.leaves:
                self._keep(member)
        return changes

    def _newest(self, name: str) -> Member:
        return self._successors.get(name) or self.members[name]

    def _build(self, entry: EngineEntry, board: Board) -> Member:
        return build_member(entry, self._kinds, self._data_dir, board, self._gateway, self._quota)

    def _keep(self, member: Member) -> None:
        member.keeper = asyncio.create_task(keep(member, self._came_up), name=f"keep {member.name}")

    def _replace(self, successor: Member) -> None:
        """Let another instance take an engine's place: at once, or when it is up if the engine itself is now."""
        name, current = successor.name, self.members[successor.name]
        self._dismiss_successor(name)
        if _is_same(current.entry, successor.entry):  # the change was taken back before it took place
            self._adjust(current, successor.entry)
            successor.leave()
        elif current.up.is_set():
            successor.title = f"engine {name} (changed)"
            self._successors[name] = successor
        else:
            self._enter_rotation(successor)

    def _came_up(self, member: Member) -> None:
        if self._successors.get(member.name) is member:
            del self._successors[member.name]
            member.title = f"engine {member.name}"
            self._enter_rotation(member)
            self.on_succession()

    def _enter_rotation(self, member: Member) -> None:
        """New requests may choose it from now on, in place of its predecessor, if it has one."""
        predecessor = self.members.get(member.name)
        self._board.put(member.row)
        self.members = {**self.members, member.name: member}
        if predecessor is not None:
            self._retire(predecessor)

    def _retire(self, member: Member) -> None:
        """It is off the board: let what speaks with it end, then close it."""
        member.title = f"engine {member.name} (leaving)"
        member.leave()
        self._leave(member)

    def _dismiss_successor(self, name: str) -> None:
        """Nobody speaks with it yet."""
        if (successor := self._successors.pop(name, None)) is not None:
            successor.leave()
            self._leave(successor)

    def _leave(self, member: Member) -> None:
        task = asyncio.create_task(self._drain(member), name=f"drain {member.name}")
        self._leaving[task] = member
        task.add_done_callback(self._leaving.pop)

    async def _drain(self, member: Member) -> None:
        try:
            async with asyncio.timeout(DRAIN_WITHIN_S):
                await member.deserted.wait()
        except TimeoutError:
            logger.warning("%s: %d requests are broken off after %g s", member.title, member.users, DRAIN_WITHIN_S)
        await _close(member)
        logger.info("%s is closed", member.title)

    def _adjust(self, member: Member, entry: EngineEntry) -> None:
        """Change what needs no other instance."""
        member.entry = entry
        member.guarded.slots.queue = entry.queue
        member.row.set_cost(cost_of(entry, member.info))


def _is_same(one: EngineEntry, other: EngineEntry) -> bool:
    """Does an instance of the one serve for the other too: what differs can be changed while it runs."""
    return one == replace(other, queue=one.queue, cost_per_1k_chars=one.cost_per_1k_chars)


async def _close(member: Member) -> None:
    if member.keeper is not None:
        member.keeper.cancel()
        await asyncio.gather(member.keeper, return_exceptions=True)
    try:
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await member.guarded.engine.close()
    except Exception as error:
        logger.warning("%s did not close well: %r", member.title, error)
