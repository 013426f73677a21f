"""What goes wrong at Model Studio, as data: each error code and HTTP status with what it means for the gateway.

Codes from the public pages on errors of Model Studio; the message of an error never decides anything. Knows nothing
about sockets, retries or breakers: the class of an error says what follows.
"""

from __future__ import annotations

from engines.errors import EngineFault, SpeechError


def failed(code: str, message: str) -> SpeechError:
    """The error that a task-failed stands for."""
    return EngineFault(code + message)
