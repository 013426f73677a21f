"""Speaks a text in tokens: the language model and the sampling, step by step."""

from __future__ import annotations

from collections.abc import Iterator

from engines.cosyvoice.lm import Array, Decoding, Lm
from engines.cosyvoice.ras import Draw, Sampler
from engines.errors import EngineFault

#: speech tokens that each of a text's ids has at least and at most, as in the release's own inference
LEAST_TOKENS, MOST_TOKENS = 2, 20


def speech_tokens(
    lm: Lm, text_ids: list[int], speaker: Array, draw: Draw, *, keeps_unfinished: bool = True
) -> Iterator[int]:
    """The tokens of a text, each as it is chosen. speaker [speaker width]; draw: see `ras`.

    Where the model finds no end, there are as many as may be, as in the release's own inference; without
    `keeps_unfinished` EngineFault is raised behind them: a speech that was cut must not end like a whole one.
    """
    count = len(text_ids)
    sampler = Sampler(lm.sizes.ras, lm.sizes.end, LEAST_TOKENS * count, MOST_TOKENS * count, draw)
    decoding = Decoding(lm)
    scores = decoding.feed(lm.prefix(text_ids, speaker))
    while (token := sampler.advance(scores)) is not None:
        yield token
        scores = decoding.token(token)
    if not (sampler.ended or keeps_unfinished):
        told = f"the model found no end of a part of this text within {len(sampler.tokens)} tokens"
        raise EngineFault(f"{told}: try again; `unfinished: keep` in engines.yaml would speak it as far as it goes")
