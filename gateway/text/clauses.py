"""Sentences into clauses: the pieces that engines are given, none too long, the first one short.

A sentence is a clause; a long one is cut at its own clause borders. Knows nothing about languages. Nothing is lost
or repeated: the clauses, joined, are the text up to white space.
"""

from __future__ import annotations

import re
import unicodedata

from gateway.text.characters import SPEAKABLE, UNSPACED, count_wide
from gateway.text.quotes import CLOSERS, OPENERS
from gateway.text.sentences import split_sentences

# Lengths are measured in thirds of a Latin letter, so that both limits below are one number: a Han character is said
# in the time of 8/3 letters (0.22 s against 0.065 s and the spaces between words, see `duration`).
LATIN_WEIGHT, WIDE_WEIGHT = 3, 8
#: 160 Latin or 60 Han characters: ten seconds or so. Neural engines lose the thread above that (their training clips
#: are mostly shorter), and a clause is what an interruption repeats and what the listener waits for
LONGEST = 160 * LATIN_WEIGHT
#: a first sentence above 100 Latin or 40 Han characters is cut at its first good border, so that sound starts early
LONGEST_FIRST = 100 * LATIN_WEIGHT + 20
#: 24 Latin or 9 Han characters, a second and a half: a shorter clause would sound clipped, and would leave no time to
#: make the next one
SHORTEST = 24 * LATIN_WEIGHT

_AFTER = "[" + re.escape(CLOSERS) + "]*+"
_WIDE_CLASS = f"[{UNSPACED}]"
# Where a clause may end, each with what closes after it. Latin marks only before a space or Han, so never inside
# "1,234.50", "3:45" or a URL; wide ones never between digits; dashes and ellipses as whole runs.
_SOFT = re.compile(
    rf"(?:[，、；：](?<!\d[，：](?=\d))|[,;:](?=[\s{UNSPACED}{re.escape(CLOSERS)}])|[…‥]++|\.{{2,}}+(?=\s)|[—―]++|(?<=\s)–(?=\s)"
    rf"|[。！？!?]++(?=\s|{_WIDE_CLASS}))" + _AFTER
)
_SPACE = re.compile(r"(?<!\d)\s|\s(?!\d)")
_CLINGS_BACK = frozenset(CLOSERS + ",.;:!?…‥，。、；：！？%％‰°℃·・ーっゃゅょぁぃぅぇぉッャュョァィゥェォ々～~—–-")
_CLINGS_ON = frozenset(OPENERS + "$€£¥￥#@-—–")
#: how far a hard cut looks back for a place between words
_LOOK_BACK = 60


def weigh(text: str) -> int:
    """The length of `text` in thirds of a Latin letter."""
    return LATIN_WEIGHT * len(text) + (WIDE_WEIGHT - LATIN_WEIGHT) * count_wide(text)


def cut_clauses(sentence: str, *, first: bool = False, language: str = "") -> list[str]:
    """The clauses of one sentence in order, each within `LONGEST`. `first`: nothing has been spoken before it."""
    if len(sentence) * WIDE_WEIGHT <= LONGEST_FIRST:
        return [sentence]
    weight = weigh(sentence)
    if weight <= (LONGEST_FIRST if first else LONGEST):
        return [sentence]
    clauses: list[str] = []
    if first and (head := _first_border(sentence, weight)):
        clauses.append(sentence[:head].rstrip())
        sentence = sentence[head:].lstrip()
        weight = weigh(sentence)
    if weight <= LONGEST:
        return [*clauses, sentence]
    # a long quotation: its own sentences are better borders than any comma
    packed = ""
    for part in _spaced(sentence, split_sentences(sentence, language=language, whole_quotes=False)):
        if packed and weigh(packed) + weigh(part) <= LONGEST:
            packed += part
            continue
        if packed:
            clauses.extend(_cut_long(packed))
        packed = part
    clauses.extend(_cut_long(packed))
    return clauses


def join_unspeakable(clauses: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """(text, language) pairs; one that holds nothing to say is joined to the one before it, or to the next.

    An engine given "——" alone answers with an error or a click.
    """
    joined: list[tuple[str, str]] = []
    waiting: list[str] = []
    tails: list[str] = []  # what follows the last speakable clause
    for text, language in clauses:
        if SPEAKABLE.search(text) is None:
            (tails if joined else waiting).append(text)
            continue
        if tails:
            joined[-1] = (" ".join([joined[-1][0], *tails]), joined[-1][1])
            tails = []
        joined.append((" ".join([*waiting, text]), language))
        waiting = []
    if tails:
        joined[-1] = (" ".join([joined[-1][0], *tails]), joined[-1][1])
    return joined


def _spaced(sentence: str, parts: list[str]) -> list[str]:
    """`parts` with the spaces that stood behind them, so that joining them gives `sentence` back."""
    spaced: list[str] = []
    at = 0
    for part in parts:
        start = sentence.index(part, at)
        if spaced:
            spaced[-1] += sentence[at:start]
        at = start + len(part)
        spaced.append(part)
    return spaced


def _first_border(sentence: str, weight: int) -> int:
    """The first clause border that leaves a sensible piece on both sides; 0 where there is none near the beginning."""
    for match in _SOFT.finditer(sentence, 0, LONGEST // LATIN_WEIGHT):
        head = weigh(sentence[: match.end()])
        if head > LONGEST:
            break
        if head >= SHORTEST and weight - head >= SHORTEST:
            return match.end()
    return 0


def _cut_long(text: str) -> list[str]:
    """Pieces of `text`, each within `LONGEST`, cut at the best border near its end; the last two about equal."""
    clauses = []
    text = text.strip()
    at = 0
    while True:
        limit = _reach(text, at, LONGEST)
        if limit >= len(text):
            break
        # when two pieces will do, two halves sound better than a long one and a scrap
        rest = weigh(text[at : at + 2 * (limit - at) + 1]) if len(text) - at <= 2 * (limit - at) + 1 else 2 * LONGEST
        target = limit if rest >= 2 * LONGEST else min(_reach(text, at, rest // 2), limit)
        cut = _best_border(text, at, target, limit)
        clauses.append(text[at:cut].strip())
        at = cut
        while at < len(text) and text[at].isspace():
            at += 1
    clauses.append(text[at:].strip())
    return [clause for clause in clauses if clause]


def _reach(text: str, at: int, weight: int) -> int:
    """The largest index to which `text` from `at` weighs no more than `weight`; at least one character on."""
    end = min(at + weight // LATIN_WEIGHT, len(text))
    while (over := weigh(text[at:end]) - weight) > 0:
        end -= max(1, over // WIDE_WEIGHT)
    return max(end, at + 1)


def _best_border(text: str, at: int, target: int, limit: int) -> int:
    """The index to cut at, in (at, limit]: a clause border near `target`, else a space, else between two words."""
    shortest = at + max(1, (target - at) // 3)
    # one character of context beyond the limit, for the look-ahead
    soft = [match.end() for match in _SOFT.finditer(text, shortest, min(limit + 1, len(text))) if match.end() <= limit]
    if soft:
        return min(soft, key=lambda border: abs(border - target))
    spaces = [match.start() for match in _SPACE.finditer(text, shortest, limit + 1)]
    if spaces:
        return min(spaces, key=lambda border: abs(border - target))
    for cut in range(target, max(at, target - _LOOK_BACK), -1):
        if _between_words(text, cut):
            return cut
    for cut in range(limit, max(at, limit - _LOOK_BACK), -1):
        if not unicodedata.category(text[cut]).startswith("M") and text[cut - 1] != "\u200d":
            return cut
    return limit


def _between_words(text: str, cut: int) -> bool:
    """Whether a cut before index `cut` leaves words, numbers, graphemes and closing punctuation whole."""
    before, after = text[cut - 1], text[cut]
    if (
        after in _CLINGS_BACK
        or before in _CLINGS_ON
        or unicodedata.category(after).startswith("M")
        or before == "\u200d"
    ):
        return False
    return not (_is_spaced_word(before) and _is_spaced_word(after))


def _is_spaced_word(character: str) -> bool:
    """Part of a word, number or URL in a script with spaces."""
    return not character.isspace() and character < "\u2e80" and not "\u0e00" <= character <= "\u0eff"
