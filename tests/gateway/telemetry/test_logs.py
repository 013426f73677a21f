"""Lines of the log: for people and for programs, with the request's id, and never in anybody's way."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.configuration.settings import Log
from gateway.telemetry.logs import REQUEST_ID, Json, Lines, Text, lines_left_out, write_logs


def record(message: str = "hello %s", *args: object, level: int = logging.INFO, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("voxgate.test", level, __file__, 1, message, args or ("you",), more.pop("exc_info", None))
    vars(made).update(more)
    return made


@pytest.fixture
def request_id() -> Iterator[str]:
    token = REQUEST_ID.set("abc123")
    yield "abc123"
    REQUEST_ID.reset(token)


def failure() -> Any:
    try:
        raise ValueError("no such thing at https://user:pass@10.0.0.7:9000/v1?key=1")
    except ValueError as error:
        return type(error), error, error.__traceback__


def test_a_line_for_people_ends_with_its_facts() -> None:
    facts = {"engine": "a b", "rule": "", "none": None, "zero": 0, "odd": 'x="1"\ny'}
    line = Text().format(record(voxgate=facts))
    assert line.endswith(" INFO voxgate.test: hello you engine='a b' zero=0 odd='x=\"1\"\\ny'")


def test_a_line_for_programs_is_an_object(request_id: str) -> None:
    line = json.loads(Json().format(record(voxgate={"engine": "a", "chars": 3, "degraded": ""})))
    time = line.pop("time")
    assert time[10] == "T"
    assert time[-6] in "+-"  # the zone
    assert line == {
        "level": "info",
        "logger": "voxgate.test",
        "message": "hello you",
        "request_id": "abc123",
        "facts": {"engine": "a", "chars": 3},
    }


def test_the_id_of_the_request_is_in_every_line_that_is_logged_meanwhile(request_id: str) -> None:
    assert Text().format(record()).endswith("hello you request_id=abc123")
    assert json.loads(Json().format(record()))["request_id"] == "abc123"
    other = {"request_id": "of another"}
    assert "abc123" not in Text().format(record(voxgate=other))
    assert json.loads(Json().format(record(voxgate=other)))["request_id"] == "of another"


def test_a_line_outside_of_requests_has_no_id() -> None:
    assert "request_id" not in Text().format(record())
    assert "request_id" not in json.loads(Json().format(record()))


def test_an_error_keeps_its_traceback_in_one_field() -> None:
    text, line = Text().format(record(exc_info=failure())), json.loads(Json().format(record(exc_info=failure())))
    for told in (text, line["error"]):
        assert told.splitlines()[-1] == "ValueError: no such thing at (an address)"
        assert "Traceback (most recent call last)" in told
    assert "facts" not in line


@pytest.mark.parametrize("form", [Text(), Json()], ids=["text", "json"])
def test_whatever_is_logged_is_one_sound_line(form: logging.Formatter) -> None:
    line = form.format(record("two\nlines %s \r\x1b %s", "\udcff", object()))
    assert "\n" not in line
    assert "\r" not in line
    line.encode()


def test_addresses_are_left_out_of_every_line() -> None:
    shown = record("connecting to %s", "redis://:secret@10.1.2.3:6379/0", voxgate={"at": "http://internal:80/x"})
    for form in (Text(), Json()):
        line = form.format(shown)
        assert "10.1.2.3" not in line
        assert "secret" not in line
        assert "internal" not in line


def test_lines_come_out_in_order_and_all_of_them_before_the_end() -> None:
    stream = io.BytesIO()
    lines = Lines(Text(), stream)
    for number in range(500):
        lines.handle(record("line %d", number))
    lines.close()
    assert [line.rpartition(" ")[2] for line in stream.getvalue().decode().splitlines()] == [str(n) for n in range(500)]
    assert lines.left_out == 0


def test_a_reader_that_stands_still_holds_nobody_up_and_hears_what_was_left_out() -> None:
    reads, writes = os.pipe()
    with os.fdopen(reads, "rb") as reader:
        stream = os.fdopen(writes, "wb", buffering=0)
        lines = Lines(Text(), stream, most=10)
        for _ in range(30):
            lines.handle(record("%s", "x" * 100_000))  # more than a pipe holds
        assert lines.left_out >= 30 - 10 - 1  # those that wait, and one that is being written
        heard: list[bytes] = []
        reading = threading.Thread(target=lambda: heard.extend(reader))
        reading.start()
        lines.close()
        stream.close()
        reading.join(20)
    assert heard[1].endswith(
        b" WARNING voxgate.log: %d lines were left out: whoever reads this log is too slow\n" % lines.left_out
    )
    assert len(heard) == 30 - lines.left_out + 1


def test_a_closed_stderr_is_survived() -> None:
    stream = io.BytesIO()
    lines = Lines(Text(), stream)
    stream.close()
    lines.handle(record())
    lines.close()
    assert lines.left_out >= 1


def test_a_process_ends_well_though_nobody_reads_its_stderr() -> None:
    logs = "from gateway.telemetry.logs import Log, write_logs; write_logs(Log()); import logging"
    line = "logging.getLogger('voxgate').info('x' * 10_000)"
    child = subprocess.Popen([sys.executable, "-c", f"{logs}\nfor _ in range(50): {line}"], stderr=subprocess.PIPE)
    try:
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.communicate()


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was before once the test is over."""
    root, ours = logging.getLogger(), logging.getLogger("voxgate")
    before = root.handlers[:], root.level, ours.level
    for handler in before[0]:
        root.removeHandler(handler)
    yield root
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def test_the_settings_say_in_which_form_and_from_which_level_on(
    root: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    for level in ("info", "debug"):
        write_logs(Log(format="json", level=level))
        logging.getLogger("voxgate.x").debug("ours at %s", level)
        logging.getLogger("voxgate.x").info("ours")
        logging.getLogger("library").info("a library's")
        logging.getLogger("library").warning("a library's warning")
        root.handlers[0].flush()
    told = [json.loads(line)["message"] for line in capfd.readouterr().err.splitlines()]
    assert told == ["ours", "a library's warning", "ours at debug", "ours", "a library's warning"]
    assert len(root.handlers) == 1
    assert lines_left_out() == 0
