"""What each stage of the model takes by itself, with the networks loaded as the engine loads them.

From the parts follows the real-time factor of any number of solver steps, for an utterance of 10 seconds that is made
in one piece. Knows nothing about requests, streaming or other machines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.indextts.clock import Timing, timed
from bench.indextts.home import VOICE, Home
from bench.indextts.variant import Extent, Variant
from bench.report import Figure
from engines.indextts.gpt import Gpt
from engines.indextts.length_regulator import frames_of
from engines.indextts.model import IndexTts
from models.session import count_threads

#: positions of voice and text before the codes: 34, and a text of some 30 characters
PREFILL = 64
#: of solver steps, to tell the real-time factor of
STEPS = (25, 10, 6, 4)


@dataclass(frozen=True, slots=True)
class Stages:
    """What each takes."""

    prefill: Timing
    decode: dict[tuple[int, int], Timing]  # (rows, depth) -> one step of all rows
    codes: int  # that the following ones are of
    latents: Timing
    regulator: Timing
    step: Timing  # of the solver, with guidance
    unguided_step: Timing
    vocoder: Timing
    frames_per_s: float
    threads: int

    @property
    def audio_s(self) -> float:
        return frames_of(self.codes) / self.frames_per_s

    def figures(self, group: str) -> list[Figure]:
        """By the clock, and by the time that processors worked: the first is what was had on this machine now, the
        second, shared by the threads, what comes near to it when nothing else runs."""
        by_work = f"{group}: processor time over {self.threads} threads"
        return self._figures(group, lambda one: one.quickest_s) + self._figures(
            by_work, lambda one: one.cpu_s / self.threads
        )

    def _figures(self, group: str, seconds: Callable[[Timing], float]) -> list[Figure]:
        def figure(name: str, timing: Timing, share: float = 1) -> Figure:
            return Figure(group, name, 1000 * seconds(timing) / share, "ms")

        audio_s, per = self.audio_s, f"{self.codes} codes"
        return [
            figure(f"prefill of {PREFILL} positions", self.prefill),
            *(
                figure(f"decode, a code of {rows} at once, {depth} before it", one, rows)
                for (rows, depth), one in self.decode.items()
            ),
            figure(f"latent pass over {per}", self.latents),
            figure(f"length regulator over {per}", self.regulator),
            figure(f"a guided solver step over {per} and the prompt", self.step),
            figure("the same without guidance", self.unguided_step),
            figure("vocoder, per second of audio", self.vocoder, audio_s),
            *(
                Figure(group, f"real-time factor of {audio_s:.0f} s at {steps} steps, sum", one, "")
                for steps in STEPS
                for one in [self._factor(steps, seconds)]
            ),
        ]

    def _factor(self, steps: int, seconds: Callable[[Timing], float]) -> float:
        """Seconds of work per second of audio, one utterance alone."""
        alone = [seconds(one) for (rows, _), one in self.decode.items() if rows == 1]
        decoding = self.codes * sum(alone) / len(alone)
        once = (self.prefill, self.latents, self.regulator, self.vocoder)
        return (decoding + steps * seconds(self.step) + sum(map(seconds, once))) / self.audio_s


def measure_stages(home: Home, variant: Variant, extent: Extent) -> Stages:
    """Load the model and run its stages one by one."""
    model = IndexTts.load(home.instance(variant.precision), variant.options())
    few = max(1, extent.rounds // 10)
    acoustics, codes = model.acoustics, min(extent.stage_codes, model.gpt.longest)
    voice, random = model.voices.voice(VOICE), np.random.default_rng(0)
    latents = random.standard_normal((codes, model.gpt.sizes.width), np.float32)
    features = acoustics.features(latents, random.integers(0, len(acoustics.tables.semantic_table), codes).tolist())
    condition = acoustics.regulator(features, frames_of(codes))
    prompt, prompt_mel = voice.prompt[-acoustics.prompt_frames :], voice.mel[:, -acoustics.prompt_frames :]
    mu, mel = np.concatenate([prompt, condition]), random.standard_normal((len(voice.mel), len(condition)), np.float32)
    noise = np.concatenate([np.zeros_like(prompt_mel), mel], axis=1)

    def step(cfg: float) -> object:
        return acoustics.flow.solve(mu, prompt_mel, voice.style, noise, steps=1, cfg=cfg)

    prefill, decode, second = measure_gpt(model.gpt, extent, codes)
    return Stages(
        prefill=prefill,
        decode=decode,
        codes=codes,
        latents=second,
        regulator=timed(lambda: acoustics.regulator(features, frames_of(codes)), few),
        step=timed(lambda: step(0.7), few),
        unguided_step=timed(lambda: step(0.0), few),
        vocoder=timed(lambda: acoustics.vocoder(mel - 5), few),
        frames_per_s=acoustics.frames_per_s,
        threads=count_threads(variant.threads),
    )


def measure_gpt(gpt: Gpt, extent: Extent, codes: int) -> tuple[Timing, dict[tuple[int, int], Timing], Timing]:
    """Prefill, decoding of one and several rows at depths, and the latent pass over so many codes."""
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
        (rows, depth): timed(lambda rows=rows, depth=depth: run(rows, 1, depth), extent.rounds)  # type: ignore[misc]
        for rows in (1, extent.at_once)
        for depth in extent.depths
    }
    few = max(1, extent.rounds // 10)
    prefill = timed(lambda: run(1, PREFILL, PREFILL), few)
    return prefill, decode, timed(lambda: run(1, codes, PREFILL + codes), few)
