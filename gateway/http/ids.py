"""Request ids: always ours. One that a client sends could be another client's, and outcomes are found by it."""

import os

from litestar.types import HTTPScope, Scope

from gateway.telemetry.logs import REQUEST_ID

_KEY = "voxgate_request_id"


def request_id_of(scope: HTTPScope | Scope) -> str:
    """The id of the request with this scope: 128 random bits in hexadecimal, the same at every call.

    From the first call on, it is in every line that is logged while the request is worked on.
    """
    state = scope["state"]
    request_id = state.get(_KEY)
    if request_id is None:
        request_id = state[_KEY] = os.urandom(16).hex()
        REQUEST_ID.set(request_id)
    return str(request_id)
