"""Where voices speak: one thread spells texts, as many as there are slots compute, and voices are loaded as needed.

Knows nothing about requests, nor which voice was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

from engines.errors import SpeechError, Unavailable, Unsupported
from engines.piper.description import Description, Scales, Speaker
from engines.piper.network import Network, Stop
from engines.piper.options import PiperOptions
from engines.piper.room import Room
from engines.piper.shelf import Entry
from engines.piper.symbols import Ids, Speller
from models.session import count_threads

#: what a loaded voice takes: its weights, as they are and as the processor likes them, and what it computes with. A
#: voice of 14 MB in 8 bit took 80 MB loaded, and 100 after a sentence of 240 symbols
_WEIGHTS, _WORKING_BYTES = 3, 48 * 1024 * 1024
#: what a speaker's loudness is measured with; a voice for letters says those that it knows
_MEASURED = {"espeak": "1 2 3 4 5 6 7 8 9 10.", "pinyin": "一二三四五六七八九十。"}
_MOST_LETTERS = 24

_T = TypeVar("_T")


class Studio:
    """Open from the first moment until `close`."""

    def __init__(self, options: PiperOptions, slots: int) -> None:
        self._threads = count_threads(None if options.threads == "auto" else options.threads)
        self._loudness_dbfs = options.loudness_dbfs
        self._room: Room[Network] = Room(options.memory_mb * 1024 * 1024, options.voice_idle_s)
        self._speller = Speller()
        self._spelling = ThreadPoolExecutor(1, "piper-spelling")
        self._computing = ThreadPoolExecutor(slots, "piper")
        self._stops: set[Stop] = set()
        self._closed = False

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the voices in memory, who spoke last at the end."""
        return tuple(key.partition(" ")[0] for key in self._room.loaded)

    async def speak(
        self, entry: Entry, voice: Description, parts: list[tuple[Speaker, str]], scales: Scales
    ) -> AsyncGenerator[bytes, None]:
        """PCM of each sentence. Raises Unsupported, EngineFault and Unavailable."""
        sentences = [(speaker.id, ids) for speaker, text in parts for ids in await self._spell(voice, speaker, text)]
        if not sentences:
            raise Unsupported(f"the voice {entry.name!r} can read nothing of this text")

        async def load() -> Network:
            return await self._on(
                self._computing, Network, entry.path, voice.sample_rate, self._threads, self._loudness_dbfs
            )

        size_bytes = _WEIGHTS * entry.size_bytes + _WORKING_BYTES
        async with self._room.lend(f"{entry.name} {entry.digest}", size_bytes, load) as network:
            for speaker in {one.id: one for one, _ in parts}.values():
                await self._measure(network, voice, speaker)
            stop = Stop()
            self._stops.add(stop)
            work = self._begin(network.speak, *sentences[0], scales, stop)
            try:
                for following in (*sentences[1:], None):
                    pcm = await self._finish(work)
                    if following is not None:  # computed while this one is heard
                        work = self._begin(network.speak, *following, scales, stop)
                    yield pcm
            finally:
                self._stops.discard(stop)
                stop()
                await asyncio.wait([work])  # until the graph's next node
                work.exception()  # nobody asks for it any more

    async def close(self) -> None:
        """Break off what is spoken, whose listeners get Unavailable, and forget the voices."""
        self._closed = True
        for stop in self._stops:
            stop()
        self._room.close()
        await asyncio.get_running_loop().run_in_executor(self._spelling, self._speller.close)
        self._spelling.shutdown()
        await asyncio.to_thread(self._computing.shutdown)

    async def _spell(self, voice: Description, speaker: Speaker, text: str) -> list[Ids]:
        return await self._on(self._spelling, self._speller.spell, voice, speaker, text)

    async def _measure(self, network: Network, voice: Description, speaker: Speaker) -> None:
        """Have the network know how loud the speaker is, once."""
        if network.measured(speaker.id):
            return
        letters = "".join(sorted(symbol for symbol in voice.ids if len(symbol) == 1 and symbol.isalpha()))
        spelt = await self._spell(voice, speaker, _MEASURED.get(speaker.phonemes, letters[:_MOST_LETTERS]))
        if spelt:
            await self._on(self._computing, network.measure, spelt[0], speaker.id, voice.scales)

    def _begin(
        self, speak: Callable[..., bytes], speaker: int, ids: Ids, scales: Scales, stop: Stop
    ) -> asyncio.Future[bytes]:
        self._require_open()
        return asyncio.get_running_loop().run_in_executor(self._computing, speak, ids, speaker, scales, stop)

    async def _finish(self, work: asyncio.Future[bytes]) -> bytes:
        await asyncio.wait([work])  # a listener who leaves cancels the waiting, and not the work
        try:
            return work.result()
        except SpeechError:
            self._require_open()
            raise

    async def _on(self, threads: Executor, do: Callable[..., _T], *arguments: object) -> _T:
        self._require_open()
        return await asyncio.get_running_loop().run_in_executor(threads, do, *arguments)

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable("piper was closed")
