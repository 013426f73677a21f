"""One piece fading into the next."""

import numpy as np

from models.seams import cross_fade, hamming


def test_the_later_piece_begins_as_the_earlier_ends_and_then_is_itself() -> None:
    earlier, later = np.full((2, 5), 1, np.float32), np.full((2, 9), 3, np.float32)
    faded = cross_fade(earlier, later, np.linspace(0, 1, 5, dtype=np.float32))
    np.testing.assert_allclose(faded[0], [1, 1.5, 2, 2.5, 3, 3, 3, 3, 3])
    assert (later == 3).all(), "the caller's is not touched"


def test_a_window_of_its_own_fades_out() -> None:
    rising, falling = hamming(4)
    np.testing.assert_allclose(np.concatenate([rising, falling]), np.hamming(8), atol=1e-6)
    faded = cross_fade(np.ones(4, np.float32), np.zeros(6, np.float32), rising, falling)
    np.testing.assert_allclose(faded, [*falling, 0, 0])
