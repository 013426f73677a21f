"""From codes to a wave against the reference, and in pieces against the whole."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pytest

from engines.indextts.flow import Flow
from engines.indextts.length_regulator import LengthRegulator, frames_of
from engines.indextts.sizes import Sizes
from engines.indextts.tables import Tables
from engines.indextts.vocoder import Vocoder
from engines.indextts.voice import VoiceBundle
from engines.indextts.voicing import Acoustics, Piece, Voicing
from models.bundle import Bundle
from tests.engines.indextts.acoustic import Acoustic
from tests.engines.indextts.home import golden_voice
from tests.engines.indextts.oracle import Oracle


class Replayed:
    """A solver that gives the reference's mel, and keeps what it was asked."""

    def __init__(self, mel: np.ndarray) -> None:
        self._mel = mel
        self.mu = self.prompt = np.empty(0)

    def follow(self, mu: np.ndarray, prompt: np.ndarray, *_: object) -> Generator[None, None, np.ndarray]:
        self.mu, self.prompt = mu, prompt
        yield
        return self._mel


@pytest.fixture(scope="module")
def voice(oracle: Oracle, bundle: Bundle) -> VoiceBundle:
    return golden_voice(bundle, oracle, "narrator")


@pytest.fixture(scope="module")
def acoustics(acoustic: Acoustic, bundle: Bundle) -> Acoustics:
    sizes = Sizes.of_json(bundle.sizes)
    return Acoustics(
        Tables.read(bundle.folder),
        LengthRegulator(acoustic.length_regulator),
        Flow(acoustic.estimator),
        Vocoder(acoustic.vocoder, sizes.vocoder),
        frames_per_s=sizes.mel.sample_rate / sizes.mel.hop,
        steps=4,
        cfg=0.7,
    )


def spoken(acoustics: Acoustics, voice: VoiceBundle, oracle: Oracle, *pieces: Piece, speed: float = 1.0) -> np.ndarray:
    """The wave of the reference's codes in these pieces."""
    golden, voicing, waves, known = oracle.golden("latent"), Voicing(acoustics, voice, speed, seed=3), [], 0
    codes, latents = golden["codes"][0].tolist(), golden["latent"][0]
    for piece in pieces:
        until = piece.stop if piece.last else piece.stop + piece.margin
        waves += [wave for wave in voicing.speak(piece, codes[:until], latents[known:until]) if wave is not None]
        known = until
    return np.concatenate(waves)


def test_a_segment_made_whole_is_the_references(oracle: Oracle, acoustics: Acoustics, voice: VoiceBundle) -> None:
    latent, golden = oracle.golden("latent"), oracle.golden("bigvgan")
    codes = latent["codes"][0].tolist()
    np.testing.assert_allclose(acoustics.features(latent["latent"][0], codes), latent["S_infer"][0], atol=1e-4)
    solver = Replayed(golden["mel_gen"][0])
    replayed = replace(acoustics, flow=solver)  # type: ignore[arg-type]
    wave = spoken(replayed, voice, oracle, Piece(0, len(codes), 6, last=True))
    np.testing.assert_allclose(solver.mu, oracle.golden("cfm")["mu"][0], atol=1e-4)
    assert np.array_equal(solver.prompt, oracle.golden("voice")["ref_mel"][0])
    np.testing.assert_allclose(wave, golden["wav_gen"].reshape(-1), atol=5e-3)


@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
def test_pieces_are_together_as_long_as_the_whole(
    oracle: Oracle, acoustics: Acoustics, voice: VoiceBundle, speed: float
) -> None:
    codes = oracle.golden("latent")["codes"].shape[1]
    half = codes // 2
    pieces = [Piece(0, 4, 1, last=False), Piece(4, half, 1, last=False), Piece(half, codes, 1, last=True)]
    wave = spoken(acoustics, voice, oracle, *pieces, speed=speed)
    assert len(wave) == frames_of(codes, speed) * acoustics.vocoder.samples_per_frame


def test_a_piece_goes_on_from_the_mel_before_it(oracle: Oracle, acoustics: Acoustics, voice: VoiceBundle) -> None:
    codes = oracle.golden("latent")["codes"].shape[1]
    half = codes // 2
    solver = Replayed(np.full((voice.mel.shape[0], frames_of(half)), -1, np.float32))
    spoken(replace(acoustics, flow=solver), voice, oracle, Piece(0, half, 1, last=False))  # type: ignore[arg-type]
    assert solver.prompt.shape[1] == voice.mel.shape[1]
    spoken(
        replace(acoustics, flow=solver),  # type: ignore[arg-type]
        voice,
        oracle,
        Piece(0, half, 1, last=False),
        Piece(half, codes, 1, last=True),
    )
    assert np.array_equal(solver.prompt[:, : voice.mel.shape[1]], voice.mel)
    assert (solver.prompt[:, voice.mel.shape[1] :] == -1).all()
    assert solver.prompt.shape[1] > voice.mel.shape[1]


def test_a_piece_is_heard_among_the_codes_around_it(oracle: Oracle, acoustics: Acoustics, voice: VoiceBundle) -> None:
    heard: list[int] = []

    def regulator(features: np.ndarray, frames: int) -> np.ndarray:
        heard.append(len(features))
        return acoustics.regulator(features, frames)

    pieces = Piece(0, 8, 2, last=False), Piece(8, 12, 2, last=False)
    spoken(replace(acoustics, regulator=regulator), voice, oracle, *pieces)  # type: ignore[arg-type]
    assert heard == [8 + 2, 2 + 4 + 2]


def test_a_last_piece_without_codes_gives_what_the_vocoder_has_left(
    oracle: Oracle, acoustics: Acoustics, voice: VoiceBundle
) -> None:
    codes = oracle.golden("latent")["codes"].shape[1]
    wave = spoken(acoustics, voice, oracle, Piece(0, codes, 1, last=False), Piece(codes, codes, 1, last=True))
    assert len(wave) == frames_of(codes) * acoustics.vocoder.samples_per_frame


def test_of_a_long_recording_the_end_alone_is_gone_on_from(
    oracle: Oracle, acoustics: Acoustics, voice: VoiceBundle
) -> None:
    codes = oracle.golden("latent")["codes"].shape[1]
    solver = Replayed(np.zeros((voice.mel.shape[0], frames_of(codes)), np.float32))
    shorter = replace(acoustics, flow=solver, prompt_frames=10)  # type: ignore[arg-type]
    spoken(shorter, voice, oracle, Piece(0, codes, 1, last=True))
    assert np.array_equal(solver.prompt, voice.mel[:, -10:])
    assert np.array_equal(solver.mu[:10], voice.prompt[-10:])
    assert len(solver.mu) == 10 + frames_of(codes)


def test_what_was_said_last_takes_half_of_a_short_prompt_at_most(
    oracle: Oracle, acoustics: Acoustics, voice: VoiceBundle
) -> None:
    codes = oracle.golden("latent")["codes"].shape[1]
    half = codes // 2
    solver = Replayed(np.full((voice.mel.shape[0], frames_of(half)), -1, np.float32))
    shorter = replace(acoustics, flow=solver, prompt_frames=10)  # type: ignore[arg-type]
    spoken(shorter, voice, oracle, Piece(0, half, 1, last=False), Piece(half, codes, 1, last=True))
    assert np.array_equal(solver.prompt[:, :5], voice.mel[:, -5:])
    assert np.array_equal(solver.mu[:5], voice.prompt[-5:])
    assert (solver.prompt[:, 5:] == -1).all()
    assert solver.prompt.shape[1] == 10


def test_the_seed_is_all_that_chance_depends_on(oracle: Oracle, acoustics: Acoustics, voice: VoiceBundle) -> None:
    codes = oracle.golden("latent")["codes"].shape[1]
    first, again = (spoken(acoustics, voice, oracle, Piece(0, codes, 1, last=True)) for _ in range(2))
    assert np.array_equal(first, again)
