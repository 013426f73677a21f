from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from engines.sambert.voices import published


def test_the_published_voices_of_sambert_are_all_there() -> None:
    voices = published("sambert")
    assert len({voice.id for voice in voices}) == len(voices) == 43
    assert all(voice.id.startswith("sambert-") and voice.id.endswith("-v1") for voice in voices)
    assert Counter(voice.sample_rate for voice in voices) == {48000: 9, 16000: 34}
    assert Counter(voice.languages for voice in voices) == {("zh", "en"): 30, ("en",): 7} | {
        (language,): 1 for language in ("es", "it", "id", "fr", "de", "th")
    }
    assert {voice.languages[0] for voice in voices if not voice.timestamps} == {"es", "it", "id", "fr", "de", "th"}


@pytest.mark.parametrize(
    ("name", "gender", "sample_rate"),
    [("zhiqi", "female", 48000), ("zhichu", "male", 48000), ("zhimiao-emo", "female", 16000), ("zhilun", "", 16000),
     ("brian", "male", 16000), ("camila", "female", 16000)],
)  # fmt: skip
def test_a_voice_is_as_it_is_published(name: str, gender: str, sample_rate: int) -> None:
    (voice,) = (one for one in published("sambert") if one.id == f"sambert-{name}-v1")
    assert (voice.gender, voice.sample_rate) == (gender, sample_rate)


def test_what_articles_call_a_voice_and_nobody_has_is_not_there() -> None:
    assert "sambert-zhiyan-v1" not in {voice.id for voice in published("sambert")}


def test_cosyvoice_has_voices_of_its_own_for_each_model() -> None:
    flash = {voice.id for voice in published("cosyvoice-v3-flash")}
    plus = {voice.id for voice in published("cosyvoice-v3-plus")}
    assert {"longanyang", "longanhuan", "longjiaxin_v3"} <= flash
    assert plus == {"longanyang", "longanhuan"}
    assert published("cosyvoice-v3.5-plus") == ()


def test_the_documented_voices_are_the_published_ones() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sambert.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if re.match(r"\| .* \| \d\d kHz \|", line)]
    cells = [re.sub(r" \(.*?\)", "", cell) for row in rows for cell in row.strip("| ").split("|")[2:]]
    documented = [f"sambert-{name.strip()}-v1" for cell in cells for name in cell.split(",") if name.strip()]
    assert sorted(documented) == sorted(voice.id for voice in published("sambert"))
