"""One making of a speech, heard by many: a task makes it at full speed, every listener hears all of it at its own pace.

    boarding   somebody prepares the making; others may join
    flying     the task adds pieces; others may join, while all pieces are still here
    over       complete, failed or abandoned; who is still hearing hears the rest

It lasts as long as somebody listens: when the last one leaves, the task is cancelled. Knows nothing about engines,
formats or Redis: what it makes is an iterator of bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from engines.errors import Interrupted, SpeechError
from gateway.guards import Allowance
from gateway.record import Making

if TYPE_CHECKING:
    from gateway.flight.flights import Flights

logger = logging.getLogger("voxgate.flight")

#: bytes of a speech that are kept for who joins later, and by which a listener may lag behind the others
KEPT_BYTES = 16_000_000


class Abandoned(Exception):
    """Whoever made the speech gave it up for reasons of its own, and nothing of it was heard here: make it yourself."""


class Piece(NamedTuple):
    """Encoded audio, as it is handed to listeners."""

    data: bytes
    audio_s: float  # seconds of speech that were released up to its end


class Flight:
    """Made by `Flights.join`, alone. Whoever was the first to join calls one of `begin`, `fail` and `abandon`.

    `making` is filled while the speech is made: its engine is known once there is a piece.
    """

    def __init__(self, flights: Flights, key: str) -> None:
        self.making = Making()
        #: asks whether somebody in another process listens; None: nobody can
        self.elsewhere: Callable[[], Awaitable[bool]] | None = None
        #: by which claim another process makes it; empty: it is made here
        self.maker = ""
        #: how long it may keep its listeners waiting: as long as the most patient one
        self.left = Allowance(0.0)
        self.over = False
        self._flights, self.key = flights, key
        self._pieces: deque[Piece] = deque()
        self._dropped = self._dropped_bytes = self._made_bytes = 0
        self._listeners: list[Listener] = []
        self._read = asyncio.Event()
        self._error: Exception | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    def listen(self, left_s: float = 0.0, *, counts: bool = True) -> Listener:
        """Hear it from its first piece on, waiting so many seconds altogether.

        One that does not count does not keep the making going.
        """
        self.left.seconds = max(self.left.seconds, left_s)
        listener = Listener(self, counts)
        self._listeners.append(listener)
        return listener

    @property
    def abandoned(self) -> bool:
        """Was it given up, for no fault of the making."""
        return isinstance(self._error, Abandoned)

    @property
    def has_listeners(self) -> bool:
        """Is somebody in this process listening."""
        return any(listener.counts and not listener.broken_off for listener in self._listeners)

    # --- the making ---

    def begin(self, pieces: AsyncGenerator[bytes, None]) -> None:
        """Take off: `pieces` are made in a task of their own, which closes them."""
        self._task = self._flights.make(self._make(pieces))
        self._task.add_done_callback(self._landed)

    def fail(self, error: Exception) -> None:
        """Nobody can make it: all listeners are told so."""
        self._end(error)

    def abandon(self) -> None:
        """Whoever prepared the making cannot go on, for reasons of its own: one of the others begins again."""
        self._end(Abandoned())

    async def cancel(self) -> None:
        """Stop the making once it has begun; returns when the engine is closed. Nobody can join any more."""
        self._close_door()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def wait(self) -> None:
        """Until it is over."""
        await self._ended.wait()

    async def _make(self, pieces: AsyncGenerator[bytes, None]) -> None:
        try:
            async with aclosing(pieces):
                async for data in pieces:
                    await self._add(Piece(data, self.making.audio_s))
        except Exception as error:
            if not isinstance(error, SpeechError | Abandoned):
                logger.error("making a speech failed", exc_info=error)
            self._end(error)
        else:
            self._end(None)

    def _landed(self, _: asyncio.Task[None]) -> None:
        if not self.over:  # cancelled, perhaps before it took its first step
            self._end(Abandoned())

    async def _add(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self._made_bytes += len(piece.data)
        self._flights.held_bytes += len(piece.data)
        if self._made_bytes > KEPT_BYTES:
            self._close_door()
        self._tell()
        while self._too_far_ahead():
            self._read.clear()
            await self._read.wait()

    def _too_far_ahead(self) -> bool:
        """Must the making wait until somebody has read. It never waits while a listener has nothing to hear: one who
        is too far behind the others is broken off instead."""
        bound = 0 if self._flights.crowded else KEPT_BYTES
        listeners = [listener for listener in self._listeners if not listener.broken_off]
        hearing = [listener for listener in listeners if listener.counts] or listeners
        if self._made_bytes - self._dropped_bytes <= bound or not hearing:
            return False
        if all(listener.heard_bytes < self._made_bytes for listener in hearing):
            return True
        for listener in listeners:
            if self._made_bytes - listener.heard_bytes > KEPT_BYTES:
                listener.broken_off = True
                listener.news.set()
        self._drop()
        return False

    def _end(self, error: Exception | None) -> None:
        self._error, self.over = error, True
        self._close_door()
        self._ended.set()
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener.news.set()

    def _close_door(self) -> None:
        """Nobody joins any more: what all have heard need not be kept."""
        self._flights.forget(self.key, self)
        self._drop()

    def _drop(self) -> None:
        """Let go of what nobody will hear any more."""
        if self._flights.knows(self.key, self):
            return
        made = self._dropped + len(self._pieces)
        heard = min((one.heard for one in self._listeners if not one.broken_off), default=made)
        while self._dropped < heard:
            size = len(self._pieces.popleft().data)
            self._dropped += 1
            self._dropped_bytes += size
            self._flights.held_bytes -= size

    # --- the listeners ---

    def piece(self, number: int) -> Piece | None:
        """The piece of that number, if it is made already."""
        at = number - self._dropped
        return self._pieces[at] if at < len(self._pieces) else None

    def was_heard(self) -> None:
        self._drop()
        self._read.set()

    def raise_error(self, listener: Listener) -> None:
        """Raise why it ended, if not well. Every listener gets an exception of its own: a traceback grows by each."""
        if self.abandoned:
            if listener.heard:
                raise Interrupted("the speech broke off: whoever made it is gone")
            raise Abandoned
        if self._error is not None:
            raise twin(self._error) from self._error

    async def leave(self, listener: Listener) -> None:
        """The last one who leaves stops the making, unless somebody listens elsewhere."""
        if listener not in self._listeners:
            return
        self._listeners.remove(listener)
        self.was_heard()
        if self.over or self._task is None or self.has_listeners:
            return
        if self.elsewhere is not None and await self.elsewhere():
            return
        if not self.has_listeners:  # nor has anybody joined meanwhile
            await self.cancel()


class Listener:
    """Hears one flight from its first piece on. To be closed."""

    def __init__(self, flight: Flight, counts: bool) -> None:
        self.flight, self.counts = flight, counts
        self.heard = self.heard_bytes = 0
        self.broken_off = False
        self.news = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Does `next` not have to wait now."""
        return self.broken_off or self.flight.over or self.flight.piece(self.heard) is not None

    async def wait(self) -> None:
        """Until it is `ready`."""
        while not self.ready:
            self.news.clear()
            await self.news.wait()

    async def next(self) -> Piece | None:
        """The next piece, None after the last one.

        Raises the SpeechError that ended the making; Interrupted when it was abandoned amid speech, or went on without
        this listener, who was too slow; Abandoned when it was before the first piece.
        """
        await self.wait()
        if self.broken_off:
            raise Interrupted("the speech broke off: it was read too slowly, while others were waiting for more")
        piece = self.flight.piece(self.heard)
        if piece is None:
            self.flight.raise_error(self)
            return None
        self.heard += 1
        self.heard_bytes += len(piece.data)
        self.flight.was_heard()
        return piece

    async def aclose(self) -> None:
        await self.flight.leave(self)


def twin(error: Exception) -> Exception:
    """An exception like this one, without its traceback."""
    same = type(error).__new__(type(error), *error.args)
    same.__dict__.update(error.__dict__)
    return same
