"""The API keys of a configuration: who is behind a key that a client sends. Knows nothing about files or HTTP.

A key is 32 random bytes, written as text. Nobody guesses 256 bits, so that a plain SHA-256 of it is kept: the slow,
salted hashes that passwords need protect what people choose, and would cost each request milliseconds.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from gateway.keys.caller import Caller

#: what every key begins with, so that people and scanners of leaked secrets know one when they see it
PREFIX = "vg_"

State = Literal["active", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key: whose it is, and the SHA-256 of it, 32 bytes."""

    caller: Caller
    digest: bytes = field(repr=False)
    revoked: bool = False

    def state(self, now: datetime) -> State:
        """Expiry takes effect at its moment: nothing needs to be read again."""
        if self.revoked:
            return "revoked"
        expires = self.caller.expires
        return "active" if expires is None or now < expires else "expired"


_NOBODY = Key(Caller(), bytes(32))


@dataclass(frozen=True)
class Keyring:
    """All keys, replaced as a whole. `anybody` is the caller where no key is needed, with the limits of all together.

    `on`: requests need a key. True from the first key on, and never False again by way of `renewed`: who takes the
    last key away closes the door. Revoked and expired keys count, so that a restart does not open it either.
    """

    keys: Mapping[str, Key] = field(default_factory=dict)
    anybody: Caller = field(default_factory=Caller)
    on: bool = False
    _by_digest: Mapping[bytes, Key] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", self.on or bool(self.keys))
        object.__setattr__(self, "_by_digest", {key.digest: key for key in self.keys.values()})

    def find(self, presented: bytes) -> Key | None:
        """The key that was presented, whatever its state; None when there is none like it.

        A look-up by digest, then a comparison in constant time. The look-up's time depends on a digest alone, and
        whoever sends keys cannot choose one: to come nearer to a digest that is there by what the times tell, they
        would have to invert SHA-256. Python also hashes the digest under a secret of this process, and compares
        bytes only where that agrees. The last comparison is made whether something was found or not.
        """
        digest = digest_of(presented)
        key = self._by_digest.get(digest, _NOBODY)
        return key if hmac.compare_digest(key.digest, digest) else None

    def renewed(self, later: Keyring) -> Keyring:
        """What a file says by now, in place of these keys: on if these were."""
        return Keyring(later.keys, later.anybody, self.on or later.on)


def new_key() -> str:
    """A key that never was."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(key: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(key).digest()


def active(keys: Iterable[Key], now: datetime) -> list[Key]:
    """Those that open the door now."""
    return [key for key in keys if key.state(now) == "active"]
