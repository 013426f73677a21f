"""Makes PCM of the body of a reply while it comes, and tells whether that is audio at all.

Servers answer 200 with nothing, with an error as JSON, with a page for browsers or in a format that nobody asked for:
none of that may be heard as speech, or taken for success. Knows nothing about sockets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engines.errors import EngineFault
from engines.openai.wav import MAGIC, WavStream
from engines.remote.pcm import WholeSamples, require_rate

_WAV_TYPES = frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"})
#: formats that would have to be decoded
_ENCODED_TYPES = frozenset(
    {"audio/mpeg", "audio/mp3", "audio/ogg", "audio/opus", "audio/aac", "audio/flac", "audio/mp4", "audio/webm"}
)
#: what such files begin with: mp3 with tags, Ogg, FLAC, Matroska
_ENCODED_HEADS = (b"ID3", b"OggS", b"fLaC", b"\x1aE\xdf\xa3")
#: how JSON and pages begin, also under the type of audio: as samples, that would be a loud crack
_WORDS = re.compile(rb'\s*(\{\s*"[A-Za-z_]|<(!|\?xml|html))', re.IGNORECASE)
#: an error that a server put behind the audio that it had sent by then: what ends so is not all
_LAST_WORDS = re.compile(rb'\{\s*"(error|detail)"\s*:.*\}\s*\Z', re.DOTALL)
_LONGEST_LAST_WORDS_BYTES = 4096
#: in which servers tell the rate of PCM, beside the type's own `rate=`
RATE_HEADERS = ("x-sample-rate", "x-audio-sample-rate")
_RATE = re.compile(r"\brate\s*=\s*\"?([0-9]{4,6})\b", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,9}")


class ReplyAudio:
    """`take` gives the samples in the body's next bytes; `end` says that it is over. All three raise EngineFault.

    A wav file is read as one whatever was asked for. `rate_hz` holds once there are samples.
    """

    def __init__(self, headers: Mapping[str, str], rate_hz: int) -> None:
        self._type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if self._type.startswith("text/") or self._type.endswith("json"):
            raise EngineFault("the engine's server answers with words where audio was asked for")
        if self._type in _ENCODED_TYPES:
            raise EngineFault(f"the engine's server answers with {self._type} where PCM or wav was asked for")
        if headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
            raise EngineFault("the engine's server compresses its audio unasked: its end could not be told from a cut")
        self._rate_hz = _told_rate(headers) or rate_hz
        self._head = b""  # too little to tell what it is
        self._stream: WavStream | WholeSamples | None = None
        self._heard = False
        self._last = b""

    @property
    def rate_hz(self) -> int:
        return self._stream.rate_hz if isinstance(self._stream, WavStream) else self._rate_hz

    @property
    def tells_its_end(self) -> bool:
        """Does the audio itself say where it ends."""
        return isinstance(self._stream, WavStream) and self._stream.tells_its_end

    def take(self, piece: bytes) -> bytes:
        """The whole samples that there are by now; may be empty."""
        if self._stream is None:
            piece = self._head = self._head + piece
            if len(piece) < len(MAGIC):
                return b""
            self._stream = self._recognise(piece)
        self._last = piece
        pcm = self._stream.take(piece)
        self._heard = self._heard or bool(pcm)
        return pcm

    def end(self) -> None:
        """Nothing more comes. Raises EngineFault where that was no audio, or not all of it."""
        if self._stream is not None:
            self._stream.end()
        if not self._heard:
            raise EngineFault("the engine's server ended its answer without any audio")
        if _LAST_WORDS.search(self._last[-_LONGEST_LAST_WORDS_BYTES:]):
            raise EngineFault("the engine's server ended its audio with an error")

    def _recognise(self, head: bytes) -> WavStream | WholeSamples:
        if head.startswith(MAGIC):
            return WavStream()
        if _WORDS.match(head):
            raise EngineFault("the engine's server answers with words where audio was asked for")
        if head.startswith(_ENCODED_HEADS):
            raise EngineFault("the engine's server answers in another format than PCM or wav")
        if self._type in _WAV_TYPES:
            raise EngineFault("the engine's server answers with a wav file that is none")
        return WholeSamples()


def _told_rate(headers: Mapping[str, str]) -> int:
    """The rate in Hz that the headers tell; 0: none. Raises EngineFault."""
    for name in RATE_HEADERS:
        if _DIGITS.fullmatch(text := headers.get(name, "").strip()):
            return require_rate(int(text))
    told = _RATE.search(headers.get("content-type", ""))
    return require_rate(int(told[1])) if told else 0
