from __future__ import annotations

import pytest

from engines.contract import AudioChunk, Mark
from engines.sambert.timeline import Timeline

RATE_HZ = 1000  # a millisecond is a sample
HELD_MS = 20


def ms(length: int, value: int = 1) -> bytes:
    return value.to_bytes(2, "little") * length


def play(timeline: Timeline, *lengths: int) -> list[AudioChunk]:
    heard = [timeline.hear(ms(length, n + 1)) for n, length in enumerate(lengths)]
    return [chunk for chunk in (*heard, timeline.end()) if chunk]


@pytest.mark.parametrize("lengths", [(100, 100), (1, 1, 1), (5, 50, 0, 7), (HELD_MS,), (HELD_MS + 1, HELD_MS - 1)])
def test_all_audio_comes_out_in_order_and_only_the_last_milliseconds_wait(lengths: tuple[int, ...]) -> None:
    timeline = Timeline(RATE_HZ)
    given = 0
    for n, length in enumerate(lengths):
        chunk = timeline.hear(ms(length, n + 1))
        given += chunk.samples if chunk else 0
        assert given == max(0, sum(lengths[: n + 1]) - HELD_MS)
    assert b"".join(chunk.pcm for chunk in play(Timeline(RATE_HZ), *lengths)) == b"".join(
        ms(length, n + 1) for n, length in enumerate(lengths)
    )


def test_a_word_comes_with_the_audio_in_which_it_ends_whenever_it_was_told() -> None:
    timeline = Timeline(RATE_HZ)
    timeline.mark("early", 0.0, 0.15)
    first = timeline.hear(ms(100))
    second = timeline.hear(ms(100))
    timeline.mark("late", 0.01, 0.05)
    third = timeline.hear(ms(10))
    assert first
    assert second
    assert third
    assert [chunk.marks for chunk in (first, second, third)] == [
        (), (Mark("word", "early", 0.0, 0.15),), (Mark("word", "late", 0.01, 0.05),)
    ]  # fmt: skip


def test_what_is_told_at_the_end_goes_out_with_the_last_audio_and_not_beyond_it() -> None:
    timeline = Timeline(RATE_HZ)
    timeline.hear(ms(100))
    timeline.mark("said", 0.05, 0.09)
    timeline.mark("cut", 0.09, 0.2)
    timeline.mark("never", 0.3, 0.4)
    last = timeline.end()
    assert last
    assert [(mark.text, mark.start_s, mark.end_s) for mark in last.marks] == [
        ("said", 0.05, 0.09), ("cut", 0.09, 0.1), ("never", 0.1, 0.1)
    ]  # fmt: skip


def test_words_never_go_back_in_time() -> None:
    timeline = Timeline(RATE_HZ)
    timeline.mark("second", 0.05, 0.06)
    timeline.mark("first", 0.02, 0.03)
    (chunk, *_) = play(timeline, 200)
    assert [(mark.start_s, mark.end_s) for mark in chunk.marks] == [(0.05, 0.06), (0.05, 0.05)]


def test_no_audio_gives_no_chunk() -> None:
    timeline = Timeline(RATE_HZ)
    timeline.mark("nothing", 0.0, 0.1)
    assert timeline.hear(b"") is None
    assert timeline.end() is None
