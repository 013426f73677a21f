"""What goes wrong at Model Studio, as data: each error code and HTTP status, and what it means for the gateway.

Codes and statuses from the public pages on Model Studio's errors; what an error says in words never decides anything.
Knows nothing about sockets: the class of an error says who tries again, who is next and what becomes of the engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from engines.errors import EngineFault, Refused, SpeechError, Throttled, Unavailable, Unsupported, without_addresses

#: seconds after which a key, an account or a voice is tried again: none of them heals by itself
MEND_S = 300.0
#: characters of what the service said that a message passes on
TOLD_CHARS = 200

_KEY = re.compile(r"\b(?:sk|st)-[\w.-]+")


class Lost(EngineFault):
    """The connection is of no use: it ended where more was due, or speaks of another task before this one started."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What codes stand for. `quotes`: its message goes on with what the service said, which is about the text."""

    codes: tuple[str, ...]
    statuses: tuple[int, ...]
    error: type[SpeechError]
    message: str
    param: str | None = None
    retry_after_s: float | None = None
    quotes: bool = False

    def raised(self, code: str, said: str = "") -> SpeechError:
        """An error of this fault, under the name that the service gave it."""
        name = code if re.fullmatch(r"[\w. ]{1,60}", code) else "no code"
        told = _KEY.sub("(a key)", without_addresses(" ".join(said.split())))[:TOLD_CHARS]
        message = f"{self.message} ({name}{f': {told}' if self.quotes and told else ''})"
        return self.error(message, param=self.param, retry_after_s=self.retry_after_s)


#: A code without a row of its own stands in that of its beginning: `Throttling.RateQuota` under `Throttling`.
FAULTS = (
    Fault(
        codes=(
            *("InvalidApiKey", "AccessDenied", "Workspace.AccessDenied", "WorkSpaceNotFound", "Arrearage"),
            *("PrepaidBillOverdue", "PostpaidBillOverdue", "CommodityNotPurchased", "AllocationQuota.FreeTierOnly"),
        ),
        statuses=(401, 402, 403),
        error=Unavailable,
        message="the speech service refuses this gateway's key or account: its operator must look at both",
        retry_after_s=MEND_S,
    ),
    Fault(
        codes=("InvalidURL",),
        statuses=(*range(200, 400), 400, 404, 405, 410, 426),
        error=Unavailable,
        message="the speech service is not at the endpoint that is configured: the operator must correct it",
        retry_after_s=MEND_S,
    ),
    Fault(
        codes=("ModelNotFound", "Model.NotExist", "Model.AccessDenied"),
        statuses=(),
        error=Unsupported,
        message="the speech service does not offer this voice: take another one",
        param="voice",
        retry_after_s=MEND_S,
    ),
    Fault(
        codes=("InvalidParameter", "BadRequest", "UnsupportedOperation"),
        statuses=(413,),
        error=Unsupported,
        message="the speech service cannot speak this text with this voice",
        quotes=True,
    ),
    Fault(
        codes=("DataInspectionFailed",),
        statuses=(),
        error=Refused,
        message="the speech service refuses to speak this text because of its content",
    ),
    Fault(
        codes=("Throttling", "AllocationQuota", "RateQuota", "BurstRate"),
        statuses=(429,),
        error=Throttled,
        message="the speech service takes no more from this account for a moment",
    ),
    Fault(
        codes=(
            *("InternalError", "SystemError", "ServiceUnavailable", "ModelServiceFailed", "ModelUnavailable"),
            *("ModelServingError", "RequestTimeOut", "ResponseTimeout", "CLIENT_ERROR"),
        ),
        statuses=(408, *range(500, 600)),
        error=EngineFault,
        message="the speech service failed: try again",
    ),
)
#: of a code or status that stands nowhere
UNKNOWN = FAULTS[-1]


def failed(code: str, said: str) -> SpeechError:
    """The error that a task-failed stands for, by its code."""
    return (_by_code(code) or UNKNOWN).raised(code, said)


def turned_away(status: int, body: bytes, retry_after: str | None = None) -> SpeechError:
    """The error of a handshake that was answered with `status`: by the code in its body if that is known."""
    code, said = _read(body)
    by_status = next((fault for fault in FAULTS if status in fault.statuses), UNKNOWN)
    fault = _by_code(code)
    error = fault.raised(code, said) if fault else by_status.raised(f"HTTP {status}")
    if isinstance(error, Throttled) and retry_after and retry_after.isdecimal():
        error.retry_after_s = float(retry_after)
    return error


def _by_code(code: str) -> Fault | None:
    parts = code.split(".")
    for length in range(len(parts), 0, -1):
        if found := _ROWS.get(_plain(".".join(parts[:length]))):
            return found
    return None


def _plain(code: str) -> str:
    """The service writes some codes in two ways: DataInspectionFailed, data_inspection_failed."""
    return code.replace("_", "").lower()


def _read(body: bytes) -> tuple[str, str]:
    """Code and message out of an HTTP error's JSON; empty where there are none."""
    try:
        told = json.loads(body)
    except ValueError:
        return "", ""
    if not isinstance(told, dict):
        return "", ""
    return str(told.get("code") or ""), str(told.get("message") or "")


def _rows(faults: Iterable[Fault]) -> dict[str, Fault]:
    return {_plain(code): fault for fault in faults for code in fault.codes}


_ROWS = _rows(FAULTS)
