"""Recordings as files: what is kept of each thing that passed, and what can be read of one that was cut off."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engines.remote.exchange import Exchange, Known, Tap
from gateway.recording.differences import compare, summary
from gateway.recording.masks import Masks
from gateway.recording.tape import Tape, read

KNOWN = Known(lambda message: message["event"], {})


async def nothing(tap: Tap) -> None: ...


EXCHANGE = Exchange("plain", "a short text", nothing)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recording.jsonl"


def test_words_are_kept_as_words_and_audio_as_its_hash(file: Path) -> None:
    with Tape(file, "far", "talker", Masks({})) as tape:
        tape.begin(EXCHANGE)
        tape.note("sent", "text", b'{"text": "\xe4\xbd\xa0"}')
        tape.note("received", "text", "[")
        tape.note("received", "binary", bytes(1000))
        tape.end("", "")
    sent, said, heard = read(file).cases[0].notes
    assert sent["json"] == {"text": "你"}
    assert said["text"] == "["
    assert (heard["bytes"], heard["first"]) == (1000, bytes(64).hex())
    assert len(file.read_text()) < 1500


@pytest.mark.parametrize(
    "said",
    ["one\u2028two\x85three\x0cfour", "a header's byte: \udcff", "[" * 100_000],
    ids=["ends of lines", "no text", "deep"],
)
def test_whatever_a_server_says_is_written_and_read_again(file: Path, said: str) -> None:
    with Tape(file, "far", "talker", Masks({"A_TOKEN": "of eight \udcff"})) as tape:
        tape.begin(EXCHANGE)
        tape.note("received", "text", said)
        tape.note("received", "text", json.dumps({"said": said}))
        tape.note("received", "binary", b"audio")
        tape.end("unsupported", said)
    (case,) = read(file).cases
    assert (case.notes[0]["text"], case.notes[1]["json"], case.message) == (said, {"said": said}, said)


def test_what_a_driver_notes_wrongly_does_not_stop_the_comparison(file: Path) -> None:
    with Tape(file, "far", "talker", Masks({})) as tape:
        tape.begin(EXCHANGE)
        tape.note("received", "head", "HTTP/1.1 200 OK")
        tape.note("received", "text", "12")
        tape.end("", "")
    recording = read(file)
    assert compare(recording, KNOWN) == ["plain: a text that is no JSON: '12'"]
    assert summary(recording.cases[0], KNOWN) == "ended well; ?; ?"


@contextmanager
def little_room() -> Iterator[None]:
    """No file may become longer than some hundred bytes, as on a disk that is full.

    Within the test alone: a fixture would still hold when pytest writes what came of it, perhaps to a longer file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_and_what_was_written_can_be_read(file: Path) -> None:
    with little_room(), Tape(file, "far", "talker", Masks({})) as tape:
        tape.begin(EXCHANGE)
        for _ in range(10):
            tape.note("received", "text", "a few words that need some room")
        with pytest.raises(OSError, match="File too large") as failed:
            tape.check()
    assert failed.value.filename == str(file)
    recording = read(file)
    assert not recording.whole
    assert 0 < len(recording.cases[0].notes) < 10
