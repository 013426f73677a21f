"""What is logged, a line each, as text or as JSON, with the id of the request that is worked on.

A thread writes the lines: a stderr that nobody reads, such as a stalled pipe, must not hold up the event loop. Lines
that wait for it are bounded; those beyond are left out, counted and told of. Addresses are taken out of every line,
because libraries put those of their servers into messages. Knows nothing about what is logged.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import IO, Any

import msgspec

from engines.errors import without_addresses
from gateway.configuration.settings import Log

#: the id of the request that the current task works on; empty outside of one
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
#: lines that may wait for whoever reads them: a few seconds of a gateway that logs every request
WAITING_LINES = 10_000
#: seconds that the last of them may take when the gateway ends
LAST_LINES_S = 2.0
#: seconds that the thread rests once all are written: to wake it for each line costs more than to make the line
REST_S = 0.02

_NEEDS_QUOTES = re.compile(r"[\s\"'=\x00-\x1f]").search


def write_logs(settings: Log) -> None:
    """Everything to stderr from now on: our own loggers from `level` on, those of libraries from warnings on."""
    root = logging.getLogger()
    form = Json() if settings.format == "json" else Text()
    if lines := _lines():
        lines[0].setFormatter(form)
    else:
        root.handlers[:] = [Lines(form)]
    root.setLevel(logging.WARNING)
    logging.getLogger("voxgate").setLevel(settings.level.upper())


def lines_left_out() -> int:
    """How many lines of this process were left out so far."""
    return sum(lines.left_out for lines in _lines())


def _lines() -> list[Lines]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, Lines)]


class Text(logging.Formatter):
    """For people: one line, `name=value` for each of its facts, and the traceback of an error below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        facts = {"request_id": REQUEST_ID.get(), **facts_of(record)}
        told = (f"{name}={_quoted(value)}" for name, value in facts.items() if value not in ("", None))
        line = super().formatMessage(record).replace("\n", "\\n").replace("\r", "\\r")
        return " ".join((line, *told))

    def format(self, record: logging.LogRecord) -> str:
        return _clean(super().format(record))


class Json(logging.Formatter):
    """For programs: `time` (with its zone), `level`, `logger`, `message`; where there is one, `request_id`, an object
    `facts`, and a traceback as `error`."""

    def format(self, record: logging.LogRecord) -> str:
        facts = dict(facts_of(record))
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": facts.pop("request_id", "") or REQUEST_ID.get(),
            "facts": {name: value for name, value in facts.items() if value not in ("", None)},
            "error": self.formatException(record.exc_info) if record.exc_info else "",
        }
        told = {name: value for name, value in line.items() if value}
        return msgspec.json.encode(_all_clean(told), enc_hook=str).decode()


def facts_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """What a line was given as `extra={"voxgate": {…}}`."""
    facts: Mapping[str, Any] = getattr(record, "voxgate", {})
    return facts


def _quoted(value: object) -> str:
    text = str(value)
    return repr(text) if _NEEDS_QUOTES(text) else text


def _clean(text: str) -> str:
    """The same without addresses, and without halves of characters, such as names of files may hold."""
    return without_addresses(text.encode("utf-8", "backslashreplace").decode())


def _all_clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _all_clean(one) for name, one in value.items()}
    return _clean(value) if isinstance(value, str) else value


class Lines(logging.Handler):
    """Formats a line where it is logged and leaves the writing to a thread. `left_out`: lines nobody had room for.

    `stream` takes bytes, unbuffered. Not sys.stderr itself: its lock, held by a thread that a stalled pipe holds up,
    would make the interpreter abort when it ends.
    """

    def __init__(
        self, formatter: logging.Formatter, stream: IO[bytes] | None = None, most: int = WAITING_LINES
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.left_out = 0
        self._stream = _stderr() if stream is None else stream
        self._waiting: queue.Queue[str] = queue.Queue(most)
        threading.Thread(target=self._work, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._waiting.put_nowait(self.format(record))
        except queue.Full:
            self.left_out += 1
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Wait until every line is written, but not for ever."""
        waiting = self._waiting
        with waiting.all_tasks_done:
            waiting.all_tasks_done.wait_for(lambda: not waiting.unfinished_tasks, LAST_LINES_S)

    def close(self) -> None:
        self.flush()
        super().close()

    def _work(self) -> None:
        """Thread: write what waits, and how much could not."""
        told = 0
        while True:
            self._write(self._waiting.get())
            if (lost := self.left_out - told) > 0:
                told += lost
                self._write(self.format(_left_out(lost)))
            self._waiting.task_done()
            if self._waiting.empty():
                time.sleep(REST_S)

    def _write(self, line: str) -> None:
        rest = memoryview(f"{line}\n".encode())
        try:
            while rest:
                if not (written := self._stream.write(rest)):
                    raise BlockingIOError
                rest = rest[written:]
        except (OSError, ValueError):  # stderr is closed, its disk is full, or it is full and never waits
            self.left_out += 1


def _stderr() -> IO[bytes]:
    """Where stderr goes; nowhere when the gateway was started without one."""
    return open(os.dup(sys.stderr.fileno()) if sys.stderr else os.devnull, "wb", buffering=0)


def _left_out(lines: int) -> logging.LogRecord:
    message = "%d lines were left out: whoever reads this log is too slow"
    return logging.LogRecord("voxgate.log", logging.WARNING, __file__, 0, message, (lines,), None)
