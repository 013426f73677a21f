"""Little engines for tests of what stands around engines: each does exactly what its script says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from engines.contract import AudioChunk, EngineInfo, SpeechRequest, Voice

RATE_HZ = 8000


def chunk(ms: int = 20, value: int = 1000) -> AudioChunk:
    """A piece of constant PCM, told apart by its value."""
    return AudioChunk(value.to_bytes(2, "little", signed=True) * (RATE_HZ * ms // 1000), RATE_HZ)


class Scripted:
    """Plays a list of acts for each request: a chunk is given, a number slept (seconds), an exception raised.

    `scripts` are used in turn, the last one again and again. `open` counts streams that were begun and not closed.
    """

    def __init__(self, *scripts: Sequence[AudioChunk | float | Exception], info: EngineInfo | None = None) -> None:
        self.info = info or EngineInfo(any_voice=True, any_language=True, slots=8)
        self._scripts = list(scripts) or [[chunk()]]
        self.requests: list[SpeechRequest] = []
        self.open = 0

    async def start(self) -> None: ...
    async def check(self) -> None: ...
    async def close(self) -> None: ...

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        self.requests.append(request)
        self.open += 1
        try:
            for act in script:
                if isinstance(act, Exception):
                    raise act
                if isinstance(act, AudioChunk):
                    yield act
                else:
                    await asyncio.sleep(act)
        finally:
            self.open -= 1


def info(*languages: str, voices: Sequence[str] = (), **more: object) -> EngineInfo:
    """An engine whose voices all speak these languages."""
    own = tuple(Voice(voice, languages, RATE_HZ, "male") for voice in voices)
    return EngineInfo(voices=own, languages=frozenset(languages), **more)  # type: ignore[arg-type]
