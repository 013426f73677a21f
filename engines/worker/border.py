"""The rules of `synthesize`, enforced where an engine's audio leaves its process.

Whatever an engine does, what crosses this border is a stream that keeps the contract, or a `SpeechError`. Knows
nothing about sockets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from engines.contract import AudioChunk, Engine, SpeechRequest
from engines.errors import EngineFault, SpeechError, without_addresses

#: an exception's text in an error message is cut here
MAX_MESSAGE_CHARS = 300

log = logging.getLogger("voxgate.worker")


async def keep_rules(engine: Engine, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
    """Speak `request`. Empty chunks are left out; half samples, a change of rate and silence become `EngineFault`.

    Anything raised that is no `SpeechError` is wrapped, its stack goes to the log. That holds for `SystemExit` too,
    and for a `CancelledError` that the engine made up: only the caller's own cancelling passes.
    """
    rate = 0
    try:
        async with aclosing(engine.synthesize(request)) as chunks:
            async for chunk in chunks:
                rate = _checked(chunk, rate)
                if chunk.pcm:
                    yield chunk
    except (SpeechError, GeneratorExit):
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise EngineFault("the engine cancelled itself") from error
    except BaseException as error:
        # Its text may name hosts and keys, and the message is shown to clients: they are told the type alone.
        log.error("speaking failed", exc_info=error)
        raise EngineFault(f"failed: {type(error).__name__}") from error
    if not rate:
        raise EngineFault("ended without audio")


def one_line(error: BaseException) -> str:
    """`Type: message`, without line breaks and addresses, and of bounded length."""
    text = without_addresses(" ".join(str(error).split()))
    if len(text) > MAX_MESSAGE_CHARS:
        text = text[: MAX_MESSAGE_CHARS - 1] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _checked(chunk: AudioChunk, rate: int) -> int:
    """The stream's sample rate, 0 as long as there was no audio. Raises `EngineFault`."""
    if not isinstance(chunk.pcm, bytes):
        raise EngineFault(f"gave audio as {type(chunk.pcm).__name__} instead of bytes")
    if len(chunk.pcm) % 2:
        raise EngineFault(f"gave {len(chunk.pcm)} bytes of 16 bit audio: half a sample")
    if not chunk.pcm:
        return rate
    if chunk.sample_rate <= 0 or rate not in (0, chunk.sample_rate):
        raise EngineFault(f"changed the sample rate from {rate or 'none'} to {chunk.sample_rate} Hz within a stream")
    return chunk.sample_rate
