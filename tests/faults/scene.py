"""The stage on which things go wrong: a gateway with engines that break, and one that is always well.

Every engine beside `spare` is reached by the tag of a rule; a request without tags is spoken by `spare` alone.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from engines.contract import AudioChunk, EngineKind, Instance, SpeechRequest
from engines.tone import ToneEngine, ToneOptions

#: of `tone`: milliseconds from one word to the next
WORD_MS = 120
#: milliseconds that are far more than a machine with much else to do needs for anything
LONG_MS = 60_000

Yaml = dict[str, Any]


def rule(tag: str, use: list[str], **terms: object) -> Yaml:
    """A rule for requests with a tag, by which an engine is tried once, and nobody is waited for in vain."""
    defaults = {"retries": 0, "first_audio_ms": LONG_MS, "gap_ms": LONG_MS}
    return {"name": tag, "when": {"tags": [tag]}, "use": use, **defaults, **terms}


def files(
    engines: Mapping[str, Yaml], rules: list[Yaml], keys: Yaml | None = None, **settings: object
) -> dict[str, str]:
    """The files of a gateway. JSON is YAML."""
    gateway = {"version": 1, "data_dir": "{data}", "served_log": {"enabled": False}} | settings
    more = {} if keys is None else {"keys": json.dumps({"version": 1, "keys": keys})}
    return more | {
        "gateway": json.dumps(gateway),
        "engines": json.dumps({"version": 1, "engines": {**engines, "spare": {"kind": "tone"}}}),
        "voices": json.dumps({"version": 1, "default": "v", "voices": {"v": {"languages": ["en"]}}}),
        "policies": json.dumps({"version": 1, "rules": [*rules, {"name": "everybody", "use": ["spare"]}]}),
    }


def fault(mode: str, *, isolation: str = "inline", chunk_ms: float = 60, **options: object) -> Yaml:
    return {
        "kind": "fault",
        "of": {"kind": "tone", "chunk_ms": chunk_ms},
        "mode": mode,
        "isolation": isolation,
    } | options


class Gate:
    """How many pieces of audio engines of the kind `gated` may give; told across threads."""

    def __init__(self) -> None:
        self.begun = threading.Event()  # somebody was asked to speak
        self._left = 0

    @property
    def kind(self) -> EngineKind:
        """`tone`, behind this gate."""

        def create(instance: Instance, options: ToneOptions) -> _Gated:
            return _Gated(instance, options, self)

        return EngineKind("gated", ToneOptions, create, "for tests", "", isolation="inline")

    def close(self) -> None:
        self.begun.clear()
        self._left = 0

    def open(self, pieces: int = 1_000_000) -> None:
        """Let so many more pass."""
        self._left += pieces

    async def passed(self) -> None:
        self.begun.set()
        while self._left <= 0:  # noqa: ASYNC110 - another thread opens it
            await asyncio.sleep(0.002)
        self._left -= 1


class _Gated(ToneEngine):
    def __init__(self, instance: Instance, options: ToneOptions, gate: Gate) -> None:
        super().__init__(instance, options)
        self._gate = gate

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        async with aclosing(super().synthesize(request)) as chunks:
            async for chunk in chunks:
                await self._gate.passed()
                yield chunk
