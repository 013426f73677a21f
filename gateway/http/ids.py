"""Request ids: always ours. One that a client sends could be another client's, and outcomes are found by it."""

import os

from litestar.types import HTTPScope, Scope

_KEY = "voxgate_request_id"


def request_id_of(scope: HTTPScope | Scope) -> str:
    """The id of the request with this scope: 128 random bits in hexadecimal, the same at every call."""
    state = scope["state"]
    request_id = state.get(_KEY)
    if request_id is None:
        request_id = state[_KEY] = os.urandom(16).hex()
    return str(request_id)
