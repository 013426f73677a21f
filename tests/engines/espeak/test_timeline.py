from __future__ import annotations

from engines.contract import Mark
from engines.espeak.binding import Word
from engines.espeak.timeline import Timeline


def test_a_word_ends_where_the_next_begins_or_its_clause_ends() -> None:
    timeline = Timeline("one two", 0.5)
    assert timeline.advance([Word(0, 3, 0)]) == []
    assert timeline.advance([Word(4, 3, 4)]) == [Mark("word", "one", 0.0, 2.0)]
    assert timeline.advance([Word(7, 0, 6), Word(7, 0, 8)]) == [Mark("word", "two", 2.0, 3.0)]
    assert timeline.finish(9) == []


def test_times_never_run_backwards_and_blank_words_are_left_out() -> None:
    timeline = Timeline("ab cd", 1.0)
    marks = timeline.advance([Word(0, 2, 5), Word(2, 1, 6), Word(3, 2, 4), Word(99, 4, 7)])
    assert marks == [Mark("word", "ab", 5.0, 5.0)]
    assert timeline.finish(8) == [Mark("word", "cd", 5.0, 8.0)]
