"""A Kokoro that was loaded: a text and a voice in, the sentences' PCM out, one piece at a time. Blocks.

Knows nothing about requests, threads or who listens.
"""

from __future__ import annotations

import numpy as np

from engines.errors import EngineFault, InvalidRequest, Unsupported
from engines.kokoro.folder import Files
from engines.kokoro.network import Network, Stop, Wave
from engines.kokoro.pieces import MOST_PHONEMES, cut
from engines.kokoro.reading import Reader
from engines.kokoro.styles import WIDTH, Styles
from engines.kokoro.vocabulary import Vocabulary
from engines.kokoro.voices import Chosen


class Kokoro:
    """For several threads."""

    def __init__(self, files: Files, threads: int | None, provider: str, gain_db: float) -> None:
        """Raises ValueError (a SessionError among them), OSError and Unavailable, each with what to do."""
        self._vocabulary = Vocabulary.read(files.vocabulary)
        self._network = Network(files.model, threads, provider)
        self._styles = Styles(files.voices, self._network.style_width or WIDTH)
        self._reader = Reader(self._vocabulary)
        self._gain = 10 ** (gain_db / 20)

    def close(self) -> None:
        self._reader.close()

    def require_speed(self, speed: float) -> None:
        """Raises Unsupported."""
        if self._network.whole_speeds and speed != round(speed):
            raise Unsupported("this export of Kokoro takes whole speeds only, such as 1 or 2", param="speed")

    def pieces(self, text: str, language: str, voice: Chosen) -> list[str]:
        """The text as phonemes: a piece for each sentence, more for one that is too long for the model.

        Raises InvalidRequest when nothing of it can be said.
        """
        sentences = self._reader.sentences(text, language, voice.espeak)
        if not sentences:
            raise InvalidRequest("there is nothing to say: the text has no word that can be read", param="input")
        return [piece for sentence in sentences for piece in cut(sentence, MOST_PHONEMES)]

    def speak(self, piece: str, voice: Chosen, speed: float, stop: Stop) -> bytes | None:
        """A piece's PCM; None when it was stopped. Raises EngineFault, ValueError and OSError."""
        ids = self._vocabulary.encode(piece)
        wave = self._network.speak(ids, self._styles.style(voice.parts, len(ids)), speed, stop)
        if wave is None:
            return None
        if not wave.size or not np.isfinite(wave).all():
            raise EngineFault("the model gave no audio for a piece of the text")
        return self._pcm(wave)

    def _pcm(self, wave: Wave) -> bytes:
        """One loudness for all: each piece raised to its own peak would jump at the seams."""
        pcm: bytes = np.clip(wave * np.float32(self._gain * 32767), -32767, 32767).astype("<i2").tobytes()
        return pcm
