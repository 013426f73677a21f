"""A text's hash in the log: hidden from all but who has the secret, and the same for the same text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.served_log.seal import Seal, hidden

OURS, THEIRS = Seal(bytes(32)), Seal(bytes(31) + b"\1")
hashes = st.integers(0, 2**64 - 1)


@given(hashes)
def test_what_is_closed_can_be_opened_by_its_secret_and_by_no_other(number: int) -> None:
    sealed = OURS.close(number)
    assert OURS.open(sealed) == number
    assert THEIRS.open(sealed) is None
    assert THEIRS.close(number) != sealed


@given(hashes, hashes)
def test_equal_texts_stay_equal_and_others_stay_apart(one: int, other: int) -> None:
    assert (OURS.close(one) == OURS.close(other)) == (one == other)


def test_near_hashes_are_far_apart_once_they_are_hidden() -> None:
    """Whoever takes the hidden ones as they are, has them as evenly spread as the hashes."""
    found = [hidden(OURS.close(number)) for number in range(2000)]
    below = sum(one < 2**63 for one in found)
    assert len(set(found)) == 2000
    assert 900 < below < 1100
    ones = [sum(one >> bit & 1 for one in found) for bit in range(64)]
    assert 850 < min(ones) <= max(ones) < 1150


def test_a_digest_tells_equal_data_only_under_one_secret() -> None:
    assert OURS.digest(b"clip") == OURS.digest(b"clip")
    assert OURS.digest(b"clip") != OURS.digest(b"other")
    assert OURS.digest(b"clip") != THEIRS.digest(b"clip")
