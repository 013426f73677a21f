"""Text that its sender calls markdown, as it is read aloud: CommonMark with tables and strikethrough.

Knows nothing about sentences: it gives blocks, each of which ends one. Nothing a reader would see is lost but fenced
code and HTML. Indented lines count as text, because senders indent prose more often than they write code so.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from gateway.text.characters import fold, is_unspaced
from gateway.text.marks import join_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token


def read_markdown(text: str) -> list[str]:
    """The blocks of clean markdown `text`, folded, in reading order; none is empty."""
    blocks: list[str] = []
    cells: list[str] | None = None
    number = ""  # of a list's item, read before its first words
    for token in _parser().parse(text):
        if token.type == "list_item_open" and token.info:
            number = f"{token.info}{token.markup} "
        elif token.type == "list_item_close":
            number = ""
        elif token.type == "tr_open":
            cells = []
        elif token.type == "tr_close" and cells is not None:
            blocks.append(join_cells(cells))
            cells = None
        elif token.type == "inline":
            read = _read_inline(token.children or ())
            if cells is not None:
                cells.append(fold(read))
            else:
                blocks.extend((number + read).split("\n"))
                number = ""
    return [folded for folded in map(fold, blocks) if folded]


@cache
def _parser() -> MarkdownIt:
    """A parser holds rules and no text, so one serves every request."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable(["code"])


def _read_inline(tokens: Sequence[Token]) -> str:
    """The words of one block; a hard break is a line end."""
    parts: list[str] = []
    for number, token in enumerate(tokens):
        if token.type in ("text", "code_inline"):
            # CommonMark does not see the end of **你好。**世界: without a space its rules take it for a beginning
            parts.append(token.content.replace("**", "") if token.type == "text" else token.content)
        elif token.type == "image":
            parts.append(_read_inline(token.children or ()))
        elif token.type == "html_inline":
            parts.append(" ")
        elif token.type == "hardbreak":
            parts.append("\n")
        elif token.type == "softbreak":
            before = parts[-1][-1:] if parts else ""
            after = tokens[number + 1].content[:1] if number + 1 < len(tokens) else ""
            parts.append("" if before and after and is_unspaced(before) and is_unspaced(after) else " ")
    return "".join(parts)
