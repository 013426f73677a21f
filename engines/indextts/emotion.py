"""From what a request says of its emotion to the vector that is added to a voice's rows.

A vector of weights, one for each emotion, mixes in rows of the release's table; another recording's emotion is gone
towards. Knows nothing about the GPT, nor about how a text's emotion is found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from engines.contract import Emotion
from engines.errors import InvalidRequest, near_names
from engines.indextts.voice import VoiceBundle

Array = npt.NDArray[np.float32]

#: in the order of the release's vectors
NAMES = ("happy", "angry", "sad", "afraid", "disgusted", "melancholic", "surprised", "calm")
_OTHER_NAMES = {"fear": "afraid", "neutral": "calm"}
#: how strongly each name counts, and how much all of them may count together: as the release's own interface has it
_BIAS = (0.9375, 0.875, 1.0, 1.0, 0.9375, 0.9375, 0.6875, 0.5625)
_MOST = 0.8


def blend(voice: VoiceBundle, emotion: Emotion | None, borrowed: VoiceBundle | None = None) -> Array:
    """The emotion [D] of a voice as a request wants it; `borrowed` is the voice that `emotion.voice` names.

    Raises InvalidRequest for an unknown name, or numbers that are none.
    """
    if emotion is None:
        return voice.emotion
    if borrowed is not None:
        return np.asarray(voice.base_emotion + emotion.alpha * (borrowed.emotion - voice.base_emotion), np.float32)
    if emotion.weights:
        return mix(voice, weigh(dict(emotion.weights)), emotion.alpha)
    if emotion.vector:
        return mix(voice, emotion.vector, emotion.alpha)
    return np.asarray(voice.base_emotion + emotion.alpha * (voice.emotion - voice.base_emotion), np.float32)


def mix(voice: VoiceBundle, vector: Sequence[float], alpha: float = 1.0) -> Array:
    """A weight for each emotion, scaled by `alpha`; what they leave of 1 is the voice's own emotion. -> [D]

    Raises InvalidRequest.
    """
    if len(vector) != len(voice.emotion_rows):
        raise InvalidRequest(f"emotion.vector must be {len(voice.emotion_rows)} numbers", param="emotion.vector")
    if not all(math.isfinite(one) and 0 <= one <= 1 for one in vector):
        raise InvalidRequest("the numbers of emotion.vector must be from 0 to 1", param="emotion.vector")
    weights = np.array(vector, np.float32) * np.float32(alpha)
    return np.asarray(weights @ voice.emotion_rows + (1 - weights.sum()) * voice.own_emotion, np.float32)


def weigh(weights: Mapping[str, float]) -> tuple[float, ...]:
    """Strengths by name as the vector that `mix` takes. Raises InvalidRequest with near names."""
    strengths = dict.fromkeys(NAMES, 0.0)
    for given, strength in weights.items():
        name = _OTHER_NAMES.get(given, given)
        if name not in strengths:
            near = near_names(given, [*NAMES, *_OTHER_NAMES], NAMES)
            raise InvalidRequest(f"unknown emotion {given!r}; {near}", param="emotion")
        strengths[name] = max(strengths[name], strength)
    biased = [strength * bias for strength, bias in zip(strengths.values(), _BIAS, strict=True)]
    return tuple(one * min(1.0, _MOST / max(sum(biased), _MOST)) for one in biased)
