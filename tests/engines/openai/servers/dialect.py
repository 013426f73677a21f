"""What a stand-in server speaks: how it takes a request to speak, what it answers, and in which form it complains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tests.engines.openai.servers.wire import Heard, Reply, json_reply


class Dialect(Protocol):
    """One kind of server, as its public documentation and sources describe it."""

    base: str  # what a base URL ends in
    speech_path: str
    rate_hz: int  # of its model
    voices: Sequence[str]

    async def answer(self, heard: Heard) -> Reply:
        """To any request."""

    def error(self, status: int, message: str, code: str = "") -> Reply:
        """A complaint in this server's form."""


class Complaint(Exception):
    """What stops a dialect from answering: an error that its client is told."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def model_list(names: Sequence[str], owner: str) -> Reply:
    """As OpenAI lists models, and all others do."""
    data = [{"id": name, "object": "model", "created": 1_686_935_002, "owned_by": owner} for name in names]
    return json_reply(200, {"object": "list", "data": data})


def missing_field(name: str, *, form: bool = False) -> Reply:
    """FastAPI's complaint about a body without a field that is required: 422, with a list."""
    detail = [{"type": "missing", "loc": ["body", name], "msg": "Field required", "input": None if form else {}}]
    return json_reply(422, {"detail": detail})


def not_found() -> Reply:
    """FastAPI's answer to a path that it does not know."""
    return json_reply(404, {"detail": "Not Found"})
