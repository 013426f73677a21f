"""What a listener has of the engine: first audio, real-time factor, one request and several at once, peak memory.

The engine itself, as the gateway's worker has it, without HTTP. Random weights say as many codes as they may, so the
number of codes makes the length of the audio. Knows nothing about the engine's inside.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.indextts.clock import Timing, timer
from bench.indextts.home import VOICE, Home
from bench.indextts.variant import Extent, Variant
from bench.report import Figure
from engines.contract import Engine, SpeechRequest
from engines.indextts import create
from models.session import count_threads

FIRST_AUDIO_AIM_S = 4.0
RATIO_AIM = 1.8
MEMORY_AIM_MB = 4096.0


@dataclass(frozen=True, slots=True)
class Spoken:
    """One request's answer."""

    first: Timing  # from the request to the first chunk
    whole: Timing  # to the last one
    audio_s: float
    late_s: float  # what a listener who began with the first chunk has waited in between


@dataclass(frozen=True, slots=True)
class Sentences:
    """Of the engine as it is configured."""

    started_s: float
    single: list[Spoken]  # one after the other
    together: list[Spoken]  # all at once
    together_took: Timing
    loaded_mb: float
    peak_mb: float
    anonymous_mb: float
    threads: int

    def figures(self, group: str) -> list[Figure]:
        """By the clock, and by the time that processors worked: as in `stages`."""
        waits_s = statistics.median(one.late_s for one in self.single)
        return [
            Figure(group, "until it is loaded and warm", self.started_s, "s"),
            *self._figures(group, lambda timing: timing.quickest_s),
            Figure(group, "a listener waits amid one request", waits_s, "s"),
            Figure(group, "first audio, the last of them", max(one.first.quickest_s for one in self.together), "s"),
            Figure(group, "memory, loaded and warm", self.loaded_mb, "MB"),
            Figure(group, "memory, peak", self.peak_mb, "MB", MEMORY_AIM_MB),
            Figure(group, "memory at the end, without mapped files", self.anonymous_mb, "MB"),
            *self._figures(
                f"{group}: processor time over {self.threads} threads", lambda timing: timing.cpu_s / self.threads
            ),
        ]

    def _figures(self, group: str, seconds: Callable[[Timing], float]) -> list[Figure]:
        count, audio_s = len(self.together), self.single[0].audio_s
        first_s = statistics.median(seconds(one.first) for one in self.single)
        single = statistics.median(seconds(one.whole) / one.audio_s for one in self.single)
        several = seconds(self.together_took) / sum(one.audio_s for one in self.together)
        return [
            Figure(group, "first audio of 20 characters", first_s, "s", FIRST_AUDIO_AIM_S),
            Figure(group, f"real-time factor of {audio_s:.1f} s, streamed in pieces", single, ""),
            Figure(group, f"real-time factor, {count} requests at once", several, ""),
            Figure(
                group, f"throughput of {count} at once over that of one", single / several, "", RATIO_AIM, least=True
            ),
        ]


def measure_sentences(home: Home, variant: Variant, extent: Extent, steps: int) -> Sentences:
    """Start the engine and let it speak. To be called in a process of its own: its memory is the process's."""
    return asyncio.run(_measure(home, variant, extent, steps))


async def _measure(home: Home, variant: Variant, extent: Extent, steps: int) -> Sentences:
    options = variant.options(steps=steps, max_codes=extent.sentence_codes, unfinished="keep")
    engine = create(home.instance(variant.precision), options)
    start = timer()
    await engine.start()
    started_s, loaded_mb = start().quickest_s, resident_mb()
    single = [await speak(engine, extent.text, seed) for seed in range(extent.repeats)]
    all_of_them = timer()
    together = await asyncio.gather(*(speak(engine, extent.text, seed) for seed in range(extent.at_once)))
    took, peak_mb, anonymous_mb = all_of_them(), highest_mb(), anonymous()
    await engine.close()
    threads = count_threads(variant.threads)
    return Sentences(started_s, single, together, took, loaded_mb, peak_mb, anonymous_mb, threads)


async def speak(engine: Engine, text: str, seed: int) -> Spoken:
    """One request, and when what of it came. Of several at once, the processor's time is that of all."""
    so_far, first, audio_s, late_s = timer(), None, 0.0, 0.0
    async for chunk in engine.synthesize(SpeechRequest(text, "zh", VOICE, seed=seed)):
        now = so_far()
        first = first or now
        late_s += max(0.0, now.quickest_s - (first.quickest_s + audio_s + late_s))
        audio_s += chunk.seconds
    assert first
    return Spoken(first, so_far(), audio_s, late_s)


def resident_mb() -> float:
    rss: int = psutil.Process().memory_info().rss
    return rss / 2**20


def highest_mb() -> float:
    """The most that was ever resident, mapped weights among it."""
    return _status_mb("VmHWM") or resident_mb()


def anonymous() -> float:
    """What no file stands behind, so that nobody can have it meanwhile."""
    return _status_mb("RssAnon")


def _status_mb(name: str) -> float:
    """Linux, proc_pid_status(5); 0 elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)
