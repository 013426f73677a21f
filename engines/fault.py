"""Kind `fault`: wraps another kind and breaks on purpose, for operators' drills and for tests.

    drill: {kind: fault, of: {kind: tone}, mode: cut, after_s: 0.4}

It takes every voice and language that the wrapped kind takes. The fault strikes once `after_s` seconds of audio were
given, or at the end of a shorter speech. Knows nothing about who restarts or replaces it: what becomes of the
fault is what a drill is there to find out.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from engines.contract import AudioChunk, Engine, EngineInfo, EngineKind, Instance, Missing, Options, SpeechRequest
from engines.errors import EngineFault, Unavailable
from engines.hooks import hookimpl

Mode = Literal["refuse", "slow", "hang", "crash", "cut", "empty", "leak", "hold_gil"]

#: these harm the whole process that they run in, so the gateway's own process refuses them
NEED_A_WORKER: frozenset[Mode] = frozenset({"crash", "leak", "hold_gil"})
SLOW_S = 3.0
#: "for ever", bounded so that a forgotten worker ends some day
FOR_EVER_S = 3600.0


class Wrapped(BaseModel):
    """The kind that is wrapped, with that kind's own options beside its name."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str


class FaultOptions(Options):
    """`delay_s`: how long `slow` waits (default 3 s) and `hold_gil` holds (default: for ever)."""

    of: Wrapped = Field(description="the kind that is wrapped, with its options: `{kind: tone}`")
    mode: Mode = Field(description="what goes wrong")
    after_s: Annotated[float, Field(ge=0)] = Field(
        0.0, description="seconds of audio before the fault; `empty` and `leak` ignore it"
    )
    delay_s: Annotated[float, Field(ge=0)] | None = Field(
        None, description="how long `slow` waits (unset: 3 s) and `hold_gil` holds (unset: for ever)"
    )
    leak_mb: Annotated[float, Field(gt=0, le=4096)] = Field(16.0, description="MB kept for each request by `leak`")

    @field_validator("of")
    @classmethod
    def _is_valid_itself(cls, of: Wrapped, info: ValidationInfo) -> Wrapped:
        """Check the wrapped kind's options as well. Where no kinds are given, `create` will."""
        kinds = (info.context or {}).get("kinds")
        if kinds is not None:
            _unwrap(of, kinds)
        return of


class FaultEngine:
    """Speaks as the engine within until the fault strikes."""

    def __init__(self, within: Engine, options: FaultOptions) -> None:
        self._within = within
        self._options = options
        self._leaked: list[bytes] = []

    @property
    def info(self) -> EngineInfo:
        return self._within.info

    async def start(self) -> None:
        await self._within.start()

    async def check(self) -> None:
        await self._within.check()

    async def close(self) -> None:
        self._leaked.clear()
        await self._within.close()

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        """Speak `after_s` seconds, break, and go on where the mode leaves anything to go on with."""
        options = self._options
        if options.mode == "empty":
            return
        struck = options.mode == "leak" or options.after_s == 0
        if struck:
            await self._strike()
        spoken = 0  # samples
        async with aclosing(self._within.synthesize(request)) as chunks:
            async for chunk in chunks:
                border = round(options.after_s * chunk.sample_rate) - spoken
                if not struck and border < chunk.samples:
                    before, chunk = _split(chunk, border, (spoken + border) / chunk.sample_rate)
                    if before.pcm:
                        yield before
                    await self._strike()
                    struck = True
                spoken += chunk.samples
                yield chunk
        if not struck:
            await self._strike()

    async def _strike(self) -> None:
        """Do the harm. Returns where the speech goes on afterwards."""
        delay_s = self._options.delay_s
        match self._options.mode:
            case "refuse":
                raise Unavailable("this engine refuses, as its drill says")
            case "cut":
                raise EngineFault("this engine breaks off, as its drill says")
            case "slow":
                await asyncio.sleep(SLOW_S if delay_s is None else delay_s)
            case "hang":
                await asyncio.Event().wait()
            case "leak":
                await asyncio.to_thread(self._leak)
            case "crash":
                await _audio_is_out()
                os.kill(os.getpid(), signal.SIGKILL)
            case "hold_gil":
                await _audio_is_out()
                _end_with_parent()
                hold_interpreter_lock(FOR_EVER_S if delay_s is None else delay_s)

    def _leak(self) -> None:
        # Bytes other than zero: untouched zero pages would not count as resident.
        self._leaked.append(b"\x01" * int(self._options.leak_mb * 1024 * 1024))


async def _audio_is_out() -> None:
    """Let the worker hand on the audio before the fault: a drill of `after_s` is about what was heard."""
    await asyncio.sleep(0.02)


def _end_with_parent() -> None:
    """A process that holds its lock cannot hear that its gateway is gone: where it can, the kernel ends it then."""
    libc = ctypes.PyDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(ctypes.c_int(1), ctypes.c_ulong(signal.SIGKILL))  # PR_SET_PDEATHSIG, linux/prctl.h


def hold_interpreter_lock(seconds: float) -> None:
    """Stop every thread of this process for so long, as a C library does that never releases the lock.

    `ctypes.PyDLL`, unlike `CDLL`, calls with the lock held. A signal ends one `poll` early, not the holding.
    """
    libc = ctypes.PyDLL(None)
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        libc.poll(None, ctypes.c_ulong(0), ctypes.c_int(int(left_s * 1000) + 1))


def _split(chunk: AudioChunk, samples: int, at_s: float) -> tuple[AudioChunk, AudioChunk]:
    """Two chunks, parted after `samples` samples, which is `at_s` of the whole stream; marks go by their start."""
    rate, pcm = chunk.sample_rate, chunk.pcm
    early = tuple(mark for mark in chunk.marks if mark.start_s < at_s)
    late = tuple(mark for mark in chunk.marks if mark.start_s >= at_s)
    return AudioChunk(pcm[: 2 * samples], rate, early), AudioChunk(pcm[2 * samples :], rate, late)


def _unwrap(of: Wrapped, kinds: Mapping[str, EngineKind]) -> tuple[EngineKind, Options]:
    """The wrapped kind and its options. Raises ValueError, or pydantic's ValidationError with the fields' places."""
    if of.kind == "fault":
        raise ValueError("a fault cannot wrap another fault")
    try:
        kind = kinds[of.kind]
    except KeyError:
        known = ", ".join(sorted(set(kinds) - {"fault"}))
        raise ValueError(f"there is no engine kind {of.kind!r} to wrap; known kinds: {known}") from None
    return kind, kind.options.model_validate(of.model_extra or {}, context={"kinds": kinds})


def create(instance: Instance, options: FaultOptions) -> FaultEngine:
    """Build the wrapped engine too. Raises Unavailable where the mode would take the gateway down with it."""
    if options.mode in NEED_A_WORKER and not instance.in_worker:
        raise Unavailable(f"mode {options.mode!r} harms its whole process: {instance.name} needs `isolation: process`")
    kind, within = _unwrap(options.of, instance.kinds)
    return FaultEngine(kind.create(instance, within), options)


def describe(instance: Instance, options: FaultOptions) -> EngineInfo:
    """What the wrapped kind says of itself."""
    kind, within = _unwrap(options.of, instance.kinds)
    return kind.describe(instance, within) if kind.describe else EngineInfo()


def missing(instance: Instance, options: FaultOptions) -> Missing | None:
    """What the wrapped kind misses."""
    kind, within = _unwrap(options.of, instance.kinds)
    return kind.missing(instance, within) if kind.missing else None


KIND = EngineKind(
    name="fault",
    options=FaultOptions,
    create=create,
    summary="wraps another kind and breaks on purpose, for drills",
    licence="Apache-2.0",
    describe=describe,
    missing=missing,
)


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    return [KIND]
