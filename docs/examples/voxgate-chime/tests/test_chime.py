"""The kit's rules hold for `chime`, and what the kit cannot know of it."""

import logging
from types import SimpleNamespace

import pytest
from engines.contract import Instance
from engines.testing import EngineConformance, count_beeps

from voxgate_chime import SAMPLE_RATE, describe, engine_kinds, note_hz, on_served, strike


class TestChime(EngineConformance):
    (kind,) = engine_kinds()


class TestTowerChime(EngineConformance):
    (kind,) = engine_kinds()
    voice = "tower"


def test_strokes_can_be_told_apart() -> None:
    assert count_beeps(strike(520, 0.22, 0.06) * 4, SAMPLE_RATE) == 4


def test_no_stroke_is_clipped() -> None:
    loudest = max(abs(int.from_bytes(pcm, "little", signed=True)) for pcm in pairs(strike(260, 0.2, 2.0)))
    assert 8000 < loudest < 32000


def pairs(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + 2] for at in range(0, len(pcm), 2)]


def test_short_words_are_high() -> None:
    assert note_hz(520, "a") > note_hz(520, "word") > note_hz(520, "longer words")


def test_another_decay_is_another_version() -> None:
    (kind,) = engine_kinds()
    versions = {describe(Instance("chime"), kind.options(**given)).version for given in ({}, {"decay_s": 0.3})}
    assert len(versions) == 2


def test_each_request_is_logged_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    record = SimpleNamespace(request_id="r1", outcome="complete", audio_s=1.25, engine="chime")
    with caplog.at_level(logging.INFO, logger="voxgate.chime"):
        on_served(record)
    assert caplog.messages == ["r1 complete: 1.2 s of audio by chime"]
