"""A recording of a voice: read from a sound file, mixed down to one channel, resampled as IndexTTS-2 was used to it.

Knows nothing about networks. Raises InvalidRequest with what to do for a file that no voice can be made of.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.errors import InvalidRequest
from engines.indextts.provenance import LONGEST_S

Array = npt.NDArray[np.float32]

SHORTEST_S = 0.5
#: read beyond the cut, so that the filter of resampling finds what is there
_MARGIN_S = 1.0
#: of full scale: a recording that is nowhere louder is silence (-60 dB)
_SILENCE = 1e-3


@dataclass(frozen=True, slots=True)
class Recording:
    """Sound as it was recorded, in one channel. `seconds` is the length of the whole file, `sha256` the file's."""

    samples: Array
    sample_rate: int
    seconds: float
    sha256: str

    def at(self, sample_rate: int) -> Array:
        """As much of it as is listened to, at another rate, band-limited by soxr's high quality filter."""
        import soxr

        samples = self.samples
        if sample_rate != self.sample_rate:
            # as many samples as fit into the time, the last one begun: soxr rounds
            wanted = math.ceil(len(samples) * sample_rate / self.sample_rate)
            samples = soxr.resample(samples, self.sample_rate, sample_rate, quality="HQ")[:wanted]
            samples = np.pad(samples, (0, wanted - len(samples)))
        return np.asarray(samples[: int(LONGEST_S * sample_rate)], np.float32)


def read_recording(path: Path) -> Recording:
    """Whatever libsndfile reads: WAV, FLAC, Ogg, MP3 of any rate, depth and number of channels.

    Raises OSError when the file cannot be opened, and InvalidRequest when no voice can be made of what is in it.
    """
    import soundfile

    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        try:
            with soundfile.SoundFile(file) as sound:
                rate, seconds = sound.samplerate, sound.frames / sound.samplerate
                channels = sound.read(math.ceil((LONGEST_S + _MARGIN_S) * rate), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            raise InvalidRequest(
                f"{path} is no sound file that can be read: WAV, FLAC, Ogg and MP3 can (ffmpeg -i {path.name} ref.wav)"
            ) from None
    samples = np.ascontiguousarray(channels.mean(axis=1, dtype=np.float32))
    if seconds < SHORTEST_S:
        raise InvalidRequest(
            f"{path} is {seconds:.1f} s long, too short for a voice: 5 to 15 s of one person are best, "
            f"{SHORTEST_S} s the least"
        )
    if not np.isfinite(samples).all():
        raise InvalidRequest(f"{path} holds values that are no sound: write it again as 16 bit WAV")
    if np.abs(samples[: int(LONGEST_S * rate)]).max() < _SILENCE:
        raise InvalidRequest(f"{path} is silent in its first {min(seconds, LONGEST_S):.0f} s: nobody is to be heard")
    return Recording(samples, rate, seconds, sha256)


def resample_by_sinc(samples: Array, rate: int, wanted: int) -> Array:
    """Resample with a short windowed sinc: six zero crossings wide, its cutoff at 0.99 of the lower Nyquist frequency,
    under the square of a cosine (https://ccrma.stanford.edu/~jos/resample/).

    What reads the speaker was fed so, while what reads an emotion was fed by soxr: their differences lie in the highest
    bands, which normalisation makes as loud as any other. Phases are rounded to float32 for the same reason.
    """
    if rate == wanted:
        return samples
    crossings, cutoff = 6, 0.99
    shared = math.gcd(rate, wanted)
    old, new = rate // shared, wanted // shared
    base = min(old, new) * cutoff
    reach = math.ceil(crossings * old / base)
    phases = (-np.arange(new) / new).astype(np.float32)[:, None]
    times = np.clip((phases + np.arange(-reach, reach + old) / old) * base, -crossings, crossings)
    kernels = np.sinc(times) * np.cos(times * math.pi / crossings / 2) ** 2 * base / old
    padded = np.pad(samples, (reach, reach + old))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernels.shape[1])[::old]
    resampled = (windows @ kernels.T.astype(np.float32)).reshape(-1)
    return np.asarray(resampled[: math.ceil(len(samples) * new / old)], np.float32)
