"""Looks at a bundle of CosyVoice: every file by its digest, and a word by every speaker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from engines.contract import Check, Progress
from engines.cosyvoice.model import CosyVoice
from engines.cosyvoice.recipe import FORMAT
from models.bundle import Bundle, BundleError

_TEXT = "好。"


def verify(folder: Path, progress: Progress) -> list[Check]:
    """Raises BundleError for what is none."""
    bundle = Bundle.read(folder)
    bundle.require_format(FORMAT)
    return [
        _checked("contents", lambda: _contents(bundle, progress)),
        _checked("speakers", lambda: _speak(folder, progress)),
    ]


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except ValueError as error:
        return Check(name, False, str(error))


def _contents(bundle: Bundle, progress: Progress) -> str:
    bundle.check_contents(progress)
    return f"{len(bundle.files)} files are what they were"


def _speak(folder: Path, progress: Progress) -> str:
    model = CosyVoice.open(folder)
    told = []
    for done, (name, speaker) in enumerate(model.speakers.items()):
        progress("speaking", done, len(model.speakers))
        waves = [wave for wave in model.speak(_TEXT, speaker, seed=0) if wave is not None]
        if not waves or not all(np.isfinite(wave).all() for wave in waves):
            raise BundleError(f"{name} gives no audio; export the bundle again")
        told.append(f"{name} {sum(map(len, waves)) / model.sample_rate:.2f} s")
    return f"of {_TEXT}: {', '.join(told)}"
