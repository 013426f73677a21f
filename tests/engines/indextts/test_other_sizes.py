"""A model of sizes that no release has, made up, on its whole way: exported, given a voice, spoken with.

What each of its networks computes is compared with the reference elsewhere; here nothing may take a number for granted.
"""

from __future__ import annotations

import wave
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest

from bench.indextts.checkpoint import write_checkpoint
from bench.indextts.design import Design, small
from engines.contract import NewVoice
from engines.indextts.engine import IndexTtsEngine
from engines.indextts.length_regulator import frames_of
from engines.indextts.model import PAUSE_S
from engines.indextts.recipe import NAME, ExportOptions
from engines.indextts.reference import Reference
from engines.indextts.sizes import Sizes
from models.bundle import Bundle
from tests.engines.indextts.conftest import export_quietly
from tests.engines.indextts.home import make_engine, pcm, say

RATE_HZ, HOP, MELS, STYLE, SPEAKER_ROWS = 16_000, 20, 24, 40, 56
TEXT = "Go on, and on, and on, and on, and on."


def design() -> Design:
    """Another rate, other mel frames, another style, more rows of a voice."""
    base = small()
    made = Design(**{**vars(base), "speaker_rows": SPEAKER_ROWS})
    s2mel = made.config["s2mel"]
    spectrum = {"n_fft": 80, "win_length": 64, "hop_length": HOP, "n_mels": MELS, "fmin": 50}
    s2mel["preprocess_params"] = {"sr": RATE_HZ, "spect_params": {**spectrum, "fmax": "None"}}
    s2mel["style_encoder"] = {"dim": STYLE}
    s2mel["DiT"]["in_channels"] = MELS
    made.vocoder.update({"upsample_rates": [4, 5], "upsample_kernel_sizes": [8, 9], "num_mels": MELS})
    return made


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("other")
    write_checkpoint(folder / "checkpoint", design())
    return export_quietly(folder / "checkpoint", folder / "data" / "models" / NAME, ExportOptions(precision="fp32"))


@pytest.fixture(scope="module")
def home(bundle: Bundle) -> Path:
    """The bundle's data directory, with a voice of noise."""
    data = bundle.folder.parents[1]
    noise = np.random.default_rng(0).normal(0, 3000, RATE_HZ).astype("<i2")
    with wave.open(str(data / "noise.wav"), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(noise.tobytes())
    wanted = NewVoice("noise", data / "noise.wav", consent="nobody's", languages=("en",))
    Reference(bundle).make(wanted, lambda *_: None).write(data / "voices" / "indextts")
    return data


@pytest.fixture
async def engine(home: Path) -> AsyncGenerator[IndexTtsEngine, None]:
    made = make_engine(home, max_codes=1000, first_segment_tokens=0)
    assert isinstance(made, IndexTtsEngine)
    await made.start()
    yield made
    await made.close()


async def test_a_model_of_other_sizes_speaks_at_its_own_rate_as_long_as_its_tables_go(
    engine: IndexTtsEngine, bundle: Bundle
) -> None:
    chunks = await say(engine, TEXT, "en")
    codes = Sizes.of_json(bundle.sizes).gpt.max_codes + 2  # one more than there are in training, and no place for 1
    assert {one.sample_rate for one in chunks} == {RATE_HZ}
    assert sum(one.samples for one in chunks) == frames_of(codes) * HOP
    assert np.abs(np.frombuffer(pcm(chunks), "<i2")).max() > 0


async def test_its_segments_are_apart_by_the_same_time(engine: IndexTtsEngine, home: Path) -> None:
    short = make_engine(home, max_codes=20, max_segment_tokens=12, first_segment_tokens=0)
    await short.start()
    samples = sum(one.samples for one in await say(short, TEXT, "en"))
    await short.close()
    said, pause = frames_of(20) * HOP, round(PAUSE_S * RATE_HZ)
    segments = (samples + pause) // (said + pause)
    assert segments > 1
    assert samples == segments * said + (segments - 1) * pause


async def test_its_keys_and_values_may_be_kept_in_8_bit(engine: IndexTtsEngine, home: Path) -> None:
    small_cache = make_engine(home, kv="int8", max_codes=20, first_segment_tokens=0)
    await small_cache.start()
    chunks = await say(small_cache, TEXT, "en")
    await small_cache.close()
    assert sum(one.samples for one in chunks) == frames_of(20) * HOP
