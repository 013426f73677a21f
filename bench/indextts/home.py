"""A made-up model where the engine looks for one: checkpoint, bundles of each precision, a voice. Made once, and kept.

    FOLDER/checkpoint/                  the release
    FOLDER/int8/models/indextts2/       its bundle, and so for each precision
    FOLDER/int8/voices/indextts/        a voice of noise

Says what it takes before it takes it. Knows nothing about measuring.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import numpy as np

import engines.indextts.export
import models.graph
import models.quantize
from bench.indextts.checkpoint import write_checkpoint
from bench.indextts.design import Design
from engines.contract import Instance
from engines.indextts import bundle_folder, graphs, voices_folder
from engines.indextts.export import export
from engines.indextts.options import IndexTtsOptions
from engines.indextts.provenance import Provenance
from engines.indextts.recipe import ExportOptions
from engines.indextts.sizes import Sizes
from engines.indextts.voice import VoiceBundle
from models.bundle import Bundle, BundleError
from models.graph import Precision
from models.room import free_bytes, taken_bytes, told_bytes

VOICE = "noise"
#: seconds of the recording that the voice would be of: the solver works on them with every piece
PROMPT_S = 5.0
#: of the released sizes, and of a bundle without what makes voices
_CHECKPOINT_BYTES = 7_000_000_000
_BUNDLE_BYTES: dict[Precision, int] = {
    "fp32": 3_100_000_000,
    "int8": 1_300_000_000,
    "int8_blocks": 1_300_000_000,
    "int4": 1_600_000_000,
}


class NoRoom(RuntimeError):
    """The disk is too full for a model."""


class Home:
    """Where a made-up model is kept."""

    def __init__(self, folder: Path, design: Design | None = None) -> None:
        self.folder = folder
        self._design = design or Design()
        self._full = design is None

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    def instance(self, precision: Precision) -> Instance:
        """What the engine is told of this place."""
        return Instance("indextts", data_dir=self.folder / precision)

    def make(self, *precisions: Precision) -> None:
        """Make what is not there yet. Raises NoRoom, and OSError."""
        lacking = [one for one in precisions if not self._has(one)]
        written = self.checkpoint / "config.yaml"
        if not lacking and written.is_file():
            return
        self._must_have_room(lacking)
        if not written.is_file():
            _say(f"making up a checkpoint in {self.checkpoint}")
            write_checkpoint(self.checkpoint, self._design)
        for precision in lacking:
            _say(f"exporting it as {precision}")
            self._export(precision)
        _say(f"{self.folder} takes {told_bytes(taken_bytes(self.folder))}: delete it when you need it no more")

    def _has(self, precision: Precision) -> bool:
        """A whole bundle, made by the code as it is now."""
        try:
            Bundle.read(self._bundle(precision))
            return self._made_by(precision).read_text() == _code()
        except (BundleError, FileNotFoundError):
            return False

    def _made_by(self, precision: Precision) -> Path:
        return self.folder / precision / "made_by"

    def _bundle(self, precision: Precision) -> Path:
        return bundle_folder(self.instance(precision), IndexTtsOptions())

    def _export(self, precision: Precision) -> None:
        shutil.rmtree(self.folder / precision, ignore_errors=True)
        options = ExportOptions(precision=precision, reference=False)
        bundle = export(self.checkpoint, self._bundle(precision), options, lambda *_: None)
        made_up_voice(bundle).write(voices_folder(self.instance(precision)))
        self._made_by(precision).write_text(_code())

    def _must_have_room(self, lacking: list[Precision]) -> None:
        if not self._full:
            return
        need = sum(_BUNDLE_BYTES[one] for one in lacking)
        if not (self.checkpoint / "config.yaml").is_file():
            need += _CHECKPOINT_BYTES
        _say(f"a model of the released sizes takes {told_bytes(need)} in {self.folder}, and some minutes to make")
        if (free := free_bytes(self.folder)) < need:
            raise NoRoom(f"{told_bytes(free)} are free there: name another folder with --folder")


def _code() -> str:
    """A digest of what decides how a bundle is made."""
    files = [*Path(graphs.__file__).parent.glob("*.py"), *map(Path, (models.graph.__file__, models.quantize.__file__))]
    files.append(Path(engines.indextts.export.__file__))
    return hashlib.sha256(b"".join(one.read_bytes() for one in sorted(files))).hexdigest()


def made_up_voice(bundle: Bundle) -> VoiceBundle:
    """A voice of noise, of as many frames as a recording of PROMPT_S has."""
    sizes, random = Sizes.of_json(bundle.sizes), np.random.default_rng(0)
    width, frames = sizes.gpt.width, round(PROMPT_S * sizes.mel.sample_rate / sizes.mel.hop)

    def noise(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, np.float32) / 10

    return VoiceBundle(
        name=VOICE,
        cond=noise(32, width),
        base_emotion=noise(width),
        own_emotion=noise(width),
        emotion=noise(width),
        style=noise(sizes.estimator.style_width),
        mel=noise(sizes.mel.mels, frames) - 5,
        prompt=noise(frames, sizes.regulator.width),
        emotion_rows=noise(len(sizes.emotion_rows), width),
        provenance=Provenance(
            model=bundle.version,
            sample_rate=sizes.mel.sample_rate,
            source_sha256="0" * 64,
            seconds=PROMPT_S,
            consent="nobody's voice",
            licence="CC0-1.0",
            languages=("zh", "en"),
            gender="female",
            created="2026-11-21T00:00:00Z",
        ),
    )


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)
