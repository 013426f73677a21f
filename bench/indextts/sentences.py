"""What a listener has of the engine: first audio, real-time factor, one request and several at once, peak memory.

The engine itself, as the gateway's worker has it, without HTTP. Random weights say as many codes as they may, so the
number of codes makes the length of the audio. Knows nothing about the engine's inside.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.indextts.home import VOICE, Home
from bench.indextts.variant import Extent, Variant
from bench.report import Figure
from engines.contract import Engine, SpeechRequest
from engines.indextts import create

FIRST_AUDIO_AIM_S = 4.0
RATIO_AIM = 1.8
MEMORY_AIM_MB = 4096.0


@dataclass(frozen=True, slots=True)
class Spoken:
    """One request's answer."""

    first_s: float  # from the request to the first chunk
    whole_s: float  # to the last one
    audio_s: float
    late_s: float  # what a listener who began with the first chunk has waited in between


@dataclass(frozen=True, slots=True)
class Sentences:
    """Of the engine as it is configured."""

    started_s: float
    streamed: list[Spoken]
    together: list[Spoken]  # all at once
    together_s: float
    worked_s: float  # processor time of all that was streamed, one after the other
    together_worked_s: float
    loaded_mb: float
    peak_mb: float
    anonymous_mb: float

    def figures(self, group: str) -> list[Figure]:
        one = _median(self.streamed, "whole_s") / self.streamed[0].audio_s
        several = self.together_s / sum(one.audio_s for one in self.together)
        count, audio_s = len(self.together), self.streamed[0].audio_s
        return [
            Figure(group, "until it is loaded and warm", self.started_s, "s"),
            Figure(group, "first audio of 20 characters", _median(self.streamed, "first_s"), "s", FIRST_AUDIO_AIM_S),
            Figure(group, f"real-time factor of {audio_s:.1f} s, streamed in pieces", one, ""),
            Figure(group, "a listener waits amid that", _median(self.streamed, "late_s"), "s"),
            Figure(group, f"real-time factor, {count} requests at once", several, ""),
            Figure(group, f"throughput of {count} at once over that of one", one / several, "", RATIO_AIM, least=True),
            Figure(group, "the same by processor time", self._less_work(), ""),
            Figure(group, f"first audio, the last of {count}", max(one.first_s for one in self.together), "s"),
            Figure(group, "memory, loaded and warm", self.loaded_mb, "MB"),
            Figure(group, "memory, peak", self.peak_mb, "MB", MEMORY_AIM_MB),
            Figure(group, "memory at the end, without mapped files", self.anonymous_mb, "MB"),
        ]

    def _less_work(self) -> float:
        """How much less a second of audio takes among several, whatever else the machine does."""
        one, several = (sum(spoken.audio_s for spoken in some) for some in (self.streamed, self.together))
        return (self.worked_s / one) / (self.together_worked_s / several)


def measure_sentences(home: Home, variant: Variant, extent: Extent, steps: int) -> Sentences:
    """Start the engine and let it speak. To be called in a process of its own: its memory is the process's."""
    return asyncio.run(_measure(home, variant, extent, steps))


async def _measure(home: Home, variant: Variant, extent: Extent, steps: int) -> Sentences:
    options = variant.options(steps=steps, max_codes=extent.sentence_codes)
    engine = create(home.instance(variant.precision), options)
    began_s = time.perf_counter()
    await engine.start()
    started_s, loaded_mb = time.perf_counter() - began_s, resident_mb()
    worked_s = -time.process_time()
    streamed = [await speak(engine, extent.text, seed) for seed in range(extent.repeats)]
    worked_s += time.process_time()
    began_s, together_worked_s = time.perf_counter(), -time.process_time()
    together = await asyncio.gather(*(speak(engine, extent.text, seed) for seed in range(extent.at_once)))
    together_s, together_worked_s = time.perf_counter() - began_s, together_worked_s + time.process_time()
    peak_mb, anonymous_mb = highest_mb(), anonymous()
    await engine.close()
    times = (together_s, worked_s, together_worked_s)
    return Sentences(started_s, streamed, together, *times, loaded_mb, peak_mb, anonymous_mb)


async def speak(engine: Engine, text: str, seed: int) -> Spoken:
    """One request, and when what of it came."""
    began_s = time.perf_counter()
    first_s = audio_s = late_s = 0.0
    async for chunk in engine.synthesize(SpeechRequest(text, "zh", VOICE, seed=seed)):
        now_s = time.perf_counter() - began_s
        first_s = first_s or now_s
        late_s += max(0.0, now_s - (first_s + audio_s + late_s))
        audio_s += chunk.seconds
    return Spoken(first_s, time.perf_counter() - began_s, audio_s, late_s)


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


def _median(spoken: list[Spoken], what: str) -> float:
    return statistics.median(getattr(one, what) for one in spoken)
