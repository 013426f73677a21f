"""Markdown in text that was not called markdown: what a language model writes and no voice should read aloud.

Only what is unmistakable goes, so "2 * 3 * 4", `snake_case`, "> 5", "#1" and "-5" stay. These are own rules and not
a markdown parser's, for three reasons: a parser takes "1. " and indented lines for structure, and it does not close
`**你好。**世界` (CommonMark's flanking rules want a space there, which Mandarin does not write); and it costs a
millisecond on the path of every request. Each rule is linear: possessive quantifiers, and a stack for emphasis.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: characters without which there is no markdown inside a line
_INLINE = re.compile(r"[*_`~\[<\\]")
_IMAGE_OR_LINK = r"\[([^\[\]\n]*+)\]\((?:[^()\s]|\([^()\s]*+\))*+(?:\s++(?:\"[^\"\n]*+\"|'[^'\n]*+'))?+\)"
_IMAGE = re.compile("!" + _IMAGE_OR_LINK)
_LINK = re.compile(r"(?<![A-Za-z0-9_])" + _IMAGE_OR_LINK)
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^<>\s]++)>")
_MARK = re.compile(r"(?<!`)(?P<tick>`{1,3}+)(?P<code>[^`]++)(?P=tick)(?!`)|(?<!\\)(?:\*++|_++|~~++)")

_HEADING = re.compile(r"#{1,6}[ \t]+(?=\S)")
_HEADING_END = re.compile(r"[ \t]#+$")
_BULLET = re.compile(r"[-*+•●▪◦‣⁃○■□◆▶►][ \t]+(?:\[[ xX]\][ \t]+)?+(?=\S)|[•●▪◦‣](?=\w)")
_QUOTE = re.compile(r"(?:>[ \t]?)++(?=[^\W\d]|[*_`\"“‘「『])")
_RULE = re.compile(r"(?:[-*_=][ \t]?){3,}+$")
_HAN_DIGITS = "一二三四五六七八九十"
_NUMBER = re.compile(
    r"(?:\d{1,3}(?:[.)](?=[ \t]|[\u3040-\u9fff])|[、．])"
    rf"|[（(](?:\d{{1,3}}|[{_HAN_DIGITS}]{{1,3}})[)）]|[{_HAN_DIGITS}]{{1,3}}、)[ \t]*\S"
)
_FENCE = re.compile(r"(`{3,}+)[^`]*$|(~{3,}+)[^~]*$")
_DELIMITER_ROW = re.compile(r"\|?[ \t]*:?-++:?[ \t]*(?:\|[ \t]*:?-++:?[ \t]*)*+\|?$")


class Line(NamedTuple):
    """One line with its marks taken out. `alone`: a block of its own; `starts`: begins one; an empty text ends one."""

    text: str
    starts: bool = False
    alone: bool = False


_END = Line("")


def read_lines(text: str) -> list[Line]:
    """The lines of `text` without fenced code, heading marks, bullets, rules, quote marks and the bars of tables."""
    lines = [line.strip() for line in text.split("\n")]
    lines = _drop_fences(lines) if "```" in text or "~~~" in text else lines
    rows = _table_rows(lines) if "|" in text else frozenset()
    return [_read_row(line) if number in rows else read_line(line) for number, line in enumerate(lines)]


def read_line(line: str) -> Line:
    """One stripped line that is no row of a table."""
    if not line or (line[0].isalpha() and line[0] not in _HAN_DIGITS):
        return Line(line)
    if _RULE.match(line):
        return _END
    if mark := _HEADING.match(line):
        return Line(_HEADING_END.sub("", line[mark.end() :]), alone=True)
    if mark := _QUOTE.match(line):
        line = line[mark.end() :]
    if mark := _BULLET.match(line):
        return Line(line[mark.end() :], starts=True)
    return Line(line, starts=_NUMBER.match(line) is not None)


def drop_inline_marks(text: str) -> str:
    """`text`, one block, without emphasis, code ticks and strike marks; links and images leave their text."""
    if _INLINE.search(text) is None:
        return text
    if "](" in text:
        text = _LINK.sub(r"\1", _IMAGE.sub(r"\1", text))
    if "<" in text:
        text = _AUTOLINK.sub(r"\1", text)
    return _drop_pairs(text)


def _drop_fences(lines: list[str]) -> list[str]:
    """Lines without closed fenced code. What follows a fence that is never closed is kept: it may be the text."""
    kept: list[str] = []
    opened_at, fence = 0, ""
    for line in lines:
        match = _FENCE.match(line) if line[:3] in ("```", "~~~") else None
        if match is not None and not fence:
            opened_at, fence = len(kept), match.group(1) or match.group(2)
            kept.append("")
        elif fence and line.startswith(fence) and not line.strip(fence[0]):
            del kept[opened_at:]
            kept.append("")
            fence = ""
        else:
            kept.append(line)
    return kept


def _table_rows(lines: list[str]) -> frozenset[int]:
    """Numbers of the lines that are rows: around a delimiter row, or several in bars one after another."""
    rows: set[int] = set()
    barred = [len(line) > 2 and line[0] == line[-1] == "|" for line in lines]
    for number, line in enumerate(lines):
        if "|" in line and "-" in line and number and "|" in lines[number - 1] and _DELIMITER_ROW.match(line):
            rows.update((number - 1, number))
        elif ("|" in line and number - 1 in rows) or (number and barred[number] and barred[number - 1]):
            rows.update((number, number - 1) if barred[number] and barred[number - 1] else (number,))
    return frozenset(rows)


def _read_row(line: str) -> Line:
    if _DELIMITER_ROW.match(line):
        return _END
    return Line(join_cells(line.split("|")), alone=True)


def join_cells(cells: list[str]) -> str:
    """A row of a table as it is read: its cells in order, a comma between them."""
    cells = [cell for cell in (cell.strip() for cell in cells) if cell]
    return ("，" if any("\u3040" <= last <= "\u9fff" for last in (cell[-1] for cell in cells)) else ", ").join(cells)


def _drop_pairs(text: str) -> str:
    """`text` without matching marks. Marks of one kind and length pair up, the nearest first; an odd one stays."""
    cuts: list[tuple[int, int]] = []
    opened: dict[str, list[int]] = {}
    for match in _MARK.finditer(text):
        start, end = match.span()
        if ticks := match.group("tick"):
            cuts += ((start, start + len(ticks)), (end - len(ticks), end))
            continue
        mark = match.group()
        if len(mark) > 3 or mark == "~~~":
            continue
        before, after = text[start - 1 : start], text[end : end + 1]
        waiting = opened.get(mark)
        if waiting and _closes(mark, before, after):
            begun = waiting.pop()
            cuts += ((begun, begun + len(mark)), (start, end))
        elif _opens(mark, before, after):
            opened.setdefault(mark, []).append(start)
    if not cuts:
        return text
    cuts.sort()
    kept, at = [], 0
    for start, end in cuts:
        kept.append(text[at:start])
        at = end
    kept.append(text[at:])
    return "".join(kept)


def _is_word(character: str) -> bool:
    """A letter or digit of a script with spaces, where a mark inside a word is not emphasis."""
    return character.isalnum() and character < "\u2e80"


def _opens(mark: str, before: str, after: str) -> bool:
    if not after or after.isspace():
        return False
    return not _is_word(before) and (mark != "*" or after not in ".,;:!?)]}/")  # x**2, *.py


def _closes(mark: str, before: str, after: str) -> bool:
    if not before or before.isspace():
        return False
    return mark not in ("*", "_", "__", "___") or not _is_word(after)
