"""A trained voice with a phonemiser for each of its two speakers, from where `VOXGATE_VOICES` says, heard and measured.

Its graph has noise of its own: no two runs are equal, so what is compared is lengths, energies and ids.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from engines.contract import AudioChunk, SpeechRequest
from engines.errors import Unsupported
from engines.piper.description import Description
from engines.piper.symbols import Speller
from engines.testing import rms, seconds, speak_all
from tests.engines.piper.conftest import Begin

VOICES = Path(os.environ.get("VOXGATE_VOICES") or Path(__file__).parents[4] / "shared" / "voices")
FOLDER = VOICES / "duet"

pytestmark = pytest.mark.skipif(
    not (FOLDER / "duet.onnx").is_file(), reason=f"the voice duet is not in {VOICES}; VOXGATE_VOICES says where it is"
)


@pytest.fixture
def description() -> Description:
    return Description.read(FOLDER / "duet.onnx.json")


def symbols(voice: Description, speaker: int, text: str) -> list[str]:
    names = {ids[0]: symbol for symbol, ids in voice.ids.items()}
    speller = Speller()
    try:
        return ["".join(names[one] for one in ids) for ids in speller.spell(voice, voice.speakers[speaker], text)]
    finally:
        speller.close()


async def heard(begin: Begin, text: str, language: str, **more: str | float) -> list[AudioChunk]:
    engine = await begin(folder=str(FOLDER.resolve()))
    return await speak_all(engine, SpeechRequest(text, language, **more))  # type: ignore[arg-type]


def test_each_speaker_has_symbols_of_its_own_without_padding(description: Description) -> None:
    assert symbols(description, 0, 'Hello, world-wide "web": fine…') == ["^həlˈoʊ, wˈɜːld wˈaɪd wˈɛb, fˈaɪn,$"]
    assert symbols(description, 1, "你好，女儿！花儿。") == [
        "^i:nf:i2i:hf:ao3, i:nf:v3f:er2!$",
        "^i:hf:ua1f:r5.$",
    ]
    assert symbols(description, 1, "是3。") == ["^i:shf:ii4 i:sf:an1.$"]


@pytest.mark.parametrize(
    ("text", "language", "least_s", "most_s"),
    [
        ("The weather is fine today, so let us walk to the park.", "en", 2.0, 5.0),
        ("今天天气很好，我们一起去公园散步吧。", "zh", 3.0, 8.0),
        ("我买了一台MacBook，很好用。", "zh", 2.0, 7.0),
    ],
)
async def test_both_languages_and_a_mixture_sound(
    begin: Begin, text: str, language: str, least_s: float, most_s: float
) -> None:
    chunks = await heard(begin, text, language)
    assert {chunk.sample_rate for chunk in chunks} == {22050}
    assert least_s < seconds(chunks) < most_s
    for chunk in chunks:
        assert rms(chunk.pcm) > 1500
        samples = np.frombuffer(chunk.pcm, "<i2").astype(np.int64)
        assert np.abs(samples).max() < 32767  # nothing was cut off
        assert samples[0] == 0
        assert abs(samples[-1]) < 1500


async def test_both_speakers_are_equally_loud(begin: Begin) -> None:
    english = rms(b"".join(one.pcm for one in await heard(begin, "One two three four five six seven.", "en")))
    mandarin = rms(b"".join(one.pcm for one in await heard(begin, "一二三四五六七八九。", "zh")))
    assert abs(20 * np.log10(english / mandarin)) < 3


async def test_a_mixture_is_cut_by_language_for_the_two_speakers(begin: Begin) -> None:
    chunks = await heard(begin, "我很喜欢Python。再见", "zh")
    assert len(chunks) == 3


async def test_a_faster_voice_is_shorter(begin: Begin) -> None:
    text = "今天天气很好。"
    assert seconds(await heard(begin, text, "zh", speed=1.5)) < 0.8 * seconds(await heard(begin, text, "zh"))


async def test_one_speaker_alone_leaves_nothing_out(begin: Begin) -> None:
    with pytest.raises(Unsupported, match="Han characters only"):
        await heard(begin, "我很喜欢Python", "zh", voice="duet:zh_CN-yuetan")
    assert await heard(begin, "fine", "en", voice="duet:en_US-kathleen")
