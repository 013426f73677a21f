"""Where a text is cut, in tokens as sentencepiece writes them."""

import pytest

from engines.indextts.text.segments import cut_segments


def _cut(text, limit, first=0):
    return [" ".join(one) for one in cut_segments(text.split(), limit, first)]


def test_sentences_that_fit_together_are_one_segment():
    assert _cut("a . b ! c ?", 10) == ["a . b ! c ?"]
    assert _cut("a b . c d ! e ?", 6) == ["a b . c d !", "e ?"]


@pytest.mark.parametrize("end", [".", "!", "?", "...", "…", "▁.", "▁...", "▁?"])
def test_every_end_of_a_sentence_is_a_place_to_cut(end):
    assert _cut(f"a b c {end} d e f", 5) == [f"a b c {end}", "d e f"]


def test_a_sentence_too_long_is_cut_at_commas_then_at_hyphens_then_anywhere():
    assert _cut("a b , c d - e f", 5) == ["a b ,", "c d - e f"]
    assert _cut("a b - c d e f", 5) == ["a b -", "c d e f"]
    assert _cut("a b c d e f g", 5) == ["a b c d e", "f g"]
    assert _cut("a b ▁, c d e f", 5) == ["a b ▁,", "c d e f"]


def test_a_comma_is_no_place_to_cut_while_the_sentence_fits():
    assert _cut("a b , c d . e , f g .", 6) == ["a b , c d .", "e , f g ."]


def test_marks_in_a_row_and_closing_quotes_stay_with_their_sentence():
    assert _cut("a b ? ! ' c d", 5) == ["a b ? ! '", "c d"]


def test_the_first_tokens_are_not_joined():
    assert _cut("a . b . c . d .", 8, 4) == ["a .", "b . c . d ."]
    assert _cut("a . b . c . d .", 8, 5) == ["a .", "b . c . d ."]
    assert _cut("a . b . c . d .", 8, 6) == ["a .", "b .", "c . d ."]
