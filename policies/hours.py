"""Times of day, as `hours: "22:00-06:00 Asia/Shanghai"` writes them: parsed once, when a policy is read.

Knows nothing about dates or about the clock: the moment comes with the snapshot.
"""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from policies.strict import near

_FORM = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})(?:\s+(\S+))?")
_DAY_MINUTES = 24 * 60
_EXAMPLE = "22:00-06:00 Asia/Shanghai"


@dataclass(frozen=True, slots=True)
class Hours:
    """From `start` (included) to `end` (not included), in minutes after midnight; `end` before `start` wraps midnight.

    `zone` None: the time zone of the snapshot's own `now`.
    """

    start_min: int
    end_min: int
    zone: zoneinfo.ZoneInfo | None = None

    def hold(self, now: datetime) -> bool:
        """Whether the wall clock of the zone is inside; `now` carries a time zone."""
        local = self.local(now)
        minute = local.hour * 60 + local.minute
        if self.start_min < self.end_min:
            return self.start_min <= minute < self.end_min
        return minute >= self.start_min or minute < self.end_min

    def local(self, now: datetime) -> datetime:
        """`now` on the wall clock that these hours are about."""
        return now if self.zone is None else now.astimezone(self.zone)

    def __str__(self) -> str:
        times = f"{_clock(self.start_min)}-{_clock(self.end_min)}"
        return times if self.zone is None else f"{times} {self.zone.key}"


def parse_hours(given: object) -> Hours:
    """`given` as `HH:MM-HH:MM [ZONE]`. Raises pydantic's custom error that says what is wrong and what to do."""
    if isinstance(given, Hours):
        return given
    form = _FORM.fullmatch(given.strip()) if isinstance(given, str) else None
    if form is None:
        raise _wrong(f'{given!r} are no hours: write them as "{_EXAMPLE}", the zone may be left out')
    start, end = _minutes(form[1], form[2]), _minutes(form[3], form[4])
    if start == _DAY_MINUTES:
        start = 0
    if start == end:
        raise _wrong(f"{given!r} begin and end at the same time: for the whole day, take `hours` out")
    return Hours(start, end, _zone(form[5]) if form[5] else None)


def _minutes(hour: str, minute: str) -> int:
    minutes = int(hour) * 60 + int(minute)
    if int(minute) > 59 or minutes > _DAY_MINUTES:
        raise _wrong(f"{hour}:{minute} is no time of day: write 00:00 to 24:00")
    return minutes


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder's name, such as "Asia"
        advice = near(name, zoneinfo.available_timezones())
        raise _wrong(f"unknown time zone {name!r}; write an IANA name such as Asia/Shanghai or UTC; {advice}") from None


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("hours", message)


_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": r"^\s*\d{1,2}:\d{2}\s*-\s*\d{1,2}:\d{2}(\s+\S+)?\s*$",
    "examples": [_EXAMPLE],
}

#: a field of a model: a string in YAML and JSON, `Hours` in Python
HoursField = Annotated[Hours, BeforeValidator(parse_hours), PlainSerializer(str), WithJsonSchema(_SCHEMA)]
