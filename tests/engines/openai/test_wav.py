from __future__ import annotations

import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import EngineFault
from engines.openai.wav import WavStream

PCM = bytes(range(200)) * 3


def wav(pcm: bytes = PCM, rate_hz: int = 22050, channels: int = 1, width: int = 2) -> bytes:
    """A file as Python's own library writes it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, width, rate_hz, 0, "NONE", ""))
        writer.writeframes(pcm)
    return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def with_length(told: int) -> bytes:
    """A file whose header tells that length of its data."""
    file = wav()
    return file[:4] + struct.pack("<I", told) + file[8:40] + struct.pack("<I", told) + file[44:]


def read(file: bytes, sizes: tuple[int, ...] = (1 << 20,)) -> tuple[bytes, int]:
    """The samples and the rate, of a file that comes in pieces of these sizes in turn."""
    stream, pcm, at, turn = WavStream(), b"", 0, 0
    while at < len(file):
        size = sizes[turn % len(sizes)]
        pcm, at, turn = pcm + stream.take(file[at : at + size]), at + size, turn + 1
    stream.end()
    return pcm, stream.rate_hz


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8).map(tuple))
def test_however_it_is_cut_the_samples_are_those_of_the_file(sizes: tuple[int, ...]) -> None:
    files = wav() + chunk(b"LIST", b"odd") + wav(PCM[::-1])
    assert read(files, sizes) == (PCM + PCM[::-1], 22050)


@pytest.mark.parametrize("told", [0, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF - 36])
def test_a_length_that_was_not_known_means_up_to_the_end(told: int) -> None:
    file = with_length(told)
    assert read(file) == (PCM, 22050)
    stream = WavStream()
    stream.take(file)
    assert not stream.tells_its_end


def test_chunks_before_and_behind_the_audio_are_no_audio() -> None:
    file = wav()
    file = file[:12] + chunk(b"JUNK", b"x" * 28) + file[12:36] + chunk(b"LIST", b"INFOISFT") + file[36:]
    assert read(file + chunk(b"id3 ", b"PCM?"), (7,)) == (PCM, 22050)


def test_the_extensible_form_is_read_too() -> None:
    guid = struct.pack("<H", 1) + b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
    body = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 48000, 96000, 2, 16, 22, 16, 4) + guid
    file = b"RIFF\xff\xff\xff\xffWAVE" + chunk(b"fmt ", body) + chunk(b"data", PCM)
    assert read(file) == (PCM, 48000)


@pytest.mark.parametrize("missing", [1, 2, 300, 599])
def test_a_file_that_is_shorter_than_it_says_was_cut(missing: int) -> None:
    with pytest.raises(EngineFault, match="cut short"):
        read(wav()[:-missing])


@pytest.mark.parametrize(
    "more", [PCM, bytes(400), b"\x03\x00\xfe\xff" * 100, b"\x01\x00", chunk(b"LIST", b"INFO")[:-1]]
)
def test_a_file_that_goes_on_behind_the_end_that_it_tells_is_not_taken_for_whole(more: bytes) -> None:
    """Else whatever a server speaks behind the length of its first sentence would be lost in silence."""
    with pytest.raises(EngineFault, match=r"goes on behind|cut short"):
        read(wav() + more)


@pytest.mark.parametrize("left", [2, 12, 36, 43, 44])
def test_a_second_file_that_was_cut_is_not_taken_for_the_end_of_the_first(left: int) -> None:
    with pytest.raises(EngineFault, match=r"before its audio|cut short"):
        read(wav() + wav()[:left])


@pytest.mark.parametrize("left", [4, 11, 12, 35, 43])
def test_a_file_that_ends_in_its_header_has_no_audio(left: int) -> None:
    with pytest.raises(EngineFault, match="before its audio"):
        read(wav()[:left])


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (wav(channels=2), "2 channels"),
        (wav(width=1), "8 bit PCM"),
        (wav()[:20] + struct.pack("<H", 3) + wav()[22:], "format 3"),
        (wav(rate_hz=1), "1 Hz, which no speech has"),
        (wav(rate_hz=4_000_000), "4000000 Hz"),
        (wav(rate_hz=16000) + wav(), "16000 Hz, then 22050 Hz"),
        (b"RIFF\x00\x00\x00\x00AVI " + wav()[12:], "no wav file"),
        (wav()[:12] + wav()[36:], "before it says"),
        (wav()[:12] + b"noise, and more noise", "cannot be read"),
    ],
)
def test_what_is_not_taken_is_told(file: bytes, said: str) -> None:
    with pytest.raises(EngineFault, match=said):
        read(file)
