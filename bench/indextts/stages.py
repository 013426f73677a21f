"""What each stage of the model takes by itself, with the networks loaded as the engine loads them.

From the parts follows the real-time factor of any number of solver steps, for an utterance of 10 seconds that is made
in one piece. Knows nothing about requests, streaming or other machines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.indextts.clock import timed
from bench.indextts.home import VOICE, Home
from bench.indextts.variant import Extent, Variant
from bench.report import Figure
from engines.indextts.length_regulator import frames_of
from engines.indextts.gpt import Gpt
from engines.indextts.model import IndexTts
from engines.indextts.voicing import SLICE_S

#: positions of voice and text before the codes: 34, and a text of some 30 characters
PREFILL = 64
#: of solver steps, to tell the real-time factor of
STEPS = (25, 10, 6, 4)


@dataclass(frozen=True, slots=True)
class Stages:
    """Quickest times, in milliseconds."""

    prefill: float
    decode: dict[tuple[int, int], float]  # (rows, depth) -> per code of each row
    codes: int  # that the following ones are of
    latents: float
    regulator: float
    step: float  # of the solver, with guidance
    unguided_step: float
    vocoder: float
    frames_per_s: float

    @property
    def audio_s(self) -> float:
        return frames_of(self.codes) / self.frames_per_s

    def factor(self, steps: int) -> float:
        """Seconds of work per second of audio, one utterance alone."""
        alone = [ms for (rows, _), ms in self.decode.items() if rows == 1]
        decoding = self.codes * sum(alone) / len(alone)
        whole = self.prefill + decoding + self.latents + self.regulator + steps * self.step + self.vocoder
        return whole / 1000 / self.audio_s

    def figures(self, group: str) -> list[Figure]:
        audio_s, per = self.audio_s, f"{self.codes} codes"
        return [
            Figure(group, f"prefill of {PREFILL} positions", self.prefill, "ms"),
            *(
                Figure(group, f"decode, a code of {rows} at once, {depth} before it", ms, "ms")
                for (rows, depth), ms in self.decode.items()
            ),
            Figure(group, f"latent pass over {per}", self.latents, "ms"),
            Figure(group, f"length regulator over {per}", self.regulator, "ms"),
            Figure(group, f"a guided solver step over {per} and the voice", self.step, "ms"),
            Figure(group, "the same without guidance", self.unguided_step, "ms"),
            Figure(group, "vocoder, per second of audio", self.vocoder / audio_s, "ms"),
            *(
                Figure(group, f"real-time factor of {audio_s:.0f} s at {steps} steps, sum", self.factor(steps), "")
                for steps in STEPS
            ),
        ]


def measure_stages(home: Home, variant: Variant, extent: Extent) -> Stages:
    """Load the model and run its stages one by one."""
    model = IndexTts.load(home.instance(variant.precision), variant.options())
    few = max(1, extent.rounds // 5)
    acoustics, codes = model.acoustics, min(extent.stage_codes, model.gpt.longest)
    voice, random = model.voices.voice(VOICE), np.random.default_rng(0)
    latents = random.standard_normal((codes, model.gpt.sizes.width), np.float32)
    features = acoustics.features(latents, random.integers(0, len(acoustics.tables.semantic_table), codes).tolist())
    condition = acoustics.regulator(features, frames_of(codes))
    mu, mel = np.concatenate([voice.prompt, condition]), random.standard_normal((len(voice.mel), len(condition)))
    noise = np.concatenate([np.zeros_like(voice.mel), mel], axis=1).astype(np.float32)

    def step(cfg: float) -> object:
        return acoustics.flow.solve(mu, voice.mel, voice.style, noise, steps=1, cfg=cfg)

    def speak() -> None:
        """In slices, as the engine has it."""
        speaking = acoustics.vocoder.speaking()
        slices = max(1, round(mel.shape[1] / (SLICE_S * acoustics.frames_per_s)))
        for part in np.array_split(mel.astype(np.float32) - 5, slices, axis=1):
            speaking.push(part)
        speaking.finish()

    prefill, decode, second = measure_gpt(model.gpt, extent, codes)
    return Stages(
        prefill=prefill,
        decode=decode,
        codes=codes,
        latents=second,
        regulator=timed(lambda: acoustics.regulator(features, frames_of(codes)), few).quickest_ms,
        step=timed(lambda: step(0.7), few).quickest_ms,
        unguided_step=timed(lambda: step(0.0), few).quickest_ms,
        vocoder=timed(speak, few).quickest_ms,
        frames_per_s=acoustics.frames_per_s,
    )


def measure_gpt(gpt: Gpt, extent: Extent, codes: int) -> tuple[float, dict[tuple[int, int], float], float]:
    """Prefill, decoding of one and several rows at depths, and the latent pass over so many codes: milliseconds."""
    random = np.random.default_rng(0)

    def run(rows: int, steps: int, filled: int) -> None:
        gpt.run(given[rows, steps], [filled] * rows, cache)

    shapes = ((1, 1), (extent.at_once, 1), (1, PREFILL), (1, codes))
    given = {one: random.standard_normal((*one, gpt.sizes.width), np.float32) for one in shapes}
    cache = gpt.cache(max(PREFILL + codes, *extent.depths), extent.at_once)
    run(1, codes, PREFILL + codes)  # so that there is memory behind the cache
    for rows in range(1, extent.at_once):
        cache.move([0], [rows], 0, PREFILL + codes)
    decode = {
        (rows, depth): timed(lambda rows=rows, depth=depth: run(rows, 1, depth), extent.rounds).quickest_ms / rows  # type: ignore[misc]
        for rows in (1, extent.at_once)
        for depth in extent.depths
    }
    few = max(1, extent.rounds // 5)
    prefill = timed(lambda: run(1, PREFILL, PREFILL), few).quickest_ms
    return prefill, decode, timed(lambda: run(1, codes, PREFILL + codes), few).quickest_ms
