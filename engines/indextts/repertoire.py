"""The voices that were read, kept as long as their files do not change. Knows nothing about who speaks with them."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from engines.errors import Unsupported, near_names
from engines.indextts.shelf import Card, Shelf
from engines.indextts.voice import VoiceBundle

#: voices kept in memory; each takes 3 to 6 MB
_KEPT = 16


class Repertoire:
    """voice = Repertoire(folder, bundle.version).voice("alice")"""

    def __init__(self, folder: Path, model: str) -> None:
        self._shelf, self._model = Shelf(folder), model
        self._kept: OrderedDict[str, tuple[Card, VoiceBundle]] = OrderedDict()

    def voice(self, name: str) -> VoiceBundle:
        """Raises Unsupported with near names, or with what is wrong with its file."""
        cards = {card.name: card for card in self._shelf.cards()}
        if name not in cards:
            raise Unsupported(f"there is no voice {name!r} for this engine; {near_names(name, cards)}")
        card = cards[name]
        if name not in self._kept or self._kept[name][0] != card:
            self._kept[name] = card, VoiceBundle.read(card.path, self._model)
        self._kept.move_to_end(name)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[name][1]
