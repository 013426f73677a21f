"""Who asks: one API key's name, and what it may. Knows nothing about HTTP, nor about how keys are stored."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from gateway.configuration.settings import Limits
from gateway.request import ClientRequest


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request. `name` is empty where keys are off; None for voices or engines: all of them."""

    name: str = ""
    admin: bool = False
    voices: frozenset[str] | None = None
    engines: frozenset[str] | None = None
    tags: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    expires: datetime | None = None
    #: whose clips, where they are not shared: the name, and which key of that name. Not the key, and no way to it
    tenant: str = ""

    def ask(self, request: ClientRequest) -> ClientRequest:
        """The same request, asked by this caller. One from nobody in particular stays as it is."""
        if not self.name:
            return request
        return replace(
            request,
            key=self.name,
            tenant=self.tenant,
            tags=request.tags | self.tags,
            allowed_voices=self.voices,
            allowed_engines=self.engines,
        )
