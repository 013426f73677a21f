import pytest

from gateway.limits.gcra import Bucket, Level
from gateway.limits.headers import duration, limit_headers


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (20_000, "20ms"),
        (999_001, "1s"),
        (1_000_000, "1s"),
        (8_640_000, "8.64s"),
        (59_999_001, "1m0s"),
        (360_000_000, "6m0s"),
        (90_500_000, "1m30.5s"),
        (3_600_000_000, "1h0m0s"),
        (86_399_999_000, "23h59m59.999s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(us: int, text: str) -> None:
    assert duration(us) == text


def test_requests_and_characters_are_told_and_audio_is_not() -> None:
    levels = [
        (Bucket("requests", 60, 60_000_000), Level(58, 2_000_000, 0)),
        (Bucket("characters", 1000, 60_000_000), Level(0, 60_000_000, 0)),
        (Bucket("audio", 1000, 86_400_000_000), Level(900, 8_640_000_000, 0)),
    ]
    assert limit_headers(levels) == [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"58"),
        (b"x-ratelimit-reset-requests", b"2s"),
        (b"x-ratelimit-limit-characters", b"1000"),
        (b"x-ratelimit-remaining-characters", b"0"),
        (b"x-ratelimit-reset-characters", b"1m0s"),
    ]
