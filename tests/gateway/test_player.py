"""When a player has nothing to play, and when it has."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.player import Player
from gateway.record import Served


def play(*pieces: tuple[float, float, float]) -> Served:
    """Pieces as (when, seconds of audio, seconds that the client takes to read it)."""
    served = Served("id", datetime.now(UTC))
    player = Player(served)
    for at_s, audio_s, reads_s in pieces:
        served.audio_s += audio_s
        player.hear(at_s)
        player.ask(at_s + reads_s)
    return served


def test_audio_that_comes_ahead_of_its_time_is_no_underrun() -> None:
    served = play((5.0, 1.0, 0), (5.9, 2.0, 0), (7.9, 1.0, 0))
    assert (served.underruns, served.underrun_s) == (0, 0.0)


def test_every_gap_counts_from_where_the_player_stopped() -> None:
    served = play((5.0, 1.0, 0), (6.5, 1.0, 0), (8.0, 1.0, 0), (8.1, 1.0, 0))
    assert (served.underruns, served.underrun_s) == (2, pytest.approx(1.0))


def test_a_gap_that_nobody_hears_does_not_count() -> None:
    assert play((5.0, 1.0, 0), (6.015, 1.0, 0)).underruns == 0


def test_time_in_which_the_client_does_not_read_is_not_ours() -> None:
    served = play((5.0, 1.0, 60.0), (65.9, 1.0, 0), (67.5, 1.0, 0))
    assert (served.underruns, served.underrun_s) == (1, pytest.approx(0.5))


def test_pieces_without_new_audio_change_nothing() -> None:
    served = play((5.0, 1.0, 0), (6.2, 0.0, 0), (6.5, 1.0, 0))
    assert (served.underruns, served.underrun_s) == (1, pytest.approx(0.5))


def test_a_player_starts_with_audio_not_with_the_head_of_a_file() -> None:
    assert play((5.0, 0.0, 1.0), (9.0, 1.0, 0)).underruns == 0
