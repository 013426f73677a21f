"""How far long work is, on stderr: a bar for each of its steps on a terminal, a line for each elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import click


class Bars:
    """Hears `(doing, done, whole)`; another `doing` is another bar. `told` writes counts for people."""

    def __init__(self, told: Callable[[float], str] = "{:.0f}".format) -> None:
        self._told = told
        self._doing = ""
        self._bar: Any = None  # click names no type for it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def __call__(self, doing: str, done: int, whole: int) -> None:
        if doing != self._doing or self._bar is None or self._bar.length != whole:
            self._end()
            self._begin(doing, whole)
        bar = self._bar
        if done < bar.pos:  # it was started over
            bar.finished = False
        bar.update(done - bar.pos, done)

    def _begin(self, doing: str, whole: int) -> None:
        counts = f" of {self._told(whole)}"
        self._doing = doing
        self._bar = click.progressbar(
            length=whole,
            label=doing,
            file=sys.stderr,
            item_show_func=lambda done: None if done is None else f"{self._told(done)}{counts}",
        )
        self._bar.render_progress()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.render_finish()
            self._bar = None
