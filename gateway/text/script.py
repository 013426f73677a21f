"""What is to be spoken, after preparation: the noun that the text package makes and the pipeline speaks."""

from __future__ import annotations

from dataclasses import dataclass

from engines.contract import Markup


@dataclass(frozen=True, slots=True)
class Clause:
    """The unit of synthesis and of failover: a sentence, or a part of one at a clause border."""

    text: str
    language: str  # base code: zh, yue, en, ja, …


@dataclass(frozen=True, slots=True)
class Script:
    """A whole text ready to be spoken."""

    clauses: tuple[Clause, ...]
    chars: int  # code points once markup is taken out and white space is folded
    languages: tuple[str, ...]  # the most frequent first
    audio_s: float  # estimated seconds of speech at speed 1
    markup: Markup = "plain"
