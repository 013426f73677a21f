"""Keys of remote services: found in the environment or in files when they are needed, and shown nowhere.

Nothing is remembered: a file is read again each time, so that a key that was renewed counts from the next connection
on. Knows no particular service.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

#: no key is longer: whatever is has been taken for one by mistake
LONGEST_BYTES = 4096
#: a header's value is made of it, so it is one word of visible ASCII characters
_KEY = re.compile(r"[!-~]+")


class NoKey(Exception):
    """There is no key that could be used. The text says why, for people, and holds nothing of any key."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and where it was found."""

    text: str = field(repr=False)
    source: str

    @property
    def account(self) -> str:
        """What tells accounts apart where their work is counted: nobody finds the key by it."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class KeyPlaces:
    """Where a key may be: in environment variables, then in files. The first place that has one counts.

    A file with the suffix `.toml` has it as `api_key = "…"`; any other holds the key alone.
    """

    variables: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    @classmethod
    def named(cls, variable: str | None, file: Path | str | None) -> Self | None:
        """The place that an engine's options name by `api_key_env` or `api_key_file`; None where they name none.

        Raises ValueError where they name both: which of two keys counts would show only when one is wrong.
        """
        if variable and file:
            raise ValueError("give api_key_env or api_key_file, not both")
        if variable:
            return cls((variable,))
        return cls(files=(Path(file).expanduser(),)) if file else None

    def find(self, environ: Mapping[str, str] | None = None) -> Key:
        """The key as it is now. Reads files. Raises NoKey."""
        environ = os.environ if environ is None else environ
        for variable in self.variables:
            if text := environ.get(variable, "").strip():
                return _usable(text, f"the environment variable {variable}")
        unread: list[str] = []
        for file in self.files:
            try:
                if text := _read(file):
                    return _usable(text, f"the file {file}")
            except FileNotFoundError:
                unread.append(f"there is no file {file}")
            except (OSError, ValueError) as error:
                unread.append(f"the file {file} cannot be read: {getattr(error, 'strerror', None) or error}")
            else:
                unread.append(f"the file {file} holds no key")
        unset = [f"{variable} is not set" for variable in self.variables]
        raise NoKey("; ".join([*unset, *unread]) or "no place for a key is known")


def _usable(text: str, source: str) -> Key:
    if not _KEY.fullmatch(text):
        raise NoKey(f"what stands in {source} is no key: it holds spaces, line breaks or letters outside of ASCII")
    return Key(text, source)


def _read(file: Path) -> str:
    """What a file gives for a key; empty when nothing. Raises OSError and ValueError."""
    with file.open("rb") as opened:
        content = opened.read(LONGEST_BYTES + 1)
    if len(content) > LONGEST_BYTES:
        raise ValueError("it is too long to hold a key")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("it is no text") from None
    if file.suffix != ".toml":
        return text.strip()
    import tomllib

    try:
        key = tomllib.loads(text).get("api_key", "")
    except tomllib.TOMLDecodeError:
        raise ValueError("it is no TOML") from None
    return key.strip() if isinstance(key, str) else ""
