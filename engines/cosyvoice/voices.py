"""The voices of a bundle: its speakers, whose names say which language they speak at home.

Every speaker speaks every language, with an accent. Loads nothing but the head of a file.
"""

from __future__ import annotations

import json
from pathlib import Path

from engines.contract import Gender, Voice

LANGUAGES = ("zh", "en", "ja", "yue", "ko")
#: what the release's names begin and end with
_HOME = {"中文": "zh", "英文": "en", "日语": "ja", "粤语": "yue", "韩语": "ko"}
_GENDER: dict[str, Gender] = {"女": "female", "男": "male"}
_LENGTH_BYTES = 8


def names_in(path: Path) -> list[str]:
    """The speakers of a bundle's file (https://huggingface.co/docs/safetensors). Raises OSError and ValueError."""
    with path.open("rb") as file:
        head = json.loads(file.read(int.from_bytes(file.read(_LENGTH_BYTES), "little")))
    return sorted((name for name in head if name != "__metadata__"), key=lambda name: head[name]["data_offsets"])


def voice(name: str, sample_rate: int, licence: str) -> Voice:
    """A speaker as a voice: of its home's language if its name tells one, else of all."""
    home = next((language for begin, language in _HOME.items() if name.startswith(begin)), "")
    return Voice(name, (home,) if home else LANGUAGES, sample_rate, _GENDER.get(name[-1:], ""), licence=licence)
