"""What an answer that is no audio means for the gateway: which error it is, and when its server will be worth asking.

By status and by the codes of OpenAI's error objects, never by words. Of what a server says, only the first line of a
complaint about the request is passed on to clients, without addresses: some put stack traces or keys there. Knows
nothing about sockets.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from engines.errors import (
    Busy,
    EngineFault,
    Refused,
    SpeechError,
    Throttled,
    Unavailable,
    Unsupported,
    without_addresses,
)

#: seconds for which a server that only people can help is not worth asking: its key, account or address is wrong
HOPELESS_S = 300.0
#: when a throttled server does not say when to come back
THROTTLED_S = 5.0
#: of what a server tells to come back in, no more is believed (seconds)
LONGEST_RETRY_S = 600.0
_SAID_CHARS = 200
#: what messages begin with
_SERVER = "the engine's server "
#: an address without a scheme, or a place in code: `10.0.0.5:8000`, `gpu-box.internal:8000`, `app.py:12`
_PLACE = re.compile(r"\b(?:(?:\d{1,3}\.){3}\d{1,3}|localhost)(?::\d+)?\b|\b[\w-]+(?:\.[\w-]+)+:\d+\b")

#: codes of OpenAI's error objects that say more than the status
_NO_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_INSPECTED = frozenset({"content_policy_violation", "content_filter", "moderation_blocked"})
_UNKNOWN_MODEL = frozenset({"model_not_found", "invalid_model"})
#: what OpenAI, and what FastAPI and Starlette answer at a path that they do not have
_UNKNOWN_PATH = "unknown_url"
_NO_ROUTE = {"detail": "Not Found"}


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a server said instead of audio. Each may be empty."""

    message: str = ""
    code: str = ""
    param: str = ""
    no_route: bool = False

    @classmethod
    def read(cls, body: bytes) -> Complaint:
        """From OpenAI's shape, FastAPI's, or anything else with an `error` or a `detail`."""
        try:
            told = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return cls(no_route=True)
        if not isinstance(told, dict):
            return cls()
        error = told.get("error", told.get("detail"))
        if isinstance(error, list) and error:  # a list of what is wrong with the fields
            error = error[0]
        if not isinstance(error, dict):
            return cls(_line(error), no_route=told == _NO_ROUTE)
        code = error.get("code") or (error.get("error") if "message" in error else None)
        place = error.get("loc")
        param = error.get("param") or (place[-1] if isinstance(place, list) and place else None)
        return cls(_line(error.get("message") or error.get("msg")), _word(code), _word(param))


def judge(status: int, headers: Mapping[str, str], body: bytes, key: str = "") -> SpeechError:
    """What an answer means whose status is not 200. `key` is what must not be repeated."""
    said, retry_s = Complaint.read(body), retry_after_s(headers, time.time())
    if 300 <= status < 400:
        return _hopeless("names another address, where the key must not follow: write that as its url")
    if status == 508 or said.code == "loop_detected":
        return _hopeless("leads back to this gateway itself: one of its urls is wrong")
    if status == 401 or (status == 403 and said.param != "voice"):
        if not key:
            return _hopeless("wants a key, and none is set: name its variable by `api_key_env` in engines.yaml")
        return _hopeless("refuses the key: see api_key_env in engines.yaml")
    if status == 402 or said.code in _NO_MONEY:
        return _hopeless("says that the account has no credit left")
    if said.code in _INSPECTED:
        return Refused("the engine's server refuses the text for what it says")
    if said.code == Busy.code:
        return Busy("the engine's server is busy", retry_after_s=retry_s or THROTTLED_S)
    if status == 429 or (status == 503 and retry_s):
        return Throttled("the engine's server has too many requests", retry_after_s=retry_s or THROTTLED_S)
    if status == 405 or (status == 404 and (said.no_route or said.code == _UNKNOWN_PATH)):
        return _hopeless("does not speak at this path: a url usually ends in /v1, and `preset` must fit")
    if said.code in _UNKNOWN_MODEL or (status == 404 and said.param == "model"):
        return _hopeless("does not know the model: see `model` in engines.yaml")
    if status in (408, 425, 502, 503, 504):
        return Unavailable(f"the engine's server cannot speak now (HTTP {status})")
    if 400 <= status < 500 or status == 501:
        told = f": {said.message}" if said.message and not (key and key in said.message) else ""
        return Unsupported(f"the engine's server does not take the request (HTTP {status}){told}")
    return EngineFault(f"the engine's server failed (HTTP {status})")


def another_may(error: SpeechError) -> bool:
    """Is it this server that failed, so that another of the same engine may do better."""
    return error.health != "unhurt" or error.client_may_retry


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds that `retry-after-ms` or `retry-after` (seconds or a date, RFC 9110, 10.2.3) tells; None: neither."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if not text:
            continue
        try:
            seconds = float(text) * unit_s
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - now_s
            except (ValueError, OverflowError):
                continue
        if not math.isnan(seconds):
            return min(max(seconds, 0.1), LONGEST_RETRY_S)
    return None


def mildest(errors: list[SpeechError]) -> SpeechError:
    """Of what several servers of one engine answered, what is true of the engine: who is back first tells it.

    A server that is only busy makes the engine so, whatever happened to the others. What they met is told with it, each
    thing once: a wrong key beside a server that is gone would wait until that one is back.
    """
    badness = {"unhurt": 0, "cools": 1, "hurt": 2}
    found = min(errors, key=lambda one: (badness[one.health], one.retry_after_s or 0.0))
    others = dict.fromkeys(one.message for one in errors if one.message != found.message)
    if not others:
        return found
    told = "; ".join([found.message, *(f"another {one.removeprefix(_SERVER)}" for one in others)])
    return type(found)(told, retry_after_s=found.retry_after_s, param=found.param)


def _hopeless(what: str) -> Unavailable:
    return Unavailable(f"{_SERVER}{what}", retry_after_s=HOPELESS_S)


def _line(text: Any) -> str:
    """The first line, short, without addresses and what steers a terminal; nothing of a stack trace."""
    lines = text.strip().splitlines() if isinstance(text, str) else []
    if not lines or "Traceback" in lines[0]:
        return ""
    line = _PLACE.sub("(an address)", without_addresses(lines[0]))
    line = "".join(one if one.isprintable() else " " for one in line)
    return line if len(line) <= _SAID_CHARS else line[: _SAID_CHARS - 1] + "…"


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
