"""A library and the thread that alone uses it: speaks one utterance at a time into a hand-over.

Knows nothing about requests, voices' languages or slots.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engines.contract import AudioChunk, Mark
from engines.errors import EngineFault, SpeechError, Unsupported
from engines.espeak.binding import RATE_MAX, RATE_MIN, Library, Word
from engines.espeak.handover import Handover
from engines.espeak.timeline import Timeline

#: the library gives some 25 ms at a time, for less than 0.1 ms of work; what a chunk costs on its way to the client is
#: more, so they are gathered: little first, for an early start, then enough that the way hardly counts
FIRST_CHUNK_MS, CHUNK_MS = 40, 200

#: a text in letters that a voice does not know gives 154 samples of silence, which are 7 ms
_NOTHING_S = 0.01


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a library is asked to say. `rate_wpm` may lie outside what the synthesiser does itself."""

    parts: tuple[tuple[str, str], ...]  # the library's name of a voice, and what it says
    ssml: bool
    rate_wpm: float
    pitch: int
    volume: int
    word_gap_ms: int


class Speaker:
    """One slot of the engine. Everything of the library runs on `thread`, a pool of one."""

    def __init__(self, name: str) -> None:
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self.espeak: Library | None = None

    def load(self, path: Path, data: Path) -> Library:
        """On the thread. Raises Unavailable."""
        self.espeak = Library(path, data)
        return self.espeak

    def unload(self) -> None:
        """On the thread."""
        if self.espeak is not None:
            self.espeak.close()
            self.espeak = None

    def speak(self, utterance: Utterance, handover: Handover) -> None:
        """On the thread: fill the hand-over and end it, with an error if there was one; raises nothing."""
        try:
            self._speak(utterance, handover)
        except SpeechError as error:
            handover.end(error)
        except Exception as error:
            handover.end(EngineFault(f"espeak-ng failed: {type(error).__name__}: {error}"))
        else:
            handover.end()

    def _speak(self, utterance: Utterance, handover: Handover) -> None:
        library = self.espeak
        if library is None:
            raise EngineFault("the espeak-ng library is not loaded")
        rate = round(min(max(utterance.rate_wpm, RATE_MIN), RATE_MAX))
        factor = utterance.rate_wpm / rate if not RATE_MIN <= utterance.rate_wpm <= RATE_MAX else 1.0
        # inside markup the positions of words drift, by entities and by prosody: no marks rather than wrong ones
        text = "" if utterance.ssml else "".join(text for _, text in utterance.parts)
        stream = _Stream(library.sample_rate, handover, Timeline(text, 1 / library.sample_rate / factor))
        stretch = library.stretch(factor) if factor != 1.0 else None
        position = sample = samples = 0  # where the part begins in the text and the audio, and the samples so far

        def take(pcm: bytes, words: list[Word]) -> bool:
            nonlocal samples
            samples += len(pcm) // 2
            words = [Word(position + word.position, word.length, sample + word.sample) for word in words]
            return stream.take(stretch.process(pcm) if stretch else pcm, words)

        try:
            for voice, part in utterance.parts:
                library.set_voice(voice)
                library.set_parameters(
                    rate_wpm=rate,
                    pitch=utterance.pitch,
                    volume=utterance.volume,
                    word_gap_10ms=utterance.word_gap_ms // 10,
                )
                library.speak(part, take, ssml=utterance.ssml)
                if handover.closed:
                    return
                position, sample = position + len(part), samples
            if stretch:
                stream.take(stretch.finish(), [])
        finally:
            if stretch:
                stretch.close()
        if not handover.closed:
            stream.finish(factor)


class _Stream:
    """Gathers samples into chunks, one held back so that the last chunk can carry the last marks."""

    def __init__(self, sample_rate: int, handover: Handover, timeline: Timeline) -> None:
        self._sample_rate = sample_rate
        self._handover = handover
        self._timeline = timeline
        self._held = bytearray()
        self._enough = _bytes(FIRST_CHUNK_MS, sample_rate)
        self._marks: list[Mark] = []
        self._samples = 0

    def take(self, pcm: bytes, words: list[Word]) -> bool:
        """False: nobody listens any more."""
        self._marks += self._timeline.advance(words)
        if len(self._held) >= self._enough:
            if not self._release():
                return False
            self._enough = _bytes(CHUNK_MS, self._sample_rate)
        self._held += pcm
        self._samples += len(pcm) // 2
        return not self._handover.closed

    def finish(self, factor: float) -> None:
        """Hand over the rest; the last word ends with the audio. Raises Unsupported when nothing was said."""
        library_samples = round(self._samples * factor)
        if library_samples <= _NOTHING_S * self._sample_rate:
            raise Unsupported("espeak-ng's voice for this language can read nothing of this text")
        self._marks += self._timeline.finish(library_samples)
        self._release()

    def _release(self) -> bool:
        chunk = AudioChunk(bytes(self._held), self._sample_rate, tuple(self._marks))
        self._held.clear()
        self._marks.clear()
        return self._handover.put(chunk)


def _bytes(milliseconds: int, sample_rate: int) -> int:
    return sample_rate * milliseconds // 1000 * 2
