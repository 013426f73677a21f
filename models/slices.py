"""Work that stops now and then, so that others can be served and it can be given up between: generators of nothing.

Knows nothing about what the work is, nor who decides when it goes on.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")


def whole(slices: Generator[None, None, Result]) -> Result:
    """Do it in one go; its result."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            result: Result = end.value
            return result
