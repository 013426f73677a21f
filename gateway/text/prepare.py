"""Text in, `Script` out: markup and emoji taken out, sentences found, their languages, clauses an engine can take.

Pure, and on the path of every request, hits of the cache too: a typical sentence costs some microseconds, and any
text costs time in proportion to its length. Knows nothing about voices, engines or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engines.errors import InvalidRequest
from gateway.request import InputType
from gateway.text.characters import SPEAKABLE, clean, drop_emoji
from gateway.text.clauses import cut_clauses, join_unspeakable
from gateway.text.duration import estimate_audio_s
from gateway.text.language import find_language, is_japanese, normalise_tag
from gateway.text.paragraphs import read_paragraphs
from gateway.text.script import Clause, Script
from gateway.text.sentences import split_sentences
from gateway.text.stream import cut_stream

#: part of every cache key: raise it whenever the same input would give other clauses
PREPARER_VERSION = "2"


def prepare_text(text: str, *, input_type: InputType = "text", language: str = "") -> Script:
    """The script of one request.

    `language`: a tag that decides between languages of one script. Raises InvalidRequest(param="input") when nothing
    speakable is left or SSML is bad; InvalidRequest(param="language") for a bad tag. How long a text may be is not
    asked here: who takes it in has counted it before.
    """
    hint = normalise_tag(language)
    if input_type == "ssml":
        from gateway.text.ssml import read_ssml

        return read_ssml(text, hint)
    return _script(_read(text, input_type), hint)


def iter_scripts(pieces: Iterable[str], *, input_type: InputType = "text", language: str = "") -> Iterator[Script]:
    """Scripts of a text of any length that comes in pieces, some thousand characters each, in bounded memory.

    Cut at paragraphs or sentences; SSML is one document and is read whole. Raises as `prepare_text` does; parts with
    nothing to say are passed over, unless there is nothing else.
    """
    if input_type == "ssml":
        yield prepare_text("".join(pieces), input_type=input_type, language=language)
        return
    hint = normalise_tag(language)
    spoken = False
    for part in cut_stream(pieces):
        paragraphs = _read(part, input_type)
        if any(SPEAKABLE.search(paragraph) for paragraph in paragraphs):
            yield _script(paragraphs, hint, first=not spoken)
            spoken = True
    if not spoken:
        raise _nothing_to_say()


def _read(text: str, input_type: InputType) -> list[str]:
    text = clean(text)
    if input_type == "markdown":
        from gateway.text.markdown import read_markdown

        return read_markdown(text)
    return read_paragraphs(text)


def _script(paragraphs: list[str], hint: str, *, first: bool = True) -> Script:
    """`first`: this is the beginning of what will be heard, so its first clause is kept short."""
    chars = sum(map(len, paragraphs)) + max(len(paragraphs) - 1, 0)  # a line end between two paragraphs
    paragraphs = [paragraph for paragraph in map(drop_emoji, paragraphs) if paragraph]
    if not any(SPEAKABLE.search(paragraph) for paragraph in paragraphs):
        raise _nothing_to_say()
    han_hint = hint
    if not hint and not all(map(str.isascii, paragraphs)) and is_japanese("".join(paragraphs)):
        han_hint = "ja"
    sentences = [
        (sentence, find_language(sentence, han_hint))
        for paragraph in paragraphs
        for sentence in split_sentences(paragraph, language=hint)
    ]
    sentences = _fill_languages(sentences, hint)
    pieces: list[tuple[str, str]] = []
    for sentence, found in sentences:
        pieces.extend((clause, found) for clause in cut_clauses(sentence, first=first and not pieces, language=found))
    if len(pieces) > 1:
        pieces = join_unspeakable(pieces)
    weights: dict[str, int] = {}
    for clause, found in pieces:
        weights[found] = weights.get(found, 0) + len(clause)
    languages = tuple(weights) if len(weights) == 1 else tuple(sorted(weights, key=weights.__getitem__, reverse=True))
    return Script(
        clauses=tuple([Clause(clause, found) for clause, found in pieces]),
        chars=chars,
        languages=languages,
        audio_s=estimate_audio_s(paragraphs[0] if len(paragraphs) == 1 else "\n".join(paragraphs), len(sentences)),
    )


def _fill_languages(sentences: list[tuple[str, str]], hint: str) -> list[tuple[str, str]]:
    """Sentences of digits and signs take the language of the sentence before them, else the next, else the hint's."""
    if all(found for _, found in sentences):
        return sentences
    last = next((found for _, found in sentences if found), hint or "en")
    filled = []
    for sentence, found in sentences:
        last = found or last
        filled.append((sentence, last))
    return filled


def _nothing_to_say() -> InvalidRequest:
    return InvalidRequest(
        "input has nothing to say: it is empty, or holds only white space, punctuation, emoji or code", param="input"
    )
