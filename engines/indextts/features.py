"""What the reference networks are fed: a mel spectrogram, and the filter banks of w2v-bert and of CAM++.

CAM++'s filters and window, and w2v-bert's own features, are those of transformers, which needs no torch for them; it is
imported when the first of these functions is called. Knows nothing about files or networks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.indextts.sizes import MelSizes
from models.mel import MelScale

Array = npt.NDArray[np.float32]

# At its import it would say that torch is missing, which nothing here needs.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

#: both filter banks, as Kaldi defines them (kaldi-asr.org, "Feature extraction"): of a frame every 10 ms, 25 ms long
_FRAME_S, _STEP_S = 0.025, 0.010
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_FLOOR = float(np.finfo(np.float32).eps)


def mel_spectrogram(samples: Array, sizes: MelSizes) -> Array:
    """[n] -> [mels, n // hop], for samples at the model's rate: as `models.mel` has it."""
    highest_hz = sizes.sample_rate / 2
    return MelScale(sizes.sample_rate, sizes.fft, sizes.hop, sizes.mels, sizes.lowest_hz, highest_hz, sizes.window).of(
        samples
    )


def speaker_bands(samples: Array, sample_rate: int, mels: int) -> Array:
    """Kaldi's log filter bank without dither, each band's mean taken off: [n] -> [frames, mels]."""
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    frame, step = round(_FRAME_S * sample_rate), round(_STEP_S * sample_rate)
    fft = 1 << (frame - 1).bit_length()
    filters = mel_filter_bank(
        num_frequency_bins=fft // 2 + 1,
        num_mel_filters=mels,
        min_frequency=_LOWEST_HZ,
        max_frequency=sample_rate / 2,
        sampling_rate=sample_rate,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    bands = spectrogram(
        samples,
        window_function(frame, "povey", periodic=False),
        frame_length=frame,
        hop_length=step,
        fft_length=fft,
        power=2.0,
        center=False,
        preemphasis=_PREEMPHASIS,
        mel_filters=filters,
        log_mel="log",
        mel_floor=_FLOOR,
        remove_dc_offset=True,
    ).T
    return np.asarray(bands - bands.mean(axis=0), np.float32)


class SemanticFrames:
    """The features of w2v-bert, as preprocessor_config.json says. Two frames of 10 ms make one.

    frames, heard = SemanticFrames(folder)(samples)     # at `sample_rate`
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError when the folder lacks preprocessor_config.json."""
        from transformers import SeamlessM4TFeatureExtractor

        self._extract: Any = SeamlessM4TFeatureExtractor.from_pretrained(folder, local_files_only=True)
        self.sample_rate: int = self._extract.sampling_rate

    def __call__(self, samples: Array) -> tuple[Array, Array]:
        """[n] -> frames [1, T, width], and heard [1, T]: 0 where a frame was filled up, else 1."""
        made = self._extract(samples, sampling_rate=self.sample_rate, return_tensors="np")
        return made["input_features"].astype(np.float32), made["attention_mask"].astype(np.float32)
