"""keys.yaml, typed: hashes of API keys, and what each key may. Knows nothing about keys themselves: they stand nowhere.

The file is written by `voxgate keys`. Where there is none, there are no keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.configuration.advice import validate
from gateway.configuration.settings import Countable, Limits, Section
from gateway.configuration.yaml import Document
from gateway.keys.caller import Caller
from gateway.keys.keyring import PREFIX, Key, Keyring
from policies.fields import Names

#: what stands in a file that is not there
NO_KEYS = b"version: 1\n"
#: names stand in logs and in Redis: no white space, no punctuation that means something there
_NAME = re.compile(r"\w[\w.-]{0,63}")


def check_name(name: str) -> str:
    """`name`, if a key may be called so. Raises ValueError with advice."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a key: use letters, digits, `_`, `-` and `.`, 64 at most")
    return name


def parse_time(text: object) -> datetime:
    """A moment: a date (its beginning, in UTC) or a time with its zone. Raises ValueError with advice."""
    try:
        moment = text if isinstance(text, datetime) else datetime.fromisoformat(str(text))
    except ValueError:
        moment = None
    if moment is not None and moment.tzinfo is None and re.fullmatch(r"\d{4}-\d\d-\d\d", str(text)):
        moment = moment.replace(tzinfo=UTC)
    if moment is None or moment.tzinfo is None:
        raise ValueError("must be a date such as 2027-01-31, or a time with its zone such as 2027-01-31T12:00:00Z")
    return moment


def _sha256(text: str) -> str:
    if text.startswith(PREFIX):  # and is not repeated here: problems are logged
        raise ValueError("a key does not belong in a file, only its SHA-256: write `voxgate keys add NAME`")
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("must be the SHA-256 of a key, 64 of 0-9 and a-f: `voxgate keys add NAME` writes it")
    return text


Moment = Annotated[datetime, BeforeValidator(parse_time, json_schema_input_type=str)]


class KeyLimits(Section):
    """What this key may use. Unset: as `limits` of gateway.yaml says; 0: no limit."""

    requests_per_minute: Countable | None = Field(None, description="requests in a minute")
    characters_per_minute: Countable | None = Field(None, description="characters of text in a minute")
    audio_seconds_per_day: Countable | None = Field(None, description="seconds of speech in a day")
    in_flight: Countable | None = Field(None, description="requests at the same time")

    def over(self, defaults: Limits) -> Limits:
        """These limits, and the defaults where nothing is said."""
        return defaults.model_copy(update=self.model_dump(exclude_none=True))


class KeyEntry(Section):
    """One key. Only its SHA-256 is known."""

    sha256: Annotated[str, AfterValidator(_sha256)] = Field(description="of the key, in hexadecimal")
    limits: KeyLimits = Field(KeyLimits(), description="unset: as `limits` of gateway.yaml says; 0: no limit")
    tags: Names = Field((), description="added to the tags of its requests, for policies")
    voices: Names | None = Field(
        None, description="voices, aliases or `ENGINE:VOICE` that it may ask for; unset: all; `[]`: none"
    )
    engines: Names | None = Field(None, description="engines that may speak for it; unset: all; `[]`: none")
    expires: Moment | None = Field(
        None, description="from when on it is refused: a date, in UTC, or a time with its zone; unset: never"
    )
    admin: bool = Field(False, description="whether it sees details of engines and may use /v1/admin and /metrics")
    created: Moment | None = Field(None, description="when it was made")
    revoked: Moment | None = Field(
        None, description="since when it is refused: it stays here, so that taking the last key away opens nothing"
    )


class KeysFile(Section):
    """keys.yaml: the API keys, by their names."""

    version: Literal[1] = Field(description="of this file's form")
    keys: Mapping[Annotated[str, AfterValidator(check_name)], KeyEntry] = Field(
        default_factory=dict, description="name -> key"
    )

    def keyring(self, defaults: Limits) -> Keyring:
        """What requests are held to. `defaults`: the limits of gateway.yaml."""
        keys = {name: _key(name, entry, defaults) for name, entry in self.keys.items()}
        return Keyring(keys, Caller(limits=defaults))


def type_keys(document: Document) -> KeysFile | None:
    """The keys that the document holds; None, with every problem noted in it, if anything is wrong."""
    file = validate(KeysFile, document) if document.data is not None else None
    if file is None:
        return None
    first: dict[str, str] = {}
    for name, entry in file.keys.items():
        if (other := first.setdefault(entry.sha256, name)) != name:
            text = f"is the same key as {other!r}: take one of the two out"
            document.problem(("keys", name, "sha256"), text)
    return None if document.failed else file


def _key(name: str, entry: KeyEntry, defaults: Limits) -> Key:
    caller = Caller(
        name=name,
        admin=entry.admin,
        voices=None if entry.voices is None else frozenset(entry.voices),
        engines=None if entry.engines is None else frozenset(entry.engines),
        tags=frozenset(entry.tags),
        limits=entry.limits.over(defaults),
        expires=entry.expires,
        # another key under a name that was used before is somebody else
        tenant=f"{name}\0{entry.sha256[:16]}",
    )
    return Key(caller, bytes.fromhex(entry.sha256), revoked=entry.revoked is not None)
