"""Lines into paragraphs: which line ends end a sentence, and which only stand where the page was full.

Knows nothing about sentences within a paragraph.
"""

from __future__ import annotations

from gateway.text.characters import count_wide, fold, is_unspaced
from gateway.text.marks import drop_inline_marks, read_line, read_lines

#: nobody wraps text narrower than this: lines of a narrower block are a poem, a list, an address. In columns, of
#: which a wide character takes two
NARROWEST_PAGE = 40


def read_paragraphs(text: str) -> list[str]:
    """The paragraphs of clean `text`, folded, markdown taken out; each ends a sentence. None is empty."""
    if "\n" not in text:  # most requests
        paragraph = fold(drop_inline_marks(read_line(text.strip()).text))
        return [paragraph] if paragraph else []
    paragraphs: list[str] = []
    lines: list[str] = []

    def end_paragraph() -> None:
        paragraphs.extend(drop_inline_marks(one) for one in _unwrap(lines))
        lines.clear()

    for line in read_lines(text):
        if line.starts or line.alone or not line.text:
            end_paragraph()
        if line.text:
            lines.append(fold(line.text))
        if line.alone:
            end_paragraph()
    end_paragraph()
    return [folded for folded in map(fold, paragraphs) if folded]


def _unwrap(lines: list[str]) -> list[str]:
    """Lines of one block, joined where a line was broken only because the next word did not fit.

    A writer's program breaks a line at the page's edge when the next word would have crossed it: such a line, with
    that word, is wider than the widest line of the block. A line that is shorter was ended on purpose, unless its
    end says that more follows.
    """
    if len(lines) < 2:
        return list(lines)
    widths = [len(line) + count_wide(line) for line in lines]
    page = max(widths)
    joined = [lines[0]]
    for number in range(1, len(lines)):
        last, line = lines[number - 1], lines[number]
        full = page >= NARROWEST_PAGE and widths[number - 1] + _first_word_width(line) > page
        goes_on = last[-1] in ",，、;；-—" or (line[0].islower() and last[-1] not in ".!?…:")
        if not (full or goes_on):
            joined.append("\n")
        elif not (is_unspaced(last[-1]) and is_unspaced(line[0])):
            joined.append(" ")
        joined.append(line)
    return "".join(joined).split("\n")


def _first_word_width(line: str) -> int:
    """Columns that a line's first word needs on the line before: a wide character is a word, punctuation clings."""
    if is_unspaced(line[0]):
        return 2 if len(line) < 2 or is_unspaced(line[1]) is False or line[1].isalnum() else 4
    end = line.find(" ")
    return 1 + (len(line) if end < 0 else end)
