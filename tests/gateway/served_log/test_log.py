"""Lines are written beside the requests: soon, all of them, without texts; no request suffers when they cannot be."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.configuration.settings import ServedLog as Settings
from gateway.served_log import log as module
from gateway.served_log.log import Noted, ServedLog
from gateway.served_log.reading import LogReader

pytestmark = pytest.mark.usefixtures("eager")
SENTINEL = "Xylophone 482913"


def until(holds: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.005)


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


async def test_lines_are_written_soon_and_the_last_ones_at_the_end(tmp_path: Path, noted: Callable[..., Noted]) -> None:
    log = ServedLog(tmp_path / "data", Settings())
    log.start()
    log.note(*noted("1"))
    until(lambda: log.path.exists() and ids(log.path) == ["1"], "written while it runs")
    for number in range(2, 100):
        log.note(*noted(str(number)))
    await log.aclose()
    assert ids(log.path) == [str(number) for number in range(1, 100)]
    assert log.dropped == 0


async def test_texts_are_in_it_only_when_they_are_asked_for(tmp_path: Path, noted: Callable[..., Noted]) -> None:
    for texts in (False, True):
        log = ServedLog(tmp_path / str(texts), Settings(texts=texts))
        log.start()
        one = noted("1", SENTINEL)
        one.served.attempts[0].error = "unsupported"
        one.served.attempts[0].message = one.served.message = f"cannot say {SENTINEL}"
        one.served.degraded = f"espeak: cannot say {SENTINEL}"
        log.note(*one)
        await log.aclose()
        written = log.path.read_text()
        assert (SENTINEL in written) == texts
        assert ("Xylophone" in written) == texts
        assert written.count("cannot say") == 0
        assert '"degraded":"espeak: unsupported"' in written


async def test_log_and_secret_are_for_their_owner_alone_and_every_process_has_the_same_secret(
    tmp_path: Path, noted: Callable[..., Noted]
) -> None:
    for number in range(2):
        log = ServedLog(tmp_path, Settings())
        log.start()
        log.note(*noted(str(number), SENTINEL))
        await log.aclose()
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {"served.jsonl": 0o600, "served.key": 0o600}
    hashes = {json.loads(line)["ask"]["text_hash"] for line in log.path.read_text().splitlines()}
    assert len(hashes) == 1


async def test_a_place_that_cannot_be_written_is_told_once_and_taken_up_again(
    tmp_path: Path, noted: Callable[..., Noted], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    data = tmp_path / "data"
    data.touch()  # a file, where a folder should be
    log = ServedLog(data, Settings())
    log.start()
    for number in range(3):
        log.note(*noted(str(number)))
        until(lambda: log.dropped == number + 1, "dropped")  # noqa: B023 (called at once)
    assert len(caplog.messages) == 1
    assert "cannot be written, requests are served without a line: Not a directory" in caplog.messages[0]
    data.unlink()
    log.note(*noted("again"))
    until(lambda: log.path.exists() and ids(log.path) == ["again"], "written again")
    await log.aclose()
    assert caplog.messages[1:] == [f"{log.path} is written again, the lines of 3 requests are lost"]


async def test_what_waits_is_bounded_when_the_disk_hangs(
    tmp_path: Path, noted: Callable[..., Noted], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A lock that nobody gives back stands for a disk that does not answer."""
    monkeypatch.setattr(module, "LONGEST_QUEUE", 10)
    log = ServedLog(tmp_path, Settings())
    log.start()
    log.note(*noted("first"))
    until(lambda: log.path.exists(), "the secret is made")
    hold = os.open(log.path, os.O_RDWR)
    fcntl.flock(hold, fcntl.LOCK_EX)
    log.note(*noted("held"))
    until(lambda: not log._queue, "the thread has taken it and waits")
    for number in range(15):
        log.note(*noted(str(number)))
    assert log.dropped == 5
    os.close(hold)
    await log.aclose()
    assert ids(log.path) == ["first", "held", *(str(number) for number in range(10))]
    assert caplog.messages[-1:] == [f"{log.path} is written again, the lines of 5 requests are lost"]


async def test_a_gateway_that_ends_does_not_wait_for_a_disk_for_ever(
    tmp_path: Path, noted: Callable[..., Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_WITHIN_S", 0.05)
    log = ServedLog(tmp_path, Settings())
    log.start()
    log.note(*noted("first"))
    until(lambda: log.path.exists(), "written")
    with log.path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        log.note(*noted("last"))
        await log.aclose()
    assert log._thread
    log._thread.join(20)


async def test_a_line_has_all_that_a_decision_needs(tmp_path: Path, noted: Callable[..., Noted]) -> None:
    log = ServedLog(tmp_path, Settings())
    log.start()
    log.note(*noted("1", "One two. 三。"))
    await log.aclose()
    with LogReader(log.path) as reader:
        (line,) = reader.lines()
    assert (line.ask.chars, line.ask.languages, line.ask.voice) == (11, ("en", "zh"), "narrator")
    assert line.board["espeak"].slots == 2
    assert (line.rule, line.preference) == ("short prompts", ("espeak", "tone"))
    (attempt,) = line.attempts
    assert (attempt.engine, attempt.audio_s, attempt.cost) == ("espeak", 1.5, 0.25)
    assert line.received.utcoffset() is not None
