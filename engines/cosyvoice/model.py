"""A whole model out of a bundle: texts in, waves out, piece by piece as they are made.

Stops after each token and each step of the solver, so that work can be given up in between. Knows the files of a
bundle; knows nothing about requests, threads or routing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from engines.cosyvoice.acoustics import Acoustics, Stream, Voicer
from engines.cosyvoice.decoding import speech_tokens
from engines.cosyvoice.flow import Flow, FlowRates
from engines.cosyvoice.griffin_lim import GriffinLim
from engines.cosyvoice.lm import TABLES_NAME, Lm, Tables
from engines.cosyvoice.recipe import FORMAT, SPEAKERS_NAME
from engines.cosyvoice.sizes import Sizes
from engines.cosyvoice.text import Read, segments
from engines.cosyvoice.tokenizer import RANKS_NAME, Tokenizer
from engines.cosyvoice.vocoder import Vocoder
from engines.errors import InvalidRequest
from models.bundle import Bundle
from models.checkpoint import Tensors
from models.session import open_session

Array = npt.NDArray[np.float32]

#: the vocoder's graphs
_VOCODER = ("f0", "source", "vocoder")


@dataclass(frozen=True)
class CosyVoice:
    """One model in memory. Any thread may use it, several at once.

    model = CosyVoice.open(folder)
    for wave in model.speak("你好。", model.speakers["中文女"], seed=1): ...    # [samples], or None
    """

    sample_rate: int
    speakers: Mapping[str, Array]
    tokenizer: Tokenizer
    lm: Lm
    acoustics: Acoustics

    @classmethod
    def open(
        cls, folder: Path, threads: int | None = None, steps: int = 10, vocoder: Literal["hift", "griffin_lim"] = "hift"
    ) -> Self:
        """steps: of the flow's solver. Raises BundleError, CheckpointError, SessionError and Unavailable."""
        bundle = Bundle.read(folder)
        bundle.require_format(FORMAT)
        sizes = Sizes.of_json(bundle.sizes)
        speakers = Tensors.read(folder / SPEAKERS_NAME)
        networks = {
            name: open_session(folder / f"{name}.onnx", threads)
            for name in ("flow_encoder", "length_regulator", "estimator", *(_VOCODER if vocoder == "hift" else ()))
        }
        flow = Flow(
            networks["flow_encoder"],
            networks["length_regulator"],
            networks["estimator"],
            sizes.flow,
            FlowRates.of(sizes),
            steps,
        )
        voicer: Voicer = GriffinLim(sizes.vocoder)
        if vocoder == "hift":
            voicer = Vocoder(networks["f0"], networks["source"], networks["vocoder"], sizes.vocoder)
        return cls(
            sample_rate=sizes.vocoder.sample_rate,
            speakers={name: speakers.take(name, (sizes.lm.speaker_width,)) for name in speakers.names()},
            tokenizer=Tokenizer(folder / RANKS_NAME, sizes.lm.text_tokens),
            lm=Lm(folder, sizes.lm, Tables.take(Tensors.read(folder / TABLES_NAME), sizes.lm), threads),
            acoustics=Acoustics(flow, voicer),
        )

    def speak(
        self,
        text: str,
        speaker: Array,
        speed: float = 1.0,
        seed: int | None = None,
        read: Read | None = None,
        *,
        keeps_unfinished: bool = True,
    ) -> Iterator[Array | None]:
        """The waves [samples] of a text, in -1..1; None after work that gave none yet. read: see `segments`.

        At another speed than 1 each segment comes as a whole, else in pieces. Equal seeds give equal waves. Raises
        InvalidRequest when there is nothing to say, and EngineFault as `speech_tokens`.
        """
        parts = segments(text, lambda part: len(self.tokenizer.ids(part)), read)
        if not parts:
            raise InvalidRequest("there is nothing to say in this text: no letter, no number", param="input")
        random = np.random.default_rng(seed)
        for part in parts:
            yield from self._segment(self.tokenizer.ids(part), speaker, speed, random, keeps_unfinished)

    def _segment(
        self, ids: list[int], speaker: Array, speed: float, random: np.random.Generator, keeps_unfinished: bool
    ) -> Iterator[Array | None]:
        tokens: list[int] = []
        stream = Stream(self.acoustics, speaker, random)
        for token in speech_tokens(self.lm, ids, speaker, random.random, keeps_unfinished=keeps_unfinished):
            if speed == 1.0:
                yield from stream.push([token])
            tokens.append(token)
            yield None
        if speed == 1.0:
            yield from stream.finish()
        elif tokens:
            yield (yield from self.acoustics.follow(tokens, speaker, random, speed))
