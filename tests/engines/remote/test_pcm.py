from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import EngineFault
from engines.remote.pcm import WholeSamples


@given(st.lists(st.binary(max_size=9)))
def test_however_it_is_cut_the_samples_are_whole_and_all_there(pieces: list[bytes]) -> None:
    samples, sent = WholeSamples(), b"".join(pieces)
    given = [samples.take(piece) for piece in pieces]
    assert all(len(one) % 2 == 0 for one in given)
    assert b"".join(given) == sent[: len(sent) & ~1]
    if len(sent) % 2:
        with pytest.raises(EngineFault, match="cut short"):
            samples.end()
    else:
        samples.end()
