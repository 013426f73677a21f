"""Makes a voice of a recording, with the networks of a bundle's `reference/`, one after the other, so that the memory
needed is that of the largest alone (w2v-bert). Runs once per voice; speaking needs none of it.

Knows nothing about who asked, nor about where voices are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession

from engines.contract import NewVoice, Progress
from engines.errors import Unavailable
from engines.indextts.features import SemanticFrames, mel_spectrogram, speaker_bands
from engines.indextts.length_regulator import LengthRegulator
from engines.indextts.provenance import Provenance
from engines.indextts.recording import Recording, read_recording, resample_by_sinc
from engines.indextts.sizes import Sizes
from engines.indextts.tables import Tables
from engines.indextts.voice import VoiceBundle
from models.bundle import Bundle
from models.session import open_session

Array = npt.NDArray[np.float32]

FOLDER = "reference"


class Reference:
    """The reference side of a bundle.

    voice = Reference(bundle).make(NewVoice("alice", Path("ref.wav"), consent="…"), progress)
    """

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Raises Unavailable for a bundle that was exported without its reference networks."""
        self._folder = bundle.folder / FOLDER
        if not self._folder.is_dir():
            raise Unavailable(
                f"the bundle {bundle.name} was exported without what makes voices: export it again with it, "
                f"voxgate models export {bundle.name} --from DIR"
            )
        self._bundle = bundle
        self._sizes = Sizes.of_json(bundle.sizes)
        self._threads = threads

    def make(self, wanted: NewVoice, progress: Progress) -> VoiceBundle:
        """Listen to the recordings. Raises InvalidRequest for those that no voice can be made of, and OSError."""
        speaker = read_recording(wanted.recording)
        emotional = read_recording(wanted.emotion) if wanted.emotion else None
        provenance = Provenance(
            model=self._bundle.version,
            sample_rate=self._sizes.mel.sample_rate,
            source_sha256=speaker.sha256,
            seconds=speaker.seconds,
            consent=wanted.consent,
            licence=wanted.licence,
            languages=wanted.languages,
            gender=wanted.gender,
            created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            emotion_sha256=emotional.sha256 if emotional else "",
            emotion_seconds=emotional.seconds if emotional else 0.0,
        )
        return self._listen(wanted.name, provenance, speaker, emotional, progress)

    def _listen(
        self, name: str, provenance: Provenance, speaker: Recording, emotional: Recording | None, progress: Progress
    ) -> VoiceBundle:
        """The speaker is heard at the model's rate, and from there at that of w2v-bert; emotions at the latter at once.

        The two ways differ in their highest bands (`resample_by_sinc`), and the networks are used to theirs.
        """
        mel_rate = self._sizes.mel.sample_rate
        frames_of = SemanticFrames(self._folder)
        heard = speaker.at(mel_rate)
        as_speaker = resample_by_sinc(heard, mel_rate, frames_of.sample_rate)
        as_emotions = [one.at(frames_of.sample_rate) for one in (speaker, emotional) if one]
        feeds = [dict(zip(("frames", "heard"), frames_of(one), strict=True)) for one in (as_speaker, *as_emotions)]
        features = [{"features": given[0]} for given in self._run("w2v_bert", feeds, progress)]
        ((_, semantic),) = self._run("semantic_codec", features[:1], progress)
        style = self._style(as_speaker, frames_of.sample_rate, progress)
        ((cond,),) = self._run("speaker_conditioner", features[:1], progress)
        base, own, *other = (given[0][0] for given in self._run("emotion_conditioner", features, progress))
        mel = mel_spectrogram(heard, self._sizes.mel)
        return VoiceBundle(
            name=name,
            cond=cond[0],
            base_emotion=base,
            own_emotion=own,
            emotion=other[0] if other else own,
            style=style,
            mel=mel,
            prompt=self._regulate(semantic[0], mel.shape[1]),
            emotion_rows=self._emotion_rows(style),
            provenance=provenance,
        )

    def _run(self, network: str, feeds: Sequence[dict[str, Array]], progress: Progress) -> list[list[Any]]:
        """What a network of the reference side gives for each feed. It is in memory for so long."""
        progress(network, 0, len(feeds))
        session = self._open(f"{FOLDER}/{network}.onnx")
        given = []
        for done, feed in enumerate(feeds, 1):
            # copies: what a session gives keeps its memory alive, and all its weights with it
            given.append([np.array(one) for one in session.run(None, feed)])
            progress(network, done, len(feeds))
        return given

    def _style(self, samples: Array, sample_rate: int, progress: Progress) -> Array:
        """[style]"""
        progress("style", 0, 1)
        session = self._open(f"{FOLDER}/style.onnx")
        bands = session.get_inputs()[0].shape[2]
        (style,) = session.run(None, {"frames": speaker_bands(samples, sample_rate, bands)[None]})
        progress("style", 1, 1)
        return np.array(style[0], np.float32)

    def _regulate(self, semantic: Array, frames: int) -> Array:
        return LengthRegulator(self._open("length_regulator.onnx"))(semantic, frames)

    def _open(self, path: str) -> InferenceSession:
        return open_session(self._bundle.folder / path, self._threads)

    def _emotion_rows(self, style: Array) -> Array:
        """[emotions, D]"""
        tables = Tables.read(self._bundle.folder)
        return tables.emotion_vectors[nearest_rows(style, tables.emotion_speakers, self._sizes.emotion_rows)]


def nearest_rows(style: Array, speakers: Array, blocks: Sequence[int]) -> npt.NDArray[np.int64]:
    """In each block of a table of speakers [rows, style], the row of the one who sounds most alike: by the cosine."""
    alike = speakers @ style / np.linalg.norm(speakers, axis=1)
    ends = np.cumsum(blocks)
    starts = ends - np.array(blocks)
    return np.array([start + alike[start:end].argmax() for start, end in zip(starts, ends, strict=True)], np.int64)
