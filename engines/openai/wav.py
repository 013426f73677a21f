"""Reads a wav file while it comes: what its header says, then its samples. 16 bit mono PCM, and nothing else.

A file whose length was not known when its header was written has 0xFFFFFFFF, or 0, in its place: it goes on to the end
of the reply. Of a file that says its length, every sample must come, and no more: what follows is a chunk, or another
file. Files behind one another, as servers send that
make one for each sentence, are read as one. Format: RIFF with the chunks `fmt ` and `data` (Microsoft and IBM, 1991),
and WAVE_FORMAT_EXTENSIBLE (Microsoft, 2001). Knows nothing about HTTP.
"""

from __future__ import annotations

import re
import struct

from engines.errors import EngineFault
from engines.remote.pcm import WholeSamples, require_rate

MAGIC = b"RIFF"
_PCM, _EXTENSIBLE = 0x0001, 0xFFFE
#: lengths that mean "until the end": 0, and all from here on (bytes), as some writers take the header off 0xFFFFFFFF or
#: begin at 0x7FFFFFFF; at 48 kHz it would be six hours of speech
_ENDLESS_BYTES = 0x7FFF0000
#: another chunk than `data` that is longer (bytes) has no business in a reply
_LONGEST_CHUNK_BYTES = 1 << 20
#: what chunks are called; samples that stand where a chunk should be are seldom so
_NAME = re.compile(rb"[ -~]{4}")
#: behind a chunk of odd length
_PAD = b"\0"


class WavStream:
    """`take` gives the samples in the file's next bytes; `end` says that it is over. Both raise EngineFault."""

    def __init__(self) -> None:
        self.rate_hz = 0  # known before the first sample is given
        self._held = b""  # what is not read yet: a part of a chunk's head
        self._samples = WholeSamples()
        self._left: int | None = 0  # bytes of samples still to come in this chunk; None: all up to the end
        self._begun = False

    @property
    def tells_its_end(self) -> bool:
        """Does the file itself say where it ends."""
        return self._begun and self._left is not None

    def take(self, piece: bytes) -> bytes:
        """The whole samples that there are by now; may be empty."""
        self._held += piece
        found: list[bytes] = []
        while self._held:
            if self._left == 0:
                if not self._read_head():
                    break
                continue
            data = self._held if self._left is None else self._held[: self._left]
            self._held = self._held[len(data) :]
            if self._left is not None:
                self._left -= len(data)
            found.append(self._samples.take(data))
        return found[0] if len(found) == 1 else b"".join(found)

    def end(self) -> None:
        """Nothing more comes. Raises EngineFault where samples that the header promised are missing."""
        if not self._begun:
            raise EngineFault("the server's wav file ends before its audio begins")
        if self._left:
            raise EngineFault(f"the server's wav file lacks its last {self._left} bytes: it was cut short")
        if self._held not in (b"", _PAD):
            raise EngineFault("the server's wav file ends inside a chunk: it was cut short")
        self._samples.end()

    def _read_head(self) -> bool:
        """Go over the head of the file, or a whole chunk before its samples; False while that is not there."""
        held = self._held
        if len(held) < (12 if held[:4] == MAGIC else 8):
            return False
        name, length = held[:4], int.from_bytes(held[4:8], "little")
        if name == MAGIC:
            if held[8:12] != b"WAVE":
                raise EngineFault("the server sent a RIFF file that is no wav file")
            self._begun, self._held = False, held[12:]
            return True
        if name == b"data":
            if not self.rate_hz:
                raise EngineFault("the server's wav file has samples before it says what they are")
            self._begun, self._held = True, held[8:]
            self._left = None if not 0 < length < _ENDLESS_BYTES else length
            return True
        if length > _LONGEST_CHUNK_BYTES or not _NAME.fullmatch(name):
            where = "goes on behind the end that it tells" if self._begun else "cannot be read"
            raise EngineFault(f"the server's wav file {where}: no chunk of it is where one should be")
        whole = 8 + length + length % 2
        if len(held) < whole:
            return False
        if name == b"fmt ":
            self._read_format(held[8 : 8 + length])
        self._held = held[whole:]
        return True

    def _read_format(self, body: bytes) -> None:
        if len(body) < 16:
            raise EngineFault("the server's wav file does not say what its samples are")
        tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", body)
        if tag == _EXTENSIBLE and len(body) >= 26:
            tag = int.from_bytes(body[24:26], "little")
        if (tag, channels, bits) != (_PCM, 1, 16):
            form = "PCM" if tag == _PCM else f"samples of format {tag}"
            raise EngineFault(
                f"the server's wav file has {bits} bit {form} in {channels} channels, not 16 bit mono PCM"
            )
        if self.rate_hz not in (0, rate_hz):
            raise EngineFault(f"the server's sample rate changes within a reply: {self.rate_hz} Hz, then {rate_hz} Hz")
        self.rate_hz = require_rate(rate_hz)
