"""The engine behind kind `espeak`: as many private copies of the library as there are slots, one thread each.

Runs in a worker process. Knows nothing about HTTP, routing or how the worker is driven.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator

from engines.contract import AudioChunk, EngineInfo, Instance, SpeechRequest
from engines.errors import InvalidRequest, Unavailable
from engines.espeak import EspeakOptions, describe
from engines.espeak.binding import Library
from engines.espeak.handover import Handover
from engines.espeak.speaker import Speaker, Utterance
from engines.espeak.text import clean, parse_ssml, require_speakable
from engines.espeak.voices import Catalogue
from engines.phonemes.espeak import locate

#: chunks that may wait for a listener: enough to be ahead, little enough to stop soon
_AHEAD_CHUNKS = 4
_SPEED_MIN, _SPEED_MAX = 0.1, 10.0
_SELF_TEST = (("zh", "今天天气很好"), ("yue", "今日天氣好好"))


class EspeakEngine:
    """Speaks up to `info.slots` requests at once; a further one waits for a free library."""

    def __init__(self, instance: Instance, options: EspeakOptions) -> None:
        self._instance = instance
        self._options = options
        self._catalogue = Catalogue.load()
        self._info = describe(instance, options, catalogue=self._catalogue)
        self._starting = asyncio.Lock()
        self._speakers: list[Speaker] = []
        self._free: asyncio.Queue[Speaker | None] = asyncio.Queue()  # None: closed
        self._streams: set[Handover] = set()
        self._busy: set[asyncio.Future[None]] = set()

    @property
    def info(self) -> EngineInfo:
        return self._info

    async def start(self) -> None:
        """Load the libraries and see that Han characters are read as Chinese. Raises Unavailable."""
        async with self._starting:
            if self._speakers:
                return
            path, data = locate()
            speakers = [Speaker(f"{self._instance.name or 'espeak'}-{number}") for number in range(self._info.slots)]
            loop = asyncio.get_running_loop()
            try:
                for speaker in speakers:  # one after the other: loading touches the locale of the process
                    library = await loop.run_in_executor(speaker.thread, speaker.load, path, data)
                await loop.run_in_executor(speakers[0].thread, self._require_chinese, speakers[0])
            except BaseException:
                await _unload(speakers)
                raise
            self._info = describe(
                self._instance, self._options, catalogue=self._catalogue, sample_rate=library.sample_rate
            )
            self._speakers, self._free = speakers, asyncio.Queue()
            for speaker in speakers:
                self._free.put_nowait(speaker)

    async def check(self) -> None:
        if not self._speakers:
            raise Unavailable("espeak-ng is not started")

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        """Speak; chunks of 200 ms or so, the first shorter, with the words that ended.

        Raises Unsupported and InvalidRequest.
        """
        utterance = self._utterance(request)
        await self.check()
        free = self._free
        speaker = await free.get()
        if speaker is None:
            free.put_nowait(None)  # for the next one who waits
            raise Unavailable("espeak-ng was closed")
        handover = Handover(_AHEAD_CHUNKS)
        work = asyncio.get_running_loop().run_in_executor(speaker.thread, speaker.speak, utterance, handover)
        self._streams.add(handover)
        self._busy.add(work)
        # in a callback, so that the library comes back even if the wait below is cancelled
        work.add_done_callback(lambda done: self._give_back(free, speaker, done))
        try:
            while (chunk := await handover.get()) is not None:
                yield chunk
        finally:
            self._streams.discard(handover)
            handover.close()
            await asyncio.wait([work])  # the thread stops at its next buffer, within a millisecond or so

    async def close(self) -> None:
        """Stop what speaks (its listeners get Unavailable) and free the libraries."""
        async with self._starting:
            speakers, self._speakers = self._speakers, []
            for stream in list(self._streams):
                stream.close(Unavailable("espeak-ng was closed while it spoke"))
            if self._busy:
                await asyncio.wait(set(self._busy))
            self._free.put_nowait(None)
            await _unload(speakers)

    def _give_back(self, free: asyncio.Queue[Speaker | None], speaker: Speaker, done: asyncio.Future[None]) -> None:
        self._busy.discard(done)
        if self._speakers:
            free.put_nowait(speaker)

    def _utterance(self, request: SpeechRequest) -> Utterance:
        chosen = self._catalogue.choose(request.language, request.voice, request.gender)
        if not (math.isfinite(request.speed) and _SPEED_MIN <= request.speed <= _SPEED_MAX):
            raise InvalidRequest(f"speed must be between {_SPEED_MIN} and {_SPEED_MAX}", param="speed")
        text = words = clean(request.text)
        if request.markup == "ssml":
            text, words = parse_ssml(text)
        require_speakable(words)
        chosen.require_readable(words)
        return Utterance(
            # markup cannot be cut at its words: an element may reach over them
            parts=((chosen.name_for(words), text),) if request.markup == "ssml" else chosen.parts(text),
            ssml=request.markup == "ssml",
            rate_wpm=self._options.rate_wpm * request.speed,
            pitch=self._options.pitch,
            volume=self._options.volume,
            word_gap_ms=self._options.word_gap_ms,
        )

    def _require_chinese(self, speaker: Speaker) -> None:
        """The phonemes of pure Han text must be there, none of them English: sound alone would not tell."""
        if speaker.espeak is None:
            raise Unavailable("espeak-ng is not loaded")
        for language, text in _SELF_TEST:
            require_han_phonemes(speaker.espeak, self._catalogue.choose(language, "", "").name, text)


def require_han_phonemes(library: Library, voice: str, text: str) -> None:
    """Raises Unavailable when a voice reads Han `text` as English or not at all."""
    library.set_voice(voice)
    phonemes = "".join(library.phonemes(text)).strip()
    if not phonemes or "(en)" in phonemes:
        raise Unavailable(
            f"this espeak-ng ({library.version}) reads Han characters as English with the voice {voice!r}; "
            "install espeakng-loader 0.2.4 or later (espeak-ng 1.52)"
        )


async def _unload(speakers: list[Speaker]) -> None:
    loop = asyncio.get_running_loop()
    for speaker in speakers:
        await loop.run_in_executor(speaker.thread, speaker.unload)
        speaker.thread.shutdown(wait=False)
