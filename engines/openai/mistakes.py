"""What options of kind `openai` say that cannot be meant together: told before anything is asked. Knows no server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from engines.errors import near_names
from engines.openai.dialects import Dialect

#: options that say what of a speech is otherwise said by a field
_OPTIONS: Mapping[str, str] = {"model": "model", "voice": "voice", "format": "format", "rate": "sample_rate"}
_OPENAI = "api.openai.com"


def find_mistakes(urls: Sequence[str], dialect: Dialect, voice: str | None) -> Iterator[str]:
    """Each in words, with what to do. `dialect` is what follows from preset and options, `voice` the option."""
    yield from _of_urls(urls, dialect.path)
    yield from _of_fields(dialect)
    known = [one.name for one in dialect.voices]
    if voice and known and not dialect.voices_path and voice not in known:
        yield f"`voice`: there is no voice {voice!r}; {near_names(voice, known)}"


def _of_urls(urls: Sequence[str], path: str) -> Iterator[str]:
    seen: set[tuple[str, str, str]] = set()
    for url in urls:
        parts = urlsplit(url)
        place = (parts.scheme, parts.netloc.lower(), parts.path)
        if place in seen:
            yield f"`urls`: {url} is there twice: for more requests at once to one server set `slots`"
        seen.add(place)
        if path and url.endswith(path):
            yield f"`urls`: {path} is put behind {url}: write {url.removesuffix(path)}"
        elif parts.hostname == _OPENAI and not parts.path:  # others may well speak without
            yield f"`urls`: OpenAI speaks below /v1: write {url}/v1"


def _of_fields(dialect: Dialect) -> Iterator[str]:
    """A field has one meaning: whatever came last would stand in it, in place of the text perhaps."""
    meanings: dict[str, str] = {dialect.text: "text"}
    for part, name in dialect.names.items():
        if name in meanings:
            yield f"`names`: {part} and {meanings[name]} cannot both be {name!r}"
        meanings.setdefault(name, part)
    for name in dialect.fields:
        if meaning := meanings.get(name):
            yield f"`fields`: {name!r} is the {meaning}{_instead(meaning)}"


def _instead(part: str) -> str:
    if part == "text":
        return " of each request: take it out"
    option = f"set it by the option `{_OPTIONS[part]}`" if part in _OPTIONS else "take it out"
    return f', as requests have it: {option}, or write `names: {{{part}: ""}}` where it shall always be the same'
