"""What the gateway in front of another speech server is compared with: a bare Litestar application that passes on.

It takes the same request, parses its body with msgspec, asks the server at BENCH_UPSTREAM, waits for its status, and
sends on whatever comes as it comes, with the client that BENCH_CLIENT names. It knows nothing else.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import aiohttp
import httpx
import msgspec
from litestar import Litestar, get, post
from litestar.params import Body
from litestar.response import Stream

UPSTREAM, CLIENT = os.environ["BENCH_UPSTREAM"], os.environ["BENCH_CLIENT"]


class Speech(msgspec.Struct):
    input: str
    model: str = "tts-1"
    voice: str = "alloy"
    response_format: str = "pcm"


class Aiohttp:
    """aiohttp, with as many connections as are wanted."""

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)

    async def close(self) -> None:
        await self._session.close()

    async def speak(self, body: bytes) -> AsyncGenerator[bytes, None]:
        async with self._session.post(UPSTREAM, data=body, headers={"content-type": "application/json"}) as answer:
            answer.raise_for_status()
            yield b""
            async for piece in answer.content.iter_any():
                yield piece


class Httpx:
    """httpx, likewise."""

    async def open(self) -> None:
        self._session = httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=60)

    async def close(self) -> None:
        await self._session.aclose()

    async def speak(self, body: bytes) -> AsyncGenerator[bytes, None]:
        headers = {"content-type": "application/json"}
        async with self._session.stream("POST", UPSTREAM, content=body, headers=headers) as answer:
            answer.raise_for_status()
            yield b""
            async for piece in answer.aiter_raw():
                yield piece


client = {"aiohttp": Aiohttp, "httpx": Httpx}[CLIENT]()


async def _rest(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        async for piece in pieces:
            yield piece


@post("/v1/speech", status_code=200)
async def speech(data: Annotated[Speech, Body()]) -> Stream:
    pieces = client.speak(msgspec.json.encode(data))
    await anext(pieces)  # the status is known
    return Stream(_rest(pieces), media_type="audio/pcm")


@get("/readyz")
async def readyz() -> dict[str, str]:
    return {"status": "ready"}


app = Litestar(
    [speech, readyz], on_startup=[client.open], on_shutdown=[client.close], openapi_config=None, logging_config=None
)
