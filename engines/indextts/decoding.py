"""Decodes several sequences as one batch, which grows and shrinks while it runs.

Knows rows of a cache and whose they are. Knows nothing about requests, text or sound; one thread at a time uses it.
"""

from __future__ import annotations

import numpy as np

from engines.errors import Busy
from engines.indextts.beam import BeamSearch
from engines.indextts.gpt import Array, Gpt, LatentPass
from engines.indextts.sampling import Sampler, Sampling, Search, Vocabulary
from models.cache import Cache


class Sequence:
    """One utterance on its way. Made by `Decoder.add`."""

    def __init__(self, search: Search, prefix: int, hidden: Array, logits: Array) -> None:
        self._search = search
        self._prefix = prefix  # positions, with the start code's
        self._hidden = hidden  # [width], after the prefix
        self._logits = np.repeat(logits[None], search.rows, axis=0)  # [rows, codes], of the code that is next
        self._rows: list[int] = []  # of the decoder's cache; empty when it has left
        self._histories: list[list[int]] = [[] for _ in range(search.rows)]  # the codes that each row's cache holds
        self._latent_pass: LatentPass | None = None
        self._told = 0  # codes whose latents were given
        self.finished = False

    @property
    def codes(self) -> list[int]:
        """What was chosen so far, without the stop code. With several beams: empty until it is finished."""
        return self._search.codes

    @property
    def stopped(self) -> bool:
        """Did the model end it; else it is running, or it was cut off at the limit."""
        return self._search.stopped

    @property
    def _filled(self) -> int:
        return self._prefix + len(self._histories[0])


class Decoder:
    """decoder = Decoder(gpt, max_batch=4)
    sequence = decoder.add(gpt.prefix(conditioning, ids), Sampling(), seed=0)
    while decoder.running:
        for one in decoder.step():
            latents = decoder.latents(one)

    Memory grows with the rows that are taken at once and the longest sequence, and is given back when all have left.
    """

    def __init__(self, gpt: Gpt, max_batch: int) -> None:
        """max_batch: rows; a sequence takes one for each of its beams."""
        self._gpt = gpt
        self._max_batch = max_batch
        self._cache: Cache | None = None
        self._owners: list[Sequence] = []  # of each row that is taken; they lie side by side from the first row on
        self.running: list[Sequence] = []

    @property
    def room(self) -> int:
        """Rows that are free."""
        return self._max_batch - len(self._owners)

    def add(self, prefix: Array, sampling: Sampling, seed: int) -> Sequence:
        """Take a sequence in and run its prefix [n, width]; the next `step` gives its first code.

        The same seed gives the same codes, whoever else is decoded, as far as the weights' precision allows: with int8,
        activations share a scale over the batch.
        Raises Busy when there are too few rows.
        """
        if sampling.beams > self.room:
            raise Busy(f"{sampling.beams} rows are wanted and {self.room} are free; wait until a sequence has finished")
        filled = len(prefix) + 1
        limit = min(sampling.max_codes, self._gpt.longest)
        first = len(self._owners)
        cache = self._reserve(first + sampling.beams, filled)
        hidden, logits = self._gpt.prefill(prefix, cache, first)
        sizes = self._gpt.sizes
        vocabulary = Vocabulary(sizes.codes, sizes.start_code, sizes.stop_code)
        search = (Sampler if sampling.beams == 1 else BeamSearch)(sampling, vocabulary, limit, seed)
        sequence = Sequence(search, filled, hidden, logits)
        sequence._rows = list(range(first, first + sampling.beams))
        if sampling.beams > 1:
            cache.move([first] * (sampling.beams - 1), sequence._rows[1:], 0, filled)
        self._owners += [sequence] * sampling.beams
        self.running.append(sequence)
        return sequence

    def step(self) -> list[Sequence]:
        """Choose the next code of all that run, and run those that go on. Gives those that have just finished.

        A finished sequence has left its rows; its latents can still be asked for.
        """
        finished, fed = [], {}
        for sequence in self.running:
            move = sequence._search.advance(sequence._logits)
            if move is None:
                finished.append(sequence)
            else:
                self._reorder(sequence, move[0])
                fed[sequence] = move[1]
        for sequence in finished:
            sequence.finished = True
            self._pass_of(sequence)
            self._leave(sequence)
        if fed:
            self._run(fed)
        return finished

    def drop(self, sequence: Sequence) -> None:
        """Free the rows of a sequence that nobody waits for any more. Nothing happens when it has left already."""
        if sequence in self.running:
            self._leave(sequence)

    def latents(self, sequence: Sequence, until: int | None = None) -> Array:
        """The states [n, width] that predict the codes that came since this was last asked: of all codes in the end.
        `until`: of no more codes than these, counted from the first.

        They come from a pass of its own (see `LatentPass`), behind the prefix that was run already.
        """
        new = sequence.codes[sequence._told : until]
        sequence._told += len(new)
        return self._pass_of(sequence).push(new)

    def _pass_of(self, sequence: Sequence) -> LatentPass:
        if sequence._latent_pass is None:
            assert self._cache is not None
            prefix = sequence._prefix
            room = prefix + len(sequence.codes)
            cache = self._cache.part(sequence._rows[0], prefix, room)
            sequence._latent_pass = LatentPass(self._gpt, cache, prefix, sequence._hidden)
        return sequence._latent_pass

    def _run(self, fed: dict[Sequence, list[int]]) -> None:
        """Run one code per row, and keep the scores of what follows."""
        codes, positions, filled = [], [], []
        for row, sequence in enumerate(self._owners):
            place = sequence._rows.index(row)
            history = sequence._histories[place]
            history.append(fed[sequence][place])
            codes.append(history[-1])
            positions.append(len(history) + 1)  # the first code stands at 2: see `LatentPass`
            filled.append(sequence._prefix + len(history))
        cache = self._reserve(len(self._owners), max(filled))
        _, logits = self._gpt.run(self._gpt.embedded(codes, positions)[:, None], filled, cache)
        for sequence in fed:
            sequence._logits = logits[sequence._rows]

    def _reserve(self, rows: int, positions: int) -> Cache:
        if self._cache is None:
            self._cache = self._gpt.cache(0, 0)
        self._cache.reserve(rows, positions, self._max_batch)
        return self._cache

    def _reorder(self, sequence: Sequence, parents: list[int]) -> None:
        """Let each row of a sequence hold what its parent holds. Rows agree as far as their codes do: only what follows
        is written."""
        changed = [place for place, parent in enumerate(parents) if parent != place]
        old = sequence._histories
        start = min((_agreeing(old[place], old[parents[place]]) for place in changed), default=0)
        if changed and start < len(old[0]):
            assert self._cache is not None
            sources, rows = ([sequence._rows[n] for n in some] for some in ([parents[n] for n in changed], changed))
            self._cache.move(sources, rows, sequence._prefix + start, sequence._filled)
        sequence._histories = [list(old[parent]) for parent in parents]

    def _leave(self, sequence: Sequence) -> None:
        """Free its rows, and fill the gaps with the last ones."""
        self.running.remove(sequence)
        for row in sorted(sequence._rows, reverse=True):
            last = len(self._owners) - 1
            owner = self._owners.pop()
            if row != last:
                assert self._cache is not None
                self._cache.move([last], [row], 0, owner._filled)
                owner._rows[owner._rows.index(last)] = row
                self._owners[row] = owner
        sequence._rows = []
        if not self._owners:
            self._cache = None


def _agreeing(one: list[int], other: list[int]) -> int:
    """How many codes two histories of the same length have in common at their beginning."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), len(one))
