"""Which rule decides, found without asking one after another: a thousand rules take hardly longer than three.

Rules are bits of a number. What a request says of itself (its length, voice, key, …) leaves the same rules each time
that it says the same, so that these are worked out once, by the conditions themselves, and remembered. What depends on
the engines, the moment or the lot is asked of the first rule that is left; when it does not hold, all rules that ask
the same fall with it. Knows nothing of what a condition means.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from policies.conditions import CONDITIONS
from policies.policy import Rule
from policies.types import Ask, Snapshot

#: the conditions that look at one fact of the request alone; those about its length have a facet of their own
FACTS: dict[str, Callable[[Ask], Hashable]] = {
    "languages": lambda ask: ask.languages,
    "voices": lambda ask: ask.voice,
    "models": lambda ask: ask.model,
    "formats": lambda ask: ask.format,
    "keys": lambda ask: ask.key,
    "tags": lambda ask: ask.tags,
    "stream": lambda ask: ask.stream,
}
LENGTHS = ("min_chars", "max_chars")
#: values of one fact for which the rules are remembered
REMEMBERED = 20_000


@dataclass(slots=True)
class Question:
    """A condition as some rules state it, word for word; `rules` has a bit for each of them."""

    name: str
    value: Any
    rules: int = 0

    def holds(self, ask: Ask, snapshot: Snapshot) -> bool:
        return CONDITIONS[self.name].holds(self.value, ask, snapshot)


class Facet:
    """All that the rules ask about one fact; `fact` finds it in a request."""

    def __init__(self, fact: Callable[[Ask], Hashable], questions: Sequence[Question]) -> None:
        self._fact, self._questions = fact, questions
        self._known: dict[Hashable, int] = {}

    def denied(self, ask: Ask, snapshot: Snapshot) -> int:
        """The rules that such a request does not meet."""
        fact = self._fact(ask)
        rules = self._known.get(fact)
        if rules is None:
            rules = 0
            for question in self._questions:
                if not question.holds(ask, snapshot):
                    rules |= question.rules
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[fact] = rules
        return rules


class Index:
    """Over the rules of one policy, in their order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._all = (1 << len(rules)) - 1
        asked: dict[tuple[str, str], Question] = {}
        self._others: list[tuple[Question, ...]] = []  # of each rule, what is not remembered
        for place, rule in enumerate(rules):
            questions = [
                asked.setdefault((name, repr(value)), Question(name, value)) for name, value in rule.when.given
            ]
            for question in questions:
                question.rules |= 1 << place
            self._others.append(tuple(one for one in questions if one.name not in FACTS and one.name not in LENGTHS))
        by_name = {name: [one for one in asked.values() if one.name == name] for name in (*FACTS, *LENGTHS)}
        tags = frozenset(tag for one in by_name["tags"] for tag in one.value)
        facts = {**FACTS, "tags": lambda ask: ask.tags & tags}  # clients may send any others
        self._facets = [Facet(fact, by_name[name]) for name, fact in facts.items() if by_name[name]]
        if lengths := [*by_name["min_chars"], *by_name["max_chars"]]:
            # between two of these lengths nothing changes
            borders = sorted({one.value + (one.name == "max_chars") for one in lengths})
            self._facets.append(Facet(lambda ask: bisect_right(borders, ask.chars), lengths))

    def first(self, ask: Ask, snapshot: Snapshot) -> int | None:
        """The place of the first rule whose conditions all hold."""
        left = self._all
        for facet in self._facets:
            left &= ~facet.denied(ask, snapshot)
        while left:
            place = (left & -left).bit_length() - 1
            for question in self._others[place]:
                if not question.holds(ask, snapshot):
                    left &= ~question.rules
                    break
            else:
                return place
        return None
