"""Sequences of another length."""

import numpy as np
import pytest

from models.resample import stretch


def test_the_same_length_is_the_same() -> None:
    x = np.random.default_rng(1).normal(size=(3, 7)).astype(np.float32)
    np.testing.assert_allclose(stretch(x, 7), x, atol=1e-6)


def test_samples_stand_in_the_middle_of_their_share() -> None:
    """Numbers that torch's `interpolate` gives, reckoned by hand."""
    np.testing.assert_allclose(stretch(np.array([0, 4], np.float32), 4), [0, 1, 3, 4])
    np.testing.assert_allclose(stretch(np.array([0, 1, 2, 3], np.float32), 2), [0.5, 2.5])


def test_one_sample_is_held() -> None:
    np.testing.assert_array_equal(stretch(np.array([[2]], np.float32), 5), np.full((1, 5), 2))


def test_nothing_is_stretched_to_nothing_only() -> None:
    assert stretch(np.empty((2, 3), np.float32), 0).shape == (2, 0)
    assert stretch(np.empty((2, 0), np.float32), 0).shape == (2, 0)
    with pytest.raises(ValueError, match="nothing"):
        stretch(np.empty((2, 0), np.float32), 3)
