"""How processes of one gateway call each other's objects: frames on a unix socket, a length and then MessagePack.

    call     [number, object, method, arguments]
    answer   [number, error or empty, result]

Arguments and results are what `msgspec` can encode; their types are read from the annotations of the Protocol that both
sides know. Answers may come in any order. Knows nothing about what is called.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

import msgspec

#: longest frame (bytes): the largest clip, and some
MAX_FRAME_BYTES = 64 << 20
_LENGTH_BYTES = 4

encode = msgspec.msgpack.encode


class Call(msgspec.Struct, array_like=True):
    """Method `method` of the object `target`; `number` comes back with the answer."""

    number: int
    target: str
    method: str
    arguments: msgspec.Raw


class Answer(msgspec.Struct, array_like=True):
    """`error`: the class of what was raised, empty when it went well."""

    number: int
    error: str
    result: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Signature:
    """One async method: how its arguments and its result travel."""

    arguments: msgspec.msgpack.Decoder[tuple[Any, ...]]
    result: msgspec.msgpack.Decoder[Any]


@cache
def signatures(protocol: Hashable) -> Mapping[str, Signature]:
    """The public async methods of a Protocol, by name. They take arguments by position."""
    found = {}
    for name, method in inspect.getmembers(protocol, inspect.iscoroutinefunction):
        if name.startswith("_"):
            continue
        hints = get_type_hints(method)
        result = hints.pop("return", None)
        arguments = tuple[tuple(hints.values())] if hints else tuple[()]  # type: ignore[misc]
        found[name] = Signature(msgspec.msgpack.Decoder(arguments), msgspec.msgpack.Decoder(result))
    return found


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame. Raises EOFError or ConnectionError when the other side is gone, or sends no frames of ours."""
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
    if length > MAX_FRAME_BYTES:
        raise ConnectionError(f"a frame of {length} bytes")
    return await reader.readexactly(length)


def write_frame(writer: asyncio.StreamWriter, frame: bytes) -> None:
    """Hand a frame to the socket. Raises ConnectionError when it is too long to be sent."""
    if len(frame) > MAX_FRAME_BYTES:
        raise ConnectionError(f"a frame of {len(frame)} bytes is more than {MAX_FRAME_BYTES}")
    writer.write(len(frame).to_bytes(_LENGTH_BYTES) + frame)
