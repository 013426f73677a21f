"""Reads what servers tell of themselves: their voices and models, in each of the shapes that are about.

Voices: `{"voices": [names]}` (vLLM-Omni), `{"voices": [{"id", "name", …}]}` (Kokoro-FastAPI, speaches), `{"data": […]}`
(OpenAI's lists), `{name: [recordings]}` (index-tts-vllm). Knows nothing about sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from engines.contract import Gender
from engines.openai.dialects import Listed

#: entries that are looked at: a longer list is no list of voices
_LONGEST_LIST = 10_000
#: top-level members of lists that are no voices
_ABOUT = frozenset({"object", "error", "detail", "status", "message"})

#: ISO 639-3 beside the code that is used here
_SAME = {"cmn": "zh"}


def read_voices(body: bytes, about: Callable[[str], Listed] | None = None) -> tuple[Listed, ...] | None:
    """The voices in a list; None where it is none. `about`: what a name says where the list says nothing."""
    told = _decoded(body)
    if isinstance(told, dict):
        entries = told.get("voices", told.get("data"))
        if entries is None and not _ABOUT & told.keys():
            entries = list(told)
    else:
        entries = told
    if isinstance(entries, dict):
        entries = list(entries)
    if not isinstance(entries, list):
        return None
    found = {one.name: one for entry in entries[:_LONGEST_LIST] if (one := _voice(entry, about))}
    return tuple(found.values())


def read_models(body: bytes) -> tuple[str, ...] | None:
    """The models' names; None where the body is no list of them."""
    told = _decoded(body)
    entries = told.get("data", told.get("models")) if isinstance(told, dict) else told
    if not isinstance(entries, list):
        return None
    ids = (entry.get("id") if isinstance(entry, dict) else entry for entry in entries[:_LONGEST_LIST])
    return tuple(dict.fromkeys(one for one in ids if isinstance(one, str) and one))


def _voice(entry: Any, about: Callable[[str], Listed] | None) -> Listed | None:
    if isinstance(entry, str):
        entry = {"id": entry}
    if not isinstance(entry, dict):
        return None
    name = entry.get("id") or entry.get("voice_id") or entry.get("name")
    if not isinstance(name, str) or not name:
        return None
    languages = tuple(dict.fromkeys(_languages(entry.get("languages") or entry.get("language"))))
    gender = str(entry.get("gender") or "").lower()
    known = cast("Gender", gender) if gender in ("female", "male", "neutral") else ""
    if about and not languages:
        return about(name)
    return Listed(name, languages, known)


def _languages(told: Any) -> Iterator[str]:
    """Base codes: `en-us` is English."""
    for one in told if isinstance(told, list) else [told]:
        code = one.replace("_", "-").partition("-")[0].lower() if isinstance(one, str) else ""
        if code.isalpha() and len(code) in (2, 3):
            yield _SAME.get(code, code)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
