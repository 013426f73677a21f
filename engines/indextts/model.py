"""IndexTTS-2 as a whole: its networks, loaded from a bundle, and a request's way through them, in small slices of work.

Everything here blocks, and is for one thread. Knows nothing about whose work comes first, nor about HTTP.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.contract import AudioChunk, Emotion, Instance, SpeechRequest
from engines.indextts import DEFAULT_SLOTS, bundle_folder, voices_folder
from engines.indextts.decoding import Decoder, Sequence
from engines.indextts.emotion import blend
from engines.indextts.emotion_text import ALPHA_OF_WORDS, EmotionText
from engines.indextts.flow import Flow
from engines.indextts.gpt import Gpt
from engines.indextts.length_regulator import FRAMES_PER_CODE, LengthRegulator
from engines.indextts.openvino import OpenVinoNetwork
from engines.indextts.options import IndexTtsOptions
from engines.indextts.recipe import FORMAT
from engines.indextts.repertoire import Repertoire
from engines.indextts.sampling import Sampling
from engines.indextts.sizes import Sizes
from engines.indextts.speech import Segment, Speech
from engines.indextts.tables import Tables
from engines.indextts.text import Front
from engines.indextts.vocoder import Vocoder
from engines.indextts.voicing import Acoustics, Piece, Voicing
from models.bundle import Bundle
from models.session import open_session

Array = NDArray[np.float32]

#: seconds that the solver is given at once, at most about half as many again: its time grows with their square. So many
#: that nothing but slow speech is ever cut by it
_MOST_S = 30.0
#: silence between two segments, as the release has it
PAUSE_S = 0.2
#: what is faded out before it and in behind it, so that no seam clicks
FADE_S = 0.004


@dataclass(frozen=True, slots=True)
class IndexTts:
    """model = IndexTts.load(instance, options)"""

    options: IndexTtsOptions
    bundle: Bundle
    sample_rate: int
    tables: Tables
    gpt: Gpt
    decoder: Decoder
    acoustics: Acoustics
    front: Front
    emotion_text: EmotionText
    voices: Repertoire

    @classmethod
    def load(cls, instance: Instance, options: IndexTtsOptions) -> Self:
        """Raises ValueError (BundleError, SessionError, CheckpointError) that says what to do."""
        bundle = Bundle.read(bundle_folder(instance, options))
        bundle.require_format(FORMAT)
        folder, sizes, tables = bundle.folder, Sizes.of_json(bundle.sizes), Tables.read(bundle.folder)
        threads = None if options.threads == "auto" else options.threads
        gpt = Gpt(folder, sizes, tables, threads, options.kv)
        rows = options.beams * max(options.rows, instance.slots or DEFAULT_SLOTS)
        open_network = OpenVinoNetwork if options.provider == "openvino" else open_session
        frames_per_s = sizes.mel.sample_rate / sizes.mel.hop
        acoustics = Acoustics(
            tables,
            LengthRegulator(open_session(folder / "length_regulator.onnx", threads)),
            Flow(open_network(folder / "estimator.onnx", threads)),
            Vocoder(open_network(folder / "vocoder.onnx", threads), sizes.vocoder),
            frames_per_s=frames_per_s,
            steps=options.steps,
            cfg=options.cfg,
            cfg_until=options.cfg_until,
            prompt_frames=round(options.prompt_s * frames_per_s) or sys.maxsize,
        )
        return cls(
            options,
            bundle,
            sizes.mel.sample_rate,
            tables,
            gpt,
            Decoder(gpt, rows),
            acoustics,
            Front(folder / "bpe.model"),
            EmotionText(folder / "emotion_text", threads),
            Repertoire(voices_folder(instance), bundle.version),
        )

    @property
    def room(self) -> int:
        return self.decoder.room // self.options.beams

    def prepare(self, speech: Speech) -> Iterator[None]:
        """Find the voice, the segments and the emotion. Raises SpeechError."""
        request = speech.request
        voice = self.voices.voice(request.voice)
        yield
        longest = min(self.options.max_segment_tokens, len(self.tables.text_position) - 2)
        first = self.options.first_segment_tokens
        segments = yield from self.front.reading(request.text, longest, first, request.language)
        emotion = yield from self._emotion_of(request)
        borrowed = self.voices.voice(emotion.voice) if emotion and emotion.voice else None
        conditioning = voice.conditioning(blend(voice, emotion, borrowed), self.tables.speed_embedding)
        seeds = _seeds(speech.seed, len(segments))
        most_codes = max(1, int(_MOST_S * self.acoustics.frames_per_s * request.speed / FRAMES_PER_CODE))
        speech.segments = [
            Segment(
                number,
                conditioning,
                ids,
                seed,
                speech.max_codes,
                first_codes=0 if number else self.options.stream_codes,
                most_codes=most_codes,
            )
            for number, (ids, seed) in enumerate(zip(segments, seeds, strict=True))
        ]
        speech.voice = voice

    def begin(self, segment: Segment) -> None:
        options = self.options
        sampling = Sampling(
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            repetition_penalty=options.repetition_penalty,
            beams=options.beams,
            max_codes=segment.max_codes,
        )
        prefix = self.gpt.prefix(segment.conditioning, segment.ids)
        segment.sequence = self.decoder.add(prefix, sampling, segment.seed)

    def parts(self, segment: Segment) -> list[Segment]:
        """The same words, shorter and with other seeds: speech that got lost once need not again."""
        parts = self.front.halves(segment.ids)
        return [
            replace(
                segment,
                ids=ids,
                seed=seed,
                first_codes=0 if number else segment.first_codes,
                sequence=None,
                decoded=False,
                again=True,
            )
            for number, (ids, seed) in enumerate(zip(parts, _seeds(segment.seed, len(parts)), strict=True))
        ]

    def decode(self) -> Iterable[Sequence]:
        return self.decoder.step()

    def drop(self, sequence: Sequence) -> None:
        self.decoder.drop(sequence)

    def voice(self, speech: Speech, segment: Segment, piece: Piece) -> Iterator[AudioChunk | None]:
        """The audio of a piece, with the pause between segments."""
        assert segment.sequence is not None
        assert speech.voice is not None
        if piece.stop == 0:  # nothing was said
            return
        if segment.voicing is None:
            segment.voicing = Voicing(self.acoustics, speech.voice, speech.request.speed, segment.seed)
        known = piece.stop if piece.last else piece.stop + piece.margin
        latents = self.decoder.latents(segment.sequence, known)
        yield None
        opens = piece.start == 0 and segment.number > 0
        closes = piece.last and segment.number + 1 < len(speech.segments)
        held: Array | None = None  # which wave is the last before a pause is known when no further one comes
        for wave in segment.voicing.speak(piece, segment.sequence.codes[:known], latents):
            if wave is None or not len(wave):
                yield None
                continue
            if opens:
                pause = np.zeros(round(PAUSE_S * self.sample_rate), np.float32)
                wave, opens = np.concatenate([pause, wave * self._ramp(len(wave))]), False
            if closes:
                wave, held = held, wave
            yield None if wave is None else self._chunk(wave)
        if held is not None:
            yield self._chunk(held * self._ramp(len(held))[::-1])

    def _emotion_of(self, request: SpeechRequest) -> Generator[None, None, Emotion | None]:
        """What numbers say goes before what words say. Raises Unsupported for words that nobody here understands."""
        if request.emotion or not request.instructions:
            return request.emotion
        vector = yield from self.emotion_text.reading(request.instructions)
        return Emotion(vector=vector, alpha=ALPHA_OF_WORDS)

    def _ramp(self, samples: int) -> Array:
        """Up from 0, and then 1."""
        rising = np.arange(samples, dtype=np.float32) / (FADE_S * self.sample_rate)
        return np.asarray(np.minimum(rising, 1), np.float32)

    def _chunk(self, wave: Array) -> AudioChunk:
        return AudioChunk(np.clip(wave * 32767, -32767, 32767).astype("<i2").tobytes(), self.sample_rate)


def _seeds(seed: int, count: int) -> list[int]:
    """Numbers that have nothing to do with each other, however near the seeds of two requests are."""
    return [int(one) for one in np.random.SeedSequence(seed).generate_state(count, np.uint64)]
