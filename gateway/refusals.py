"""The gateway's own errors, beside the engines' closed set: no engine is to blame for these."""

from __future__ import annotations

from engines.errors import DeadlineExceeded, SpeechError
from policies.types import Plan


class ModelNotFound(SpeechError):
    """`model` names neither an alias nor an engine."""

    code = "model_not_found"
    status = 404


class Unauthorized(SpeechError):
    """No key, or none that is valid now: unknown, expired and revoked ones look alike."""

    code = "invalid_api_key"
    status = 401


class Forbidden(SpeechError):
    """The key is valid, and may not do this."""

    code = "not_allowed"
    status = 403


class OutOfTime(DeadlineExceeded):
    """The client's `deadline_ms` or the rule's `total_ms` is over: no engine's fault, and no other can help."""

    try_next = False
    health = "unhurt"

    def __init__(self, message: str = "the time allowed for this request is over before the speech was") -> None:
        super().__init__(message)


class NoEngine(SpeechError):
    """No engine was left to speak. Carries the plan, so that the caller sees why.

    `status`, `code` and `client_may_retry` are those of the cause: 400 when every engine lacks what was asked for, 503
    worth another try when all are busy, else what the last engine's error says.
    """

    def __init__(
        self,
        message: str,
        plan: Plan,
        *,
        status: int = 503,
        code: str = "no_engine",
        retry_after_s: float | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, param=param)
        self.plan = plan
        self.status = status
        self.code = code
        self.client_may_retry = retry_after_s is not None
