"""A plugin whose engine does what the text of a request says. Loaded by real worker processes, by entry point.

Each request leaves lines in `journal` under the data directory: `begin TEXT`, `end TEXT`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from engines.contract import AudioChunk, EngineInfo, EngineKind, Instance, Mark, Options, SpeechRequest
from engines.errors import EngineFault, Throttled, Unavailable
from engines.hooks import hookimpl

RATE_HZ = 16000
CHUNK = AudioChunk(b"\x01\x02" * 160, RATE_HZ)
FLOOD_BYTES = 1 << 16


class DrillOptions(Options):
    start: Literal["well", "refuse", "bug", "die", "exit", "wait"] = "well"
    slots: int = 2
    key_env: str = ""


class DrillEngine:
    def __init__(self, instance: Instance, options: DrillOptions) -> None:
        self._home = instance.data_dir
        self._options = options
        self._hoard: list[bytes] = []
        self.info = EngineInfo(
            any_voice=True, languages=frozenset({"en"}), slots=instance.slots or options.slots, version=instance.name
        )

    async def start(self) -> None:
        match self._options.start:
            case "refuse":
                raise Unavailable("the model is not there: run `voxgate models pull drill`")
            case "bug":
                raise ZeroDivisionError("one over nothing")
            case "die":
                print("libdrill: illegal instruction, sorry", file=sys.stderr)
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                sys.exit("the library says goodbye")
            case "wait":
                await self._until("go")

    async def check(self) -> None:
        if (self._home / "ill").exists():
            raise Unavailable("feels ill")

    async def close(self) -> None:
        self._write("closed")

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        self._write(f"begin {request.text}")
        try:
            async for chunk in self._act(request):
                yield chunk
        finally:
            self._write(f"end {request.text}")

    async def _act(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        verb, _, rest = request.text.partition(" ")
        match verb:
            case "say":
                for _ in range(int(rest)):
                    yield CHUNK
            case "echo":
                yield AudioChunk(repr(request).encode("utf-16-le"), RATE_HZ)
            case "big":
                yield AudioChunk(bytes(range(256)) * int(rest), RATE_HZ, (Mark("word", "big", 0.0, 1.0),))
            case "marks":
                yield replace(CHUNK, marks=(Mark("word", "你好", 0.0, 0.5),))
            case "hold":  # one chunk, then silence for ever
                yield CHUNK
                await asyncio.Event().wait()
            case "cling":  # one chunk, and no end when it is closed until the file is there
                try:
                    yield CHUNK
                    await asyncio.Event().wait()
                finally:
                    await self._until(rest)
            case "mute":  # silence from the beginning
                await asyncio.Event().wait()
            case "until":  # a chunk, and the last one when the file is there
                yield CHUNK
                await self._until(rest)
                yield CHUNK
            case "flood":
                made = 0
                while True:
                    made += FLOOD_BYTES
                    (self._home / "made").write_text(str(made))
                    yield AudioChunk(bytes(FLOOD_BYTES), RATE_HZ)
            case "die":
                yield CHUNK
                await asyncio.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)
            case "block":
                yield CHUNK
                time.sleep(600)  # noqa: ASYNC251
            case "grow":
                yield CHUNK
                self._hoard.append(b"\x01" * (int(rest) << 20))
                await self._until("go")
                yield CHUNK
            case "swell":  # beyond all bounds, were it not for the last one
                yield CHUNK
                for _ in range(60):
                    self._hoard.append(b"\x01" * (20 << 20))
                    await asyncio.sleep(0.1)
                yield CHUNK
            case "print":
                print(rest, file=sys.stderr)
                print("on stdout", flush=True)
                os.write(2, b"from C\n")
                yield CHUNK
            case "chatter":
                for number in range(int(rest)):
                    print("x" * 5000, number)
                yield CHUNK
            case "learn":
                self.info = replace(self.info, languages=self.info.languages | {rest})
                yield CHUNK
            case "odd":
                yield AudioChunk(b"\x01\x02\x03", RATE_HZ)
            case "rates":
                yield CHUNK
                yield replace(CHUNK, sample_rate=8000)
            case "gaps":
                yield replace(CHUNK, pcm=b"")
                yield CHUNK
                yield replace(CHUNK, pcm=b"")
            case "nothing":
                yield replace(CHUNK, pcm=b"")
            case "array":
                yield replace(CHUNK, pcm=bytearray(4))  # type: ignore[arg-type]
            case "bug":
                yield CHUNK
                raise LookupError("no such\nphoneme " + "x" * 1000)
            case "exit":
                sys.exit(3)
            case "cancel":
                raise asyncio.CancelledError
            case "throttle":
                raise Throttled("slow down", retry_after_s=7.5)
            case "fault":
                yield CHUNK
                raise EngineFault("the vocoder tripped")
            case "env":
                yield AudioChunk(os.environ.get(rest, "none").encode("utf-16-le"), RATE_HZ)

    async def _until(self, name: str) -> None:
        while not (self._home / name).exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.005)

    def _write(self, line: str) -> None:
        with Path(self._home / "journal").open("a") as journal:
            journal.write(line + "\n")


KIND = EngineKind("drill", DrillOptions, DrillEngine, "does what it is told", "Apache-2.0")


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    return [KIND]
