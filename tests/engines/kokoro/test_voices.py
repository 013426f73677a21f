"""Voices by name, their files, mixes, and what of a file is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.errors import Unsupported
from engines.kokoro.mixing import Part, parse_mix
from engines.kokoro.styles import Styles
from engines.kokoro.vocabulary import Vocabulary
from engines.kokoro.voices import Catalogue, names_in
from tests.engines.kokoro.tiny import LEVELS, V1_0, WIDTH, table


def test_names_say_language_and_gender() -> None:
    listed = {voice.id: voice for voice in Catalogue(["af_heart", "bm_lewis", "zf_xiaobei", "ef_dora"], {}).listed()}
    assert listed["af_heart"].languages == listed["bm_lewis"].languages == ("en",)
    assert listed["zf_xiaobei"].languages == ("zh", "en")
    assert (listed["ef_dora"].languages, listed["ef_dora"].gender) == (("es",), "female")
    assert listed["bm_lewis"].gender == "male"
    assert all("Apache-2.0" in voice.licence and "hexgrad" in voice.licence for voice in listed.values())


def test_japanese_voices_are_left_out_since_nothing_reads_for_them() -> None:
    assert [voice.id for voice in Catalogue(["jf_alpha", "af_sky"], {}).listed()] == ["af_sky"]


def test_who_names_no_voice_hears_one_of_the_language_and_gender() -> None:
    catalogue = Catalogue(["zf_xiaobei", "am_adam", "bf_emma"], {})
    assert catalogue.choose("en", "", "").id == "am_adam"  # no Mandarin voice, though it speaks English too
    assert catalogue.choose("en", "", "female").id == "bf_emma"
    assert catalogue.choose("zh", "", "male").id == "zf_xiaobei"
    with pytest.raises(Unsupported, match="'es'"):
        catalogue.choose("es", "", "")


@pytest.mark.parametrize(("voice", "language"), [("nobody", "en"), ("am_adam", "zh"), ("am_adam(1", "en"), ("", "ja")])
def test_a_voice_that_is_not_there_or_speaks_another_language_is_unsupported(voice: str, language: str) -> None:
    with pytest.raises(Unsupported):
        Catalogue(["am_adam", "bf_emma"], {}).choose(language, voice, "")


def test_a_mix_speaks_the_languages_of_its_parts_and_has_the_gender_of_the_greatest() -> None:
    catalogue = Catalogue(["zf_xiaobei", "am_adam", "ef_dora"], {"mine": "am_adam + zf_xiaobei(3)"})
    assert catalogue.choose("es", "am_adam(5)+ef_dora", "").espeak == "es"
    assert catalogue.choose("en", "am_adam(5)+ef_dora", "").espeak == "en-us"
    assert catalogue.choose("zh", "mine", "").parts == (Part("am_adam", 0.25), Part("zf_xiaobei", 0.75))
    (mine,) = [voice for voice in catalogue.listed() if voice.id == "mine"]
    assert (mine.languages, mine.gender) == (("zh", "en"), "female")


@pytest.mark.parametrize("text", ["", "+", "a+", "a(0)", "a(-1)", "a(x)", "a(2)b", "a b", "+".join("abcdefghi")])
def test_what_is_no_mix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="mix"):
        parse_mix(text)


@pytest.fixture(params=["archive", "folder"])
def voices(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> Path:
    if request.param == "archive":
        return home / "models" / "kokoro" / "voices-v1.0.bin"
    for name, level in LEVELS.items():
        table(level).tofile(tmp_path / f"{name}.bin")
    return tmp_path


def test_both_forms_of_voices_give_the_same_styles(voices: Path) -> None:
    assert set(names_in(voices)) == set(LEVELS)
    assert names_in(voices)[0] == "af_heart"
    style = Styles(voices).style(parse_mix("af_heart(1)+zf_xiaobei(3)"), 7)
    assert style.shape == (1, WIDTH)
    assert style[0, 0] == pytest.approx(0.25 * LEVELS["af_heart"] + 0.75 * LEVELS["zf_xiaobei"])
    assert style[0, 1] == pytest.approx(7 / 10_000)  # the row for seven phonemes
    assert Styles(voices).style(parse_mix("af_heart"), 510)[0, 1] == pytest.approx(509 / 10_000)


def test_an_archive_that_holds_a_program_is_not_run(tmp_path: Path) -> None:
    class Program:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (pytest.fail, ("the program in the file was run",))

    path = tmp_path / "voices.bin"
    with path.open("wb") as file:
        np.savez(file, af_bad=np.array([Program()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        Styles(path).read("af_bad")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((510, 1, 128), np.float32), "shape"),
        (np.zeros((256, 510), np.float32), "shape"),
        (np.zeros((0, 1, 256), np.float32), "shape"),
        (np.full((3, 1, 256), np.nan, np.float32), "numbers"),
    ],
)
def test_a_table_of_another_shape_is_refused(array: np.ndarray, said: str, tmp_path: Path) -> None:
    with (tmp_path / "voices.bin").open("wb") as file:
        np.savez(file, af_bad=array)
    with pytest.raises(ValueError, match=said):
        Styles(tmp_path / "voices.bin").read("af_bad")


def test_what_is_no_archive_says_so(tmp_path: Path) -> None:
    (tmp_path / "voices.bin").write_bytes(b"raw numbers")
    with pytest.raises(ValueError, match="fetch it again"):
        names_in(tmp_path / "voices.bin")
    (tmp_path / "voices").mkdir()
    with pytest.raises(ValueError, match="no voices"):
        names_in(tmp_path / "voices")


@pytest.mark.parametrize(
    "text", ['{"vocab": {"a": 43}}', '{"model": {"vocab": {"$": 0, "a": 43, "ab": 9}}}'], ids=["config", "tokenizer"]
)
def test_a_vocabulary_is_read_from_either_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(text)
    vocabulary = Vocabulary.read(tmp_path / "v.json")
    assert dict(vocabulary.ids) == {"a": 43}
    assert (vocabulary.known("$ba"), vocabulary.encode("aa"), vocabulary.alphabet) == ("a", [43, 43], "ipa")


@pytest.mark.parametrize("text", ["", "[]", '{"model_type": "x"}', '{"vocab": {"a": "b"}}', '{"vocab": {}}'])
def test_what_is_no_vocabulary_says_which_file_to_take(text: str, tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json|fetch it again"):
        Vocabulary.read(tmp_path / "v.json")


def test_the_alphabet_is_told_by_the_vocabulary() -> None:
    assert Vocabulary({**V1_0, "ㄅ": 200}).alphabet == "bopomofo"
