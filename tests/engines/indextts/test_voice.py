"""A voice's file: written whole or not at all, and never spoken with when it is not what was written."""

from dataclasses import fields
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import Unsupported
from engines.indextts.provenance import Provenance
from engines.indextts.shelf import Shelf
from engines.indextts.voice import VoiceBundle
from tests.engines.indextts.voices import MODEL, a_voice


def test_a_voice_is_read_as_it_was_written(tmp_path: Path) -> None:
    voice = a_voice()
    read = VoiceBundle.read(voice.write(tmp_path / "voices"), MODEL)
    assert read.name == "someone"
    assert read.provenance == voice.provenance
    for one in fields(VoiceBundle):
        if isinstance(value := getattr(voice, one.name), np.ndarray):
            np.testing.assert_array_equal(getattr(read, one.name), value)


def test_voices_of_one_folder_never_mix(tmp_path: Path) -> None:
    paths = [a_voice(seed, f"voice{seed}").write(tmp_path) for seed in range(3)]
    for seed, path in enumerate(paths):
        np.testing.assert_array_equal(VoiceBundle.read(path, MODEL).cond, a_voice(seed).cond)


def test_conditioning_is_the_rows_with_the_emotion_and_then_speed(tmp_path: Path) -> None:
    voice, emotion = a_voice(), np.full(16, 2, np.float32)
    speed = np.stack([np.zeros(16, np.float32), np.ones(16, np.float32)])
    conditioning = voice.conditioning(emotion, speed)
    np.testing.assert_array_equal(conditioning, [*(voice.cond + 2), speed[1], speed[0]])


def test_a_voice_of_another_model_is_refused_with_advice(tmp_path: Path) -> None:
    path = a_voice().write(tmp_path)
    with pytest.raises(Unsupported, match=r"made by model version 2.0-test, this is 3; .*voices add someone REF"):
        VoiceBundle.read(path, "3")
    assert VoiceBundle.read(path).name == "someone"


@settings(max_examples=60, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
def test_a_changed_byte_is_noticed_wherever_it_is(
    tmp_path_factory: pytest.TempPathFactory, at: float, flipped: int
) -> None:
    path = a_voice().write(tmp_path_factory.mktemp("voices"))
    content = bytearray(path.read_bytes())
    place = int(at * len(content))
    content[place] ^= flipped
    path.write_bytes(content)
    if bytes([content[place]]).isspace() and content[place] ^ flipped == ord(" "):
        return  # a blank of the head is another blank: nothing that it says has changed
    with pytest.raises(Unsupported, match="voices add someone"):
        VoiceBundle.read(path, MODEL)


@pytest.mark.parametrize("bytes_left", [0, 4, 100, 2000])
def test_a_cut_file_is_refused(tmp_path: Path, bytes_left: int) -> None:
    path = a_voice().write(tmp_path)
    path.write_bytes(path.read_bytes()[:bytes_left])
    with pytest.raises(Unsupported, match="cannot be read"):
        VoiceBundle.read(path, MODEL)


def test_a_full_disk_leaves_the_voice_that_was_there(tmp_path: Path) -> None:
    path = a_voice(1).write(tmp_path)
    full = OSError(28, "No space left on device")
    with patch("engines.indextts.voice.os.fsync", side_effect=full), pytest.raises(OSError, match="No space") as told:
        a_voice(2).write(tmp_path)
    assert told.value.filename == str(path)
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(VoiceBundle.read(path, MODEL).cond, a_voice(1).cond)


def test_the_head_tells_of_a_voice_without_its_arrays(tmp_path: Path) -> None:
    a_voice().write(tmp_path)
    (card,) = Shelf(tmp_path).cards()
    assert Provenance.of_metadata(card.metadata) == a_voice().provenance
    assert len(card.digest) == 64


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    for seed in (1, 2):
        a_voice(seed, f"voice{seed}").write(tmp_path)
    a_voice(1, "same").write(tmp_path)
    digests = {card.name: card.digest for card in Shelf(tmp_path).cards()}
    assert digests["same"] == digests["voice1"] != digests["voice2"]


@pytest.mark.parametrize(("key", "value"), [("format", "other"), ("gender", "x"), ("seconds", "long"), ("model", None)])
def test_a_head_that_says_something_else_is_refused(key: str, value: str | None) -> None:
    head = {**a_voice().provenance.to_metadata(), key: value}
    with pytest.raises(ValueError, match=r"format|gender|long|model"):
        Provenance.of_metadata({name: said for name, said in head.items() if said is not None})
