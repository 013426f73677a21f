"""What the gateway's hits are compared with: a bare Litestar application that sends the same bytes from memory.

It takes the same request, parses its body with msgspec, and knows nothing else.
"""

import os
from pathlib import Path
from typing import Annotated

import msgspec
from litestar import Litestar, Response, get, post
from litestar.params import Body

CLIP = Path(os.environ["BENCH_CLIP"]).read_bytes()


class Speech(msgspec.Struct):
    input: str
    model: str = "auto"
    response_format: str = "mp3"


@post("/v1/speech", status_code=200)
async def speech(data: Annotated[Speech, Body()]) -> Response[bytes]:
    return Response(CLIP, media_type="audio/mpeg")


@get("/readyz")
async def readyz() -> dict[str, str]:
    return {"status": "ready"}


app = Litestar([speech, readyz], openapi_config=None, logging_config=None)
