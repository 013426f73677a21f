"""Sample rates that clients may ask for, and those that a format can carry. Knows nothing about codecs' libraries."""

from __future__ import annotations

from engines.errors import InvalidRequest
from gateway.request import Format

#: what a client may ask for, Hz: MPEG's three families, which every format but Opus carries as they are
SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

#: what an Opus encoder takes, Hz (RFC 6716, section 2.1.3)
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)


def check_sample_rate(sample_rate: int) -> None:
    """Raise `InvalidRequest` unless clients may ask for `sample_rate` (Hz)."""
    if sample_rate not in SAMPLE_RATES:
        offered = ", ".join(str(rate) for rate in SAMPLE_RATES)
        raise InvalidRequest(f"sample_rate {sample_rate} is not offered; choose one of {offered}", param="sample_rate")


def encoder_rate(format: Format, sample_rate: int) -> int:
    """The rate (Hz) at which PCM must reach the encoder when a client asked for `sample_rate`.

    It is the rate asked for, except for opus, which takes five rates only: then the next higher one, so that
    nothing of the sound is lost. (Whatever went in, Opus decoders play at 48 kHz.)
    """
    if format != "opus":
        return sample_rate
    return next((rate for rate in OPUS_RATES if rate >= sample_rate), OPUS_RATES[-1])
