"""A recording: a file of JSON lines, written line by line, so that it can be read however it was stopped.

The first line says of what and when; each exchange has a line where it begins, one for everything that passed, and one
where it ended; the last says that it is whole, or was stopped. Knows no protocol.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engines.remote.exchange import Direction, Exchange
from gateway.recording.masks import Masks

#: of this file
FORMAT = 1
#: of a binary frame that are kept: the head of a WAV file, so that its sizes can be seen, and no speech to speak of
FIRST_BYTES = 64


class Tape:
    """Writes a recording; a `Tap` for the exchange that was begun last. Raises FileExistsError, OSError.

    One that is stopped before anything has come from the server leaves no file.
    """

    def __init__(self, path: Path, engine: str, kind: str, masks: Masks) -> None:
        self._path, self._masks = path, masks
        self._case = ""
        self._began_s = 0.0
        self._failed: OSError | None = None
        #: has anything come from the server, in any exchange
        self.heard = False
        # nobody else's to read: what it holds is masked, and still says who speaks to whom
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        # what no UTF-8 has, such as a byte of a header, is written as JSON escapes it
        self._file = os.fdopen(opened, "w", encoding="utf-8", errors="backslashreplace")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._write({"recording": FORMAT, "engine": engine, "kind": kind, "voxgate": version("voxgate"), "at": at})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._write({"whole": kind is None})
        with suppress(OSError):  # what could not be written was told by `check`
            self._file.close()
            if kind is not None and not self.heard:  # it would only be in the way of the next one
                self._path.unlink()

    def begin(self, exchange: Exchange) -> None:
        self._case, self._began_s = exchange.name, time.monotonic()
        self._write({"begins": exchange.name, "chars": exchange.chars, "ends": list(exchange.ends)})

    def note(self, direction: Direction, what: str, data: str | bytes) -> None:
        """As `Tap` says. Audio is kept as its length, its hash and its first bytes."""
        self.heard = self.heard or direction == "received"
        at_ms = round((time.monotonic() - self._began_s) * 1000, 1)
        if isinstance(data, bytes) and what != "binary":
            data = data.decode(errors="replace")
        line = {"case": self._case, "at_ms": at_ms, "direction": direction, "what": what}
        self._write(line | (self._bytes(data) if isinstance(data, bytes) else self._text(data)))

    def end(self, code: str, message: str) -> None:
        """What became of the exchange: a code of SpeechError, or empty, and for people what was said."""
        self._write({"ended": self._case, "as": code, "message": self._masks.text(message)})

    def check(self) -> None:
        """Raises the OSError that a line met."""
        if self._failed:
            raise self._failed

    def _bytes(self, data: bytes) -> dict[str, Any]:
        first = self._masks.first(data, FIRST_BYTES).hex()
        return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "first": first}

    def _text(self, data: str) -> dict[str, Any]:
        with suppress(ValueError, RecursionError):
            if isinstance(parsed := json.loads(data), dict | list):
                return {"json": self._masks.fields(parsed)}
        return {"text": self._masks.text(data)}

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._failed:
            return
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            error.filename = str(self._path)
            self._failed = error


@dataclass(slots=True)
class Case:
    """One exchange of a recording. `ended` is None where it was stopped."""

    name: str
    ends: list[str]  # how it may end
    notes: list[dict[str, Any]] = field(default_factory=list)
    ended: str | None = None
    message: str = ""


@dataclass(slots=True)
class Recording:
    """What a file holds."""

    engine: str
    kind: str
    at: str
    cases: list[Case] = field(default_factory=list)
    whole: bool = False


def read(path: Path) -> Recording:
    """The recording in a file. Raises ValueError for a file that is none, and OSError.

    What was cut off in a line, by a full disk or a killed process, ends before that line.
    """
    with path.open(encoding="utf-8", newline="\n") as file:  # what else ends lines stands in texts
        lines = file.readlines()
    recording: Recording | None = None
    for number, line in enumerate(lines, 1):
        try:
            told = json.loads(line)
            if recording is None:
                recording = _head(told)
            else:
                _add(recording, told)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            if recording and number == len(lines):
                break
            raise ValueError(f"{path}, line {number}: this is no recording of `voxgate engines record`") from error
    if recording is None:
        raise ValueError(f"{path} is empty")
    return recording


def _head(told: Any) -> Recording:
    if told["recording"] != FORMAT:
        raise ValueError(f"a recording of format {told['recording']}; this one is {FORMAT}")
    return Recording(told["engine"], told["kind"], told["at"])


def _add(recording: Recording, told: Any) -> None:
    if "begins" in told:
        recording.cases.append(Case(told["begins"], told["ends"]))
    elif "ended" in told:
        recording.cases[-1].ended, recording.cases[-1].message = told["as"], told["message"]
    elif "whole" in told:
        recording.whole = told["whole"]
    else:
        told["direction"], told["what"]
        recording.cases[-1].notes.append(told)
