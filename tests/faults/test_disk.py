"""A disk that is full: speech goes on, the log says so once in a while, and nothing is kept waiting for room."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.faults.hearing import FORMS, Heard, ask, judge, poll
from tests.faults.scene import fault, files, rule
from tests.packaging.processes import Gateway

TEXT = "One two three. Four."
WORDS = 4
#: bytes that a file may have on the full disk: more than the log of these tests, less than a clip
ROOM_BYTES = 20_000
#: bytes of the process that may be more after TIMES requests whose clips and lines could not be written
TIMES, SOME_BYTES = 100, 15_000_000


@dataclass(frozen=True)
class Address:
    port: int


def test_on_a_full_disk_all_is_spoken_and_clips_are_kept_again_when_there_is_room(tmp_path: Path) -> None:
    clips, config = tmp_path / "clips", tmp_path / "config"
    config.mkdir()
    texts = files(
        {"cut": fault("cut", after_s=0.2)},
        [rule("cut", ["cut", "spare"])],
        data_dir=str(tmp_path / "data"),
        cache={"memory_mb": 0, "path": str(clips)},
        served_log={"enabled": True},
        log={"level": "warning"},  # it is on that disk, too
    )
    for name, text in texts.items():
        (config / f"{name}.yaml").write_text(text)
    log = tmp_path / "data" / "served.jsonl"
    with Gateway("--config", str(config), home=tmp_path) as gateway:
        process, at = psutil.Process(gateway.process.pid), Address(urlsplit(gateway.url).port or 0)

        def hear(number: int, **fields: object) -> Heard:
            form = list(FORMS.values())[number % len(FORMS)]
            heard = ask(at, TEXT, cache="use", seed=number, **(form | fields))
            assert judge(at, heard, WORDS) == "whole"
            return heard

        for number in range(10):
            hear(number, response_format="wav")
        poll(lambda: log.exists() and log.stat().st_size)
        log.write_bytes(b"x" * ROOM_BYTES + b"\n")
        held, files_before, bytes_before = kept(clips), process.num_fds(), process.memory_info().rss
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (ROOM_BYTES, resource.RLIM_INFINITY))
        for number in range(TIMES):
            hear(100 + number, response_format="wav", tags=["cut"] * (number % 2))
        poll(lambda: "requests are served without a line" in gateway.log)
        assert gateway.log.count(f"cannot keep a clip under {clips}") == 1
        assert kept(clips) == held  # nor the beginning of one
        assert hear(0, response_format="wav").headers.get("x-voxgate-cache", "hit") == "hit"  # JSON has it in its body
        poll(lambda: process.num_fds() <= files_before)
        assert process.memory_info().rss - bytes_before < SOME_BYTES

        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        hear(100, response_format="wav")
        poll(lambda: len(kept(clips)) == len(held) + 1)
        poll(lambda: hear(100, response_format="wav").headers["x-voxgate-cache"] == "hit")
        poll(lambda: "is written again" in gateway.log and f"clips are kept under {clips} again" in gateway.log)
        assert gateway.stop() == 0


@pytest.mark.parametrize("place", ["clips", "data"])
def test_a_place_that_vanishes_costs_no_speech(tmp_path: Path, place: str) -> None:
    """As when a volume is taken away under a gateway that runs."""
    config = tmp_path / "config"
    config.mkdir()
    texts = files({}, [], data_dir=str(tmp_path / "data"), cache={"path": str(tmp_path / "clips")})
    for name, text in texts.items():
        (config / f"{name}.yaml").write_text(text)
    with Gateway("--config", str(config), home=tmp_path) as gateway:
        at = Address(urlsplit(gateway.url).port or 0)
        (tmp_path / place).rename(tmp_path / "away")
        (tmp_path / place).write_text("in the way")
        for number in range(5):
            assert judge(at, ask(at, TEXT, cache="use", seed=number), WORDS) == "whole"
        assert gateway.stop() == 0


def kept(clips: Path) -> set[Path]:
    """Files of clips, those in the making included."""
    return {path for path in clips.rglob("*") if path.is_file() and path.parent != clips}
