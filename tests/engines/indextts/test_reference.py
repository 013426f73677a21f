"""From a recording to a voice, stage by stage, against what the official code made of the same file."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from engines.contract import NewVoice
from engines.errors import InvalidRequest, Unavailable
from engines.indextts.features import SemanticFrames, mel_spectrogram, speaker_bands
from engines.indextts.recording import read_recording, resample_by_sinc
from engines.indextts.reference import Reference, nearest_rows
from engines.indextts.sizes import Sizes
from engines.indextts.tables import Tables
from engines.indextts.voice import VoiceBundle
from models.bundle import Bundle
from models.session import open_session
from tests.engines.indextts.oracle import Oracle

#: of a long chain, as the reference data has it: from a file through w2v-bert
CHAIN = 5e-3


@pytest.fixture(scope="module")
def voice(bundle: Bundle, oracle: Oracle) -> VoiceBundle:
    wanted = NewVoice("someone", oracle.ref_wav, "a tone generator's")
    return Reference(bundle, threads=1).make(wanted, lambda *_: None)


@pytest.mark.parametrize(("way", "kept"), [("speaker", "spk_cond_emb"), ("emotion", "emo_cond_emb")])
def test_semantic_features_of_a_file(bundle: Bundle, oracle: Oracle, way: str, kept: str) -> None:
    recording, folder = read_recording(oracle.ref_wav), bundle.folder / "reference"
    frames_of, rate = SemanticFrames(folder), Sizes.of_json(bundle.sizes).mel.sample_rate
    wanted = frames_of.sample_rate
    samples = resample_by_sinc(recording.at(rate), rate, wanted) if way == "speaker" else recording.at(wanted)
    frames, heard = frames_of(samples)
    network = open_session(folder / "w2v_bert.onnx", threads=1)
    (features,) = network.run(None, {"frames": frames, "heard": heard})
    np.testing.assert_allclose(features, oracle.golden("voice")[kept], atol=CHAIN)


def test_mel_of_a_file(voice: VoiceBundle, oracle: Oracle) -> None:
    np.testing.assert_allclose(voice.mel, oracle.golden("voice")["ref_mel"][0], atol=1e-4)


def test_style_of_a_file(voice: VoiceBundle, oracle: Oracle) -> None:
    np.testing.assert_allclose(voice.style, oracle.golden("voice")["style"][0], atol=1e-4)


@pytest.mark.parametrize(
    ("part", "kept"),
    [
        ("prompt", "prompt_condition"),
        ("cond", "cond32"),
        ("base_emotion", "base_emovec"),
        ("own_emotion", "emovec"),
        ("emotion", "emovec"),
    ],
)
def test_parts_of_a_voice(voice: VoiceBundle, oracle: Oracle, part: str, kept: str) -> None:
    np.testing.assert_allclose(getattr(voice, part), oracle.golden("voice")[kept][0], atol=CHAIN)


def test_conditioning_of_the_gpt(voice: VoiceBundle, bundle: Bundle, oracle: Oracle) -> None:
    conditioning = voice.conditioning(voice.emotion, Tables.read(bundle.folder).speed_embedding)
    np.testing.assert_allclose(conditioning, oracle.golden("voice")["conds_latent"][0], atol=CHAIN)


def test_emotion_rows_are_those_of_the_nearest_speakers(voice: VoiceBundle, bundle: Bundle, oracle: Oracle) -> None:
    golden, tables, blocks = (
        oracle.golden("voice"),
        Tables.read(bundle.folder),
        Sizes.of_json(bundle.sizes).emotion_rows,
    )
    starts = np.cumsum([0, *blocks[:-1]])
    rows = nearest_rows(golden["style"][0], tables.emotion_speakers, blocks)
    np.testing.assert_array_equal(rows - starts, golden["emo_index"])
    np.testing.assert_array_equal(voice.emotion_rows, tables.emotion_vectors[rows])


def test_who_sounds_most_alike_is_not_who_is_loudest() -> None:
    speakers = np.array([[10, 10], [1, 0], [0, 1], [5, 4]], np.float32)
    assert nearest_rows(np.array([1, 0], np.float32), speakers, (2, 2)).tolist() == [1, 3]


def test_recordings_never_mix(bundle: Bundle, voice: VoiceBundle, oracle: Oracle, tmp_path: Path) -> None:
    """What one `Reference` makes of a recording does not depend on those before; a second recording gives the emotion
    and nothing else."""
    reference = Reference(bundle, threads=1)
    other = write(tmp_path, speech(oracle, seconds=1.2, pitch=1.3))
    alone, both = (
        reference.make(NewVoice("someone", one, "a tone generator's", emotion), lambda *_: None)
        for one, emotion in ((other, None), (oracle.ref_wav, other))
    )
    for part in ("cond", "base_emotion", "own_emotion", "style", "mel", "prompt"):
        np.testing.assert_array_equal(getattr(both, part), getattr(voice, part))
        assert not np.array_equal(getattr(alone, part), getattr(voice, part))
    np.testing.assert_array_equal(both.emotion, alone.own_emotion)
    assert both.provenance.emotion_sha256 == alone.provenance.source_sha256
    assert both.provenance.source_sha256 == voice.provenance.source_sha256


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype"),
    [
        ("a.wav", 48000, 1, "PCM_24"),
        ("b.wav", 22050, 2, "PCM_16"),
        ("c.wav", 8000, 1, "FLOAT"),
        ("d.flac", 44100, 2, "PCM_16"),
        ("e.mp3", 44100, 1, "MPEG_LAYER_III"),
    ],
)
def test_recordings_of_other_kinds_sound_alike(
    oracle: Oracle, tmp_path: Path, name: str, rate: int, channels: int, subtype: str
) -> None:
    samples, own = speech(oracle), 22050
    there = soxr.resample(samples, own, rate)
    soundfile.write(tmp_path / name, np.stack([there] * channels, axis=1), rate, subtype)
    recording = read_recording(tmp_path / name)
    assert recording.sample_rate == rate
    assert recording.samples.ndim == 1
    heard = recording.at(8000)  # what all of them still have
    n = min(len(heard), len(soxr.resample(samples, own, 8000)))
    assert np.corrcoef(heard[:n], soxr.resample(samples, own, 8000)[:n])[0, 1] > 0.98


def test_channels_are_mixed_down(oracle: Oracle, tmp_path: Path) -> None:
    samples = speech(oracle)
    soundfile.write(tmp_path / "two.wav", np.stack([samples, np.zeros_like(samples)], axis=1), 22050, "FLOAT")
    np.testing.assert_allclose(read_recording(tmp_path / "two.wav").samples, samples / 2, atol=1e-6)


def test_a_long_recording_is_heard_for_15_s(oracle: Oracle, tmp_path: Path) -> None:
    recording = read_recording(write(tmp_path, speech(oracle, seconds=40.0)))
    assert recording.seconds == pytest.approx(40, abs=0.01)
    assert len(recording.at(16000)) == 15 * 16000
    assert len(resample_by_sinc(recording.at(22050), 22050, 16000)) == 15 * 16000


def test_a_cut_recording_ends_as_in_the_whole(oracle: Oracle, tmp_path: Path) -> None:
    """The filter of resampling sees what lies behind the cut."""
    samples = speech(oracle, seconds=17.5)
    whole = soxr.resample(samples, 22050, 16000, quality="HQ")[: 15 * 16000]
    np.testing.assert_allclose(read_recording(write(tmp_path, samples)).at(16000), whole, atol=1e-4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: wave(np.full(4000, 0.5, np.float32)), "0.2 s long, too short"),
        (lambda: wave(np.zeros(22050, np.float32)), "silent in its first 1 s"),
        (lambda: wave(np.zeros(0, np.float32)), "0.0 s long, too short"),
        (lambda: wave(np.full(22050, np.nan, np.float32)), "values that are no sound"),
        (lambda: b"this is a letter", "no sound file"),
        (lambda: b"", "no sound file"),
    ],
)
def test_what_no_voice_can_be_made_of(tmp_path: Path, content: Callable[[], bytes], said: str) -> None:
    (tmp_path / "ref.wav").write_bytes(content())
    with pytest.raises(InvalidRequest, match=said):
        read_recording(tmp_path / "ref.wav")


def test_a_recording_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_recording(tmp_path / "ref.wav")


def test_a_bundle_without_reference_networks_says_so(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="exported without what makes voices"):
        Reference(replace(bundle, folder=tmp_path))


def test_resampling_keeps_a_tone_and_its_length() -> None:
    rate, wanted = 22050, 16000
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    resampled = resample_by_sinc(tone, rate, wanted)
    expected = np.sin(2 * np.pi * 440 * np.arange(wanted) / wanted)
    np.testing.assert_allclose(resampled[100:-100], expected[100:-100], atol=5e-3)
    assert resample_by_sinc(tone, rate, rate) is tone


@pytest.mark.parametrize("seconds", [0.9, 1.0])
def test_semantic_frames_mark_what_was_filled_up(bundle: Bundle, seconds: float) -> None:
    frames, heard = SemanticFrames(bundle.folder / "reference")(noise(seconds))
    whole = 1 + (round(seconds * 16000) - 400) // 160  # frames of 10 ms, two of which make one
    assert heard.shape == frames.shape[:2] == (1, (whole + 1) // 2)
    assert heard.sum() == whole // 2


def test_bands_of_a_speaker_have_no_mean() -> None:
    bands = speaker_bands(noise(1.0), 16000, 80)
    assert bands.shape == (98, 80)
    np.testing.assert_allclose(bands.mean(axis=0), 0, atol=1e-4)


def test_mel_has_a_frame_for_each_hop(bundle: Bundle) -> None:
    sizes = Sizes.of_json(bundle.sizes).mel
    assert mel_spectrogram(noise(1.0), sizes).shape == (sizes.mels, 16000 // sizes.hop)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * 16000)).astype(np.float32)


def speech(oracle: Oracle, seconds: float = 0.9, pitch: float = 1.0) -> np.ndarray:
    """The oracle's recording, again and again until it is as long, at 22050 Hz."""
    samples, rate = soundfile.read(oracle.ref_wav, dtype="float32")
    samples = soxr.resample(samples, rate * pitch, 22050)
    return np.resize(samples, round(seconds * 22050))


def write(folder: Path, samples: np.ndarray) -> Path:
    path = folder / f"{len(samples)}.wav"
    path.write_bytes(wave(samples))
    return path


def wave(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 22050, "FLOAT", format="WAV")
    return file.getvalue()
