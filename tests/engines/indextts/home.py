"""A data directory in which kind `indextts` can speak at once: a bundle, and a voice of the reference data's arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engines.contract import AudioChunk, Engine, Instance, SpeechRequest
from engines.indextts import KIND
from engines.indextts.provenance import Provenance
from engines.indextts.sizes import Sizes
from engines.indextts.tables import Tables
from engines.indextts.voice import VoiceBundle
from models.bundle import Bundle
from tests.engines.indextts.oracle import Oracle

#: quick, and in pieces: the reference model never stops by itself
OPTIONS: Mapping[str, Any] = {
    "steps": 2,
    "max_codes": 40,
    "unfinished": "keep",
    "stream_codes": 16,
    "first_segment_tokens": 4,
}


def make_home(folder: Path, bundle: Bundle, oracle: Oracle, *voices: str) -> Path:
    """`models/` with a link to the bundle, and `voices/` with these."""
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "indextts2").symlink_to(bundle.folder, target_is_directory=True)
    for seed, name in enumerate(voices):
        add_voice(folder, bundle, oracle, name, seed)
    return folder


def add_voice(home: Path, bundle: Bundle, oracle: Oracle, name: str, seed: int = 0, gender: str = "female") -> Path:
    """Put a voice among those of the engine."""
    return golden_voice(bundle, oracle, name, seed, gender).write(home / "voices" / "indextts")


def golden_voice(bundle: Bundle, oracle: Oracle, name: str, seed: int = 0, gender: str = "female") -> VoiceBundle:
    """A voice of the reference recording; other seeds make it another one."""
    golden, tables, sizes = oracle.golden("voice"), Tables.read(bundle.folder), Sizes.of_json(bundle.sizes)
    blocks = np.cumsum([0, *sizes.emotion_rows[:-1]])
    shift = np.random.default_rng(seed).normal(size=golden["cond32"][0].shape) * bool(seed)
    return VoiceBundle(
        name=name,
        cond=golden["cond32"][0] + np.float32(shift),
        base_emotion=golden["base_emovec"][0],
        own_emotion=golden["emovec"][0],
        emotion=golden["emovec"][0],
        style=golden["style"][0],
        mel=golden["ref_mel"][0],
        prompt=golden["prompt_condition"][0],
        emotion_rows=tables.emotion_vectors[blocks + golden["emo_index"]],
        provenance=Provenance(
            model=bundle.version,
            sample_rate=sizes.mel.sample_rate,
            source_sha256=f"{seed:064x}",
            seconds=0.9,
            consent="made up",
            licence="CC0",
            languages=("zh", "en"),
            gender=gender,  # type: ignore[arg-type]
            created="2026-11-21T10:00:00Z",
        ),
    )


def make_engine(home: Path, slots: int | None = None, **options: Any) -> Engine:
    instance = Instance("indextts", slots, home, in_worker=True)
    return KIND.create(instance, KIND.options.model_validate({**OPTIONS, **options}))


async def say(engine: Engine, text: str, language: str = "zh", **more: Any) -> list[AudioChunk]:
    return [chunk async for chunk in engine.synthesize(SpeechRequest(text, language, **more))]


def pcm(chunks: list[AudioChunk]) -> bytes:
    return b"".join(chunk.pcm for chunk in chunks)
