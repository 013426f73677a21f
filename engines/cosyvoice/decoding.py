"""Speaks a text in tokens: the language model and the sampling, step by step."""

from __future__ import annotations

from collections.abc import Iterator

from engines.cosyvoice.lm import Array, Decoding, Lm
from engines.cosyvoice.ras import Draw, Sampler

#: speech tokens that each of a text's ids has at least and at most, as in the release's own inference
LEAST_TOKENS, MOST_TOKENS = 2, 20


def speech_tokens(lm: Lm, text_ids: list[int], speaker: Array, draw: Draw) -> Iterator[int]:
    """The tokens of a text, each as it is chosen. speaker [speaker width]; draw: see `ras`."""
    count = len(text_ids)
    sampler = Sampler(lm.sizes.ras, lm.sizes.end, LEAST_TOKENS * count, MOST_TOKENS * count, draw)
    decoding = Decoding(lm)
    scores = decoding.feed(lm.prefix(text_ids, speaker))
    while (token := sampler.advance(scores)) is not None:
        yield token
        scores = decoding.token(token)
