"""Settings that are typed and checked already and do nothing yet: whoever sets one is told so, not left to find out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.configuration.yaml import Document
from policies.strict import Loc

#: path of a value -> is this value one that somebody expects something of
_GATEWAY: dict[Loc, Callable[[Any], bool]] = {
    ("redis", "url"): bool,
    **{
        ("limits", name): lambda limit: limit != 0
        for name in ("requests_per_minute", "characters_per_minute", "audio_seconds_per_day", "in_flight")
    },
    ("served_log",): lambda _: True,
}
_NO_EFFECT = "has no effect in this version"


def note_idle_settings(gateway: Document, policies: Document) -> None:
    """Note each such value as a warning."""
    for path, expects in _GATEWAY.items():
        value = gateway.value(path)
        if path not in gateway.broken and value is not None and expects(value):
            gateway.problem(path, _NO_EFFECT, at_key=True, warning=True)
    for path in list(policies.places):
        if path and path[-1] == "hedge_after_ms":
            policies.problem(path, _NO_EFFECT, at_key=True, warning=True)
