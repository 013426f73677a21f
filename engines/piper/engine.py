"""The engine behind kind `piper`: requests in, audio out, a sentence at a time.

Runs in a worker process. One thread spells texts, as many as there are slots compute. Knows nothing about HTTP, routing
or how the worker is driven.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

from engines.contract import AudioChunk, EngineInfo, Instance, SpeechRequest
from engines.errors import InvalidRequest, Unavailable, Unsupported, near_names
from engines.piper import describe, folder_of
from engines.piper.description import Description, Scales, Speaker
from engines.piper.languages import cut, has_han, has_letters, has_words
from engines.piper.options import PiperOptions
from engines.piper.shelf import Entry, Shelf
from engines.piper.studio import Studio

logger = logging.getLogger("voxgate.piper")

_SPEED_MIN, _SPEED_MAX = 0.25, 4.0
#: languages whose voices of espeak-ng read Han characters
_READ_HAN = frozenset({"zh", "yue"})


class PiperEngine:
    """Speaks with all voices of its folder, up to `info.slots` requests at once."""

    def __init__(self, instance: Instance, options: PiperOptions) -> None:
        self._instance, self._options = instance, options
        self._shelf = Shelf(folder_of(instance, options))
        self._info = describe(instance, options, shelf=self._shelf)
        self._starting = asyncio.Lock()
        self._studio: Studio | None = None

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def loaded(self) -> tuple[str, ...]:
        """The voices in memory, who spoke last at the end."""
        return self._studio.loaded if self._studio else ()

    async def start(self) -> None:
        """Look what there is, and say why a voice cannot speak; voices are loaded when they are asked for."""
        async with self._starting:
            if self._studio is None:
                self._look()
                for entry in self._shelf.entries().values():
                    if entry.problem:
                        logger.warning("%s: the voice %s stays out: %s", self._instance.name, entry.name, entry.problem)
                self._studio = Studio(self._options, self._info.slots)

    async def check(self) -> None:
        """Voices that came or went since are known from then on."""
        if self._studio is None:
            raise Unavailable("piper is not started")
        await asyncio.to_thread(self._look)

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        """Speak; audio comes sentence by sentence. Raises Unsupported, InvalidRequest, EngineFault and Unavailable."""
        entry, description, speaker = self._choose(request)
        parts = _parts(request, description, speaker)
        if (studio := self._studio) is None:
            raise Unavailable("piper is not started")
        options, own = self._options, description.scales
        scales = Scales(
            own.noise if options.noise is None else options.noise,
            (own.length if options.length is None else options.length) / request.speed,
            own.noise_w if options.noise_w is None else options.noise_w,
        )
        async with aclosing(studio.speak(entry, description, parts, scales)) as sentences:
            async for pcm in sentences:
                yield AudioChunk(pcm, description.sample_rate)

    async def close(self) -> None:
        """Stop what speaks (its listeners get Unavailable) and free the voices."""
        async with self._starting:
            studio, self._studio = self._studio, None
            if studio is not None:
                await studio.close()

    def _look(self) -> None:
        self._info = describe(self._instance, self._options, shelf=self._shelf)

    def _choose(self, request: SpeechRequest) -> tuple[Entry, Description, Speaker | None]:
        """The voice; the speaker where one was asked for, or where the voice has one phonemiser for all of them."""
        if not (math.isfinite(request.speed) and _SPEED_MIN <= request.speed <= _SPEED_MAX):
            raise InvalidRequest(f"speed must be between {_SPEED_MIN} and {_SPEED_MAX}", param="speed")
        if request.markup != "plain":
            raise Unsupported("Piper's voices take no markup")
        if not has_words(request.text):
            raise InvalidRequest("there is nothing to say: the text has no letter and no digit", param="input")
        wanted = request.voice or self._info.default_voice(request.language, request.gender)
        if not wanted:
            raise Unsupported(f"no voice in {self._shelf.folder.name} speaks {request.language!r}", param="language")
        name, _, speaker_name = wanted.partition(":")
        entry = self._shelf.known.get(name)
        if entry is not None and entry.problem:
            raise Unsupported(f"the voice {name!r} cannot speak: {entry.problem}", param="voice")
        speaker = entry.choose(speaker_name) if entry else None
        if entry is None or entry.description is None or speaker is None:
            names = near_names(wanted, [voice.id for voice in self._info.voices])
            raise Unsupported(f"there is no voice {wanted!r} for this engine; {names}", param="voice")
        description = entry.description
        both = description.phonemiser_per_speaker and not speaker_name
        languages = description.languages if both else (speaker.language,)
        if request.language and any(languages) and request.language not in languages:
            raise Unsupported(
                f"the voice {wanted!r} speaks {' and '.join(languages)}, not {request.language!r}", param="voice"
            )
        return entry, description, None if both else speaker


def _parts(request: SpeechRequest, voice: Description, speaker: Speaker | None) -> list[tuple[Speaker, str]]:
    """Who says what. Raises Unsupported where a part of the text would be left out."""
    if speaker is not None:
        parts = [(speaker, request.text)]
    else:
        parts = [
            (_speaker_of(voice, language, request.language), text)
            for language, text in cut(request.text, request.language)
        ]
    for one, text in parts:
        if one.phonemes == "pinyin" and has_letters(text):
            raise Unsupported(f"the speaker {one.name!r} reads Han characters only, and the text has other letters")
        if one.phonemes == "espeak" and one.language not in _READ_HAN and has_han(text):
            raise Unsupported(
                f"the speaker {one.name!r} does not read Han characters; for Mandarin give the language zh"
            )
    return parts


def _speaker_of(voice: Description, language: str, wanted: str) -> Speaker:
    """For Han the one who speaks Mandarin, for letters who speaks the language asked for, or else another one."""
    able = [one for one in voice.speakers if (one.language == "zh") == (language == "zh")]
    return next((one for one in able if one.language == wanted), able[0] if able else voice.speakers[0])
