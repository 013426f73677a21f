"""What is raised on purpose below the gateway, told as the command line tells its failures: in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def plainly() -> Iterator[None]:
    """A ValueError of models/ or of an engine's recipe becomes a ClickException, without a traceback."""
    try:
        yield
    except ValueError as error:
        raise click.ClickException(" ".join(str(error).split())) from error
