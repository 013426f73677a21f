"""Voices that no network made, for tests of what is done with one."""

import numpy as np

from engines.indextts.provenance import Provenance
from engines.indextts.voice import VoiceBundle

MODEL = "2.0-test"


def a_voice(seed: int = 0, name: str = "someone", model: str = MODEL) -> VoiceBundle:
    """Of numbers by chance; equal seeds give equal ones."""
    chance = np.random.default_rng(seed)

    def array(*shape: int) -> np.ndarray:
        return chance.normal(size=shape).astype(np.float32)

    provenance = Provenance(
        model=model,
        sample_rate=22050,
        source_sha256="ab" * 32,
        seconds=4.5,
        consent="Someone, by letter",
        licence="CC0",
        languages=("zh", "en"),
        gender="female",
        created="2026-11-21T10:00:00Z",
    )
    return VoiceBundle(
        name=name,
        cond=array(32, 16),
        base_emotion=array(16),
        own_emotion=array(16),
        emotion=array(16),
        style=array(12),
        mel=array(20, 30),
        prompt=array(30, 14),
        emotion_rows=array(8, 16),
        provenance=provenance,
    )
