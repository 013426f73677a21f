"""Hides keys and accounts in what people will pass on. Knows nothing about any server's protocol.

Hidden are values under telling names (of headers, fields and queries), and wherever else the same values stand; the
host of each address but for its last two labels, and that of the server that was asked also without an address around
it; and whatever has the look of a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

MASK = "***"
#: a value shorter than this is no key and names no account, and stands in other words by chance
_TELLING_CHARS = 8
_CREDENTIAL = re.compile(r"authorization|cookie|api[-_]?key|token|secret|password|signature|credential", re.IGNORECASE)
_ACCOUNT = re.compile(
    r"account|workspace|organi[sz]ation|project|user[-_]?id|(?<!u)uid|client[-_]?ip|forwarded|remote", re.IGNORECASE
)
#: `sk-…` as several clouds make keys and as their errors cite them, and what follows `Bearer`
_KEY = re.compile(r"\bsk-[\w*.…-]{4,}|(?<=\bbearer )[\w*.…~+/=-]{4,}", re.IGNORECASE)
_ADDRESS = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>`]+")


class Masks:
    """Values that no file may hold: those it was told of, and more with each that it sees under a telling name."""

    def __init__(self, environ: Mapping[str, str], values: Iterable[str] = ()) -> None:
        self._hidden: set[str] = set()
        for name, value in environ.items():
            if _CREDENTIAL.search(name):
                self._learn(value)
        for value in values:
            self._learn(value)

    def _learn(self, value: str) -> None:
        for part in (value, value.partition(" ")[2]):  # `Bearer KEY`: the key alone, too
            if len(part) >= _TELLING_CHARS:
                self._hidden.add(part)

    def _learn_host(self, url: str) -> None:
        """A server tells its own address in redirects, errors and headers, with a scheme and without."""
        with suppress(ValueError):
            parts = urlsplit(url)
            host = parts.hostname or ""
            # a name alone is a word as others: `tts`
            self._hidden |= {one for one in (parts.netloc, host) if "." in one or ":" in one}

    def text(self, text: str) -> str:
        """`text` without what was seen so far, without hosts, and without what looks like a key."""
        return self._without_seen(_ADDRESS.sub(lambda found: self.address(found[0]), text))

    def _without_seen(self, text: str) -> str:
        for value in sorted(self._hidden, key=len, reverse=True):  # a key before a piece of it
            text = text.replace(value, MASK)
        return _KEY.sub(MASK, text)

    def first(self, data: bytes, count: int) -> bytes:
        """The first `count` bytes of `data`; of a binary frame that holds a secret after all, without it."""
        for value in self._hidden:
            data = data.replace(value.encode(errors="surrogateescape"), MASK.encode())
        return data[:count]

    def fields(self, value: Any, name: str = "") -> Any:
        """Parsed JSON with the same fields and types, without what names of fields give away. Learns from it."""
        if isinstance(value, dict):
            return {self.text(key): self.fields(one, key) for key, one in value.items()}
        if isinstance(value, list):
            return [self.fields(one, name) for one in value]
        if isinstance(value, str) and value:
            if _CREDENTIAL.search(name) or _ACCOUNT.search(name):
                self._learn(value)
                return MASK
            if name == "url":
                self._learn_host(value)
            return self.text(value)
        if isinstance(value, int) and not isinstance(value, bool) and _ACCOUNT.search(name):
            return 0
        return value

    def address(self, url: str) -> str:
        """A URL whose host is known by its last two labels, an IP address not at all, and whose queries tell no key."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return MASK
        labels = (parts.hostname or "").split(".")
        public = len(labels) > 2 and not labels[-1].isdigit()
        host = ".".join([MASK, *labels[-2:]]) if public else MASK
        query = [
            (name, MASK if _CREDENTIAL.search(name) or _ACCOUNT.search(name) else value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        ]
        return self._without_seen(urlunsplit((parts.scheme, host, parts.path, urlencode(query, safe="*"), "")))
