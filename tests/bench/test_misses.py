from __future__ import annotations

from bench.misses import sentences


def test_no_sentence_comes_twice_so_that_none_comes_from_the_cache() -> None:
    every = list(sentences())
    assert len(set(every)) == len(every) >= 5000
