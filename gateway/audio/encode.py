"""PCM in, the bytes of one well-formed file out, as early as the format allows.

Knows nothing about HTTP, engines or clauses: whatever the pieces that the PCM comes in, the same file comes out.
libav is imported when the first encoder that needs it is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, cast

from gateway.audio.flac import HEAD_BYTES, count_samples, with_length
from gateway.audio.rates import encoder_rate
from gateway.audio.wav import HEADER_BYTES, wav_header
from gateway.request import FORMATS, Format

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

#: resampling and encoding take 1 to 6 ms of CPU for each second of sound: pieces of this length keep nobody waiting
SLICE_MS = 200

#: what is sent as content-type. Opus: the file is Ogg, and RFC 7845 (section 9) names it so; `audio/opus` is a payload
#: of RTP (RFC 7587). PCM: what OpenAI sends; its rate travels in `x-sample-rate`.
_MEDIA_TYPES: dict[Format, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg; codecs=opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


class Encoder(Protocol):
    """One file in the making: s16le mono at `sample_rate` Hz in. Not to be shared between threads at once.

    `encode` may return nothing while the codec gathers a frame; `finish` gives all that is still inside. `close`
    frees the codec, at any time, as often as called; leaving a `with` block does it too.
    """

    sample_rate: int
    slice_ms: int  # the length of the pieces that it should be given, so that none takes long

    def encode(self, pcm: bytes) -> bytes: ...
    def finish(self) -> bytes: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def open_encoder(format: Format, sample_rate: int) -> Encoder:
    """An encoder for PCM at `sample_rate` Hz. Raises `ValueError` for a rate that the format cannot carry.

    Resample to `encoder_rate(format, …)` first: opus does not take all rates.
    """
    if encoder_rate(format, sample_rate) != sample_rate:
        raise ValueError(f"{format} takes no {sample_rate} Hz; resample to encoder_rate() first")
    if format in ("wav", "pcm"):
        return _PlainEncoder(format, sample_rate)
    return _CodecEncoder(format, sample_rate)


def media_type(format: Format) -> str:
    """The content-type of a file in `format`. No parameter tells the rate: clients compare these as strings."""
    return _MEDIA_TYPES[format]


def finish_clip(format: Format, encoded: bytes) -> bytes:
    """A whole file as streamed, made better now that its end is known: wav and flac get their true sizes."""
    if format == "wav":
        sample_rate = int.from_bytes(encoded[24:28], "little")
        return wav_header(sample_rate, len(encoded) - HEADER_BYTES) + encoded[HEADER_BYTES:]
    if format == "flac" and (samples := count_samples(encoded)) is not None:
        return with_length(encoded[:HEAD_BYTES], samples) + encoded[HEAD_BYTES:]
    return encoded


def slices(pcm: bytes, sample_rate: int, slice_ms: int) -> Iterator[bytes]:
    """`pcm` in pieces of at most `slice_ms` of sound, whole samples each.

    Encoding takes 1 to 6 ms of CPU for each second of sound: between slices an event loop can serve others.
    """
    step = max(1, sample_rate * slice_ms // 1000) * 2
    if len(pcm) <= step:
        if pcm:
            yield pcm
        return
    for start in range(0, len(pcm), step):
        yield pcm[start : start + step]


def load_codecs() -> None:
    """Load libav and every codec now, so that no request pays for it: the first of each costs some 70 ms in all."""
    for format in FORMATS:
        with open_encoder(format, 24000) as encoder:
            encoder.encode(bytes(24000))
            encoder.finish()


class _PlainEncoder:
    """wav and pcm: the samples as they are, wav behind a header that leaves its sizes open."""

    slice_ms = 2000

    def __init__(self, format: Format, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._head = wav_header(sample_rate) if format == "wav" else b""
        self._odd = b""  # half a sample, when a piece was cut inside one

    def encode(self, pcm: bytes) -> bytes:
        whole = self._odd + pcm
        cut = len(whole) & ~1
        head, self._head, self._odd = self._head, b"", whole[cut:]
        return head + whole[:cut] if head or cut != len(whole) else whole

    def finish(self) -> bytes:
        head, self._head = self._head, b""
        return head

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Codec(NamedTuple):
    """How libav makes one of our formats; bit/s for up to 12 kHz, up to 32 kHz, and above; 0: lossless."""

    muxer: str
    name: str
    sample_format: str
    bit_rates: tuple[int, int, int]
    muxer_options: dict[str, str]
    options: dict[str, str]


_CODECS: dict[str, _Codec] = {
    # A Xing header counts frames that are not known yet, an ID3 tag delays the first frame: both off. Constant rate.
    # LAME's quality 7 of 0 to 9 shapes no noise: 40 % less CPU than 5, and at these rates the noise in each band of
    # speech stays as far below the sound as with 5, or farther (measured; only above 10 kHz it comes 1 dB nearer).
    "mp3": _Codec(
        "mp3",
        "libmp3lame",
        "s16p",
        (32000, 64000, 96000),
        {"write_xing": "0", "id3v2_version": "0"},
        {"compression_level": "7"},
    ),
    # One packet of 20 ms a page (µs): the default page of 1 s would hold the first sound back.
    # Complexity 5 of 10 costs a third of the CPU; at these rates a voice sounds the same.
    "opus": _Codec(
        "ogg",
        "libopus",
        "s16",
        (24000, 48000, 48000),
        {"page_duration": "20000"},
        {"application": "audio", "frame_duration": "20", "compression_level": "5"},
    ),
    "aac": _Codec("adts", "aac", "fltp", (32000, 64000, 96000), {}, {}),
    # Blocks of 1024 samples (43 ms at 24 kHz) instead of 105 ms: earlier, and for speech no larger. No 8 kB of padding.
    "flac": _Codec("flac", "flac", "s16", (0, 0, 0), {"metadata_header_padding": "0"}, {"frame_size": "1024"}),
}


class _Sink:
    """Where libav writes: memory that cannot be sought in, so that no muxer waits to patch its header."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken


class _CodecEncoder:
    """mp3, opus, aac and flac through libav. Feeds whole frames of the codec, whatever pieces the PCM comes in."""

    slice_ms = SLICE_MS
    _container: OutputContainer | None = None
    _stream: AudioStream | None = None

    def __init__(self, format: Format, sample_rate: int) -> None:
        import av

        codec = _CODECS[format]
        self.sample_rate = sample_rate
        self._pending = bytearray()  # less than a frame
        self._samples = 0  # fed to the codec so far
        self._sink = _Sink()
        self._container = av.open(
            self._sink, "w", format=codec.muxer, options={**codec.muxer_options, "flush_packets": "1"}
        )
        try:
            self._stream = _add_stream(self._container, codec, sample_rate)
            self._container.start_encoding()
            self._frame_bytes = self._stream.codec_context.frame_size * 2
        except BaseException:
            self.close()
            raise

    def encode(self, pcm: bytes) -> bytes:
        pending = self._pending
        pending += pcm
        whole = len(pending) - len(pending) % self._frame_bytes
        if whole:
            self._feed(bytes(pending[:whole]))
            del pending[:whole]
        return self._sink.take()

    def finish(self) -> bytes:
        if self._container is None or self._stream is None:
            raise ValueError("the encoder is closed")
        rest = len(self._pending) & ~1
        if rest:
            self._feed(bytes(self._pending[:rest]))
        self._pending.clear()
        self._container.mux(self._stream.encode(None))  # the sound that the codec still delays
        self.close()  # writes what ends the file
        return self._sink.take()

    def close(self) -> None:
        container, self._container, self._stream = self._container, None, None
        if container is not None:
            container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # an encoder that was dropped: libav's objects refer to each other, and would wait for the garbage collector
        self.close()

    def _feed(self, pcm: bytes) -> None:
        import av

        if self._container is None or self._stream is None:
            raise ValueError("the encoder is closed")
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.planes[0].update(pcm)
        frame.sample_rate = self.sample_rate
        frame.time_base = Fraction(1, self.sample_rate)
        frame.pts = self._samples
        self._samples += len(pcm) // 2
        self._container.mux(self._stream.encode(frame))


def _add_stream(container: OutputContainer, codec: _Codec, sample_rate: int) -> AudioStream:
    stream = cast("AudioStream", container.add_stream(codec.name, rate=sample_rate, options=codec.options))
    stream.layout = "mono"
    stream.format = codec.sample_format
    low, middle, high = codec.bit_rates
    bit_rate = low if sample_rate <= 12000 else middle if sample_rate <= 32000 else high
    if bit_rate:
        stream.bit_rate = bit_rate
    return stream
