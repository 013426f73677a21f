"""How a mix of voices is written: `af_heart(2)+af_sky(1)`. Pure; knows no voices."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

#: more would be none of them
MOST_PARTS = 8

_PART = re.compile(r"\s*([^\s()+]+)\s*(?:\(\s*([0-9]+(?:\.[0-9]+)?)\s*\)\s*)?")


@dataclass(frozen=True, slots=True)
class Part:
    """A voice and how much of the mix it is: the shares of all parts make 1."""

    voice: str
    share: float


def parse_mix(text: str) -> tuple[Part, ...]:
    """The parts of a mix, or the one voice that it is; a weight that is left out is 1. Raises ValueError."""
    found: list[tuple[str, float]] = []
    for piece in text.split("+"):
        match = _PART.fullmatch(piece)
        if match is None:
            raise ValueError(f"{text!r} is no voice and no mix of voices; write af_heart, or af_heart(2)+af_sky(1)")
        found.append((match[1], float(match[2] or 1)))
    whole = sum(weight for _, weight in found)
    if len(found) > MOST_PARTS:
        raise ValueError(f"{text[:80]!r} mixes {len(found)} voices; at most {MOST_PARTS} can be mixed")
    if not (0 < whole < math.inf):
        raise ValueError(f"the weights of the mix {text!r} must be above 0")
    return tuple(Part(voice, weight / whole) for voice, weight in found)
