"""Writes served.jsonl, beside the event loop and never in its way.

The loop only hands over what must not change any more; a thread makes lines of it, about once a second. What cannot be
written, because the disk is full or the thread is held up, is counted and dropped: no reply waits or fails for a log.
Knows nothing about the form of a line.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from gateway.configuration.settings import ServedLog as Settings
from gateway.prepared import Prepared
from gateway.record import Served
from gateway.served_log.file import LogFile
from gateway.served_log.line import Asked, EngineThen, asked, board, line
from gateway.served_log.seal import Seal
from gateway.served_log.secret import make_secret
from policies.types import Snapshot

logger = logging.getLogger("voxgate.served_log")

FILE, SECRET = "served.jsonl", "served.key"
FLUSH_EVERY_S = 1.0
#: requests that wait to be written: more than a process can answer in the seconds that a slow disk may take
LONGEST_QUEUE = 20_000
#: lines made at a stretch, and the pause after them (seconds): the interpreter is the loop's in between
STRETCH, PAUSE_S = 32, 0.001
#: bytes written at once: a part of the smallest file there may be, a megabyte
BATCH_BYTES = 250_000
#: seconds that the end of the gateway waits for the last lines
CLOSE_WITHIN_S = 5.0


class Noted(NamedTuple):
    """One ended request, and what it was decided from."""

    served: Served
    prepared: Prepared
    snapshot: Snapshot


class ServedLog:
    """The log of one process, in `data_dir`."""

    def __init__(self, data_dir: Path, settings: Settings) -> None:
        self.path, self._texts = data_dir / FILE, settings.texts
        self._file = LogFile(self.path, settings.max_mb * 1_000_000, settings.keep)
        self._queue: deque[Noted] = deque()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._seal: Seal | None = None
        self._encoder = msgspec.json.Encoder()
        self._asked: WeakKeyDictionary[Prepared, Asked] = WeakKeyDictionary()  # prompts come again and again
        self._board: tuple[Snapshot | None, dict[str, EngineThen]] = (None, {})  # the latest, and as it is written
        self._turned_away = 0  # by the loop, because the queue was full
        self._lost = 0  # by the thread, because it could not write
        self._told, self._failing = 0, False

    @property
    def dropped(self) -> int:
        """Lines that were lost so far."""
        return self._turned_away + self._lost

    def note(self, served: Served, prepared: Prepared, snapshot: Snapshot) -> None:
        """Have a line written about a request that has ended: its record must not change any more. Takes no time."""
        if len(self._queue) < LONGEST_QUEUE:
            self._queue.append(Noted(served, prepared, snapshot))
        else:
            self._turned_away += 1

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="served-log", daemon=True)
        self._thread.start()

    async def aclose(self) -> None:
        """Write what is left. A disk that does not answer is not waited for."""
        self._closing.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_WITHIN_S)

    # --- in the thread ---

    def _run(self) -> None:
        while not self._closing.wait(FLUSH_EVERY_S):
            self._write_queue()
        self._write_queue()
        self._file.close()

    def _write_queue(self) -> None:
        while self._queue:
            batch, count = bytearray(), 0
            try:
                seal = self._seal = self._seal or Seal(make_secret(self.path.with_name(SECRET)))
                while self._queue and len(batch) < BATCH_BYTES:
                    count += 1
                    batch += self._encode(self._queue.popleft(), seal)
                    batch += b"\n"
                    if not count % STRETCH and not self._closing.is_set():
                        time.sleep(PAUSE_S)
                self._file.append(bytes(batch))
            except OSError as error:
                self._lose(count or self._forget(), error.strerror or str(error))
            except Exception as error:  # a mistake of ours: it must not end the log
                logger.exception("a line about a request cannot be made")
                self._lose(count, type(error).__name__)
            else:
                self._succeed()

    def _encode(self, noted: Noted, seal: Seal) -> bytes:
        served, prepared, snapshot = noted
        if self._board[0] is not snapshot:
            self._board = snapshot, board(snapshot)
        ask = self._asked.get(prepared)
        if ask is None:
            ask = self._asked[prepared] = asked(prepared, seal)
        text = prepared.request.input if self._texts else None
        return self._encoder.encode(line(served, ask, self._board[1], text))

    def _forget(self) -> int:
        """Empty the queue; returns how many were in it."""
        count = len(self._queue)
        for _ in range(count):
            self._queue.popleft()
        return count

    def _lose(self, count: int, reason: str) -> None:
        self._lost += count
        if not self._failing:
            logger.warning("%s cannot be written, requests are served without a line: %s", self.path, reason)
        self._failing = True

    def _succeed(self) -> None:
        if self.dropped > self._told:
            logger.warning(
                "%s is written again, the lines of %d requests are lost", self.path, self.dropped - self._told
            )
        self._told, self._failing = self.dropped, False
