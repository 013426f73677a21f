from __future__ import annotations

import pytest

from engines.errors import EngineFault
from engines.openai.audio import ReplyAudio
from gateway.audio.wav import wav_header

PCM = bytes(range(250)) * 2


def read(content_type: str, *pieces: bytes, **headers: str) -> tuple[bytes, int]:
    """The samples and the rate that come of a body; taken for 24 kHz where nobody says another."""
    named = {"content-type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    audio = ReplyAudio(named, 24000)
    pcm = b"".join(map(audio.take, pieces))
    audio.end()
    return pcm, audio.rate_hz


@pytest.mark.parametrize("content_type", ["audio/pcm", "application/octet-stream", "", "audio/L16; channels=1"])
def test_samples_are_given_as_they_come(content_type: str) -> None:
    assert read(content_type, PCM[:1], PCM[1:7], PCM[7:]) == (PCM, 24000)


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [
        ("audio/pcm", {"x_sample_rate": "16000"}),
        ("audio/pcm", {"x_audio_sample_rate": "16000"}),
        ("audio/pcm;rate=16000", {}),
        ('audio/pcm; channels=1; Rate = "16000"', {}),
    ],
)
def test_a_rate_that_the_reply_tells_is_believed(content_type: str, headers: dict[str, str]) -> None:
    assert read(content_type, PCM, **headers) == (PCM, 16000)


@pytest.mark.parametrize("rate", ["", "many", "-1", "16000.5", "\u00b2", "9" * 5000])
def test_what_is_no_rate_is_not(rate: str) -> None:
    assert read("audio/pcm", PCM, x_sample_rate=rate) == (PCM, 24000)


@pytest.mark.parametrize("content_type", ["audio/wav", "audio/pcm", "application/octet-stream"])
def test_a_wav_file_is_read_as_one_whatever_was_asked_for(content_type: str) -> None:
    file = wav_header(22050, len(PCM)) + PCM
    assert read(content_type, file[:3], file[3:50], file[50:], x_sample_rate="8000") == (PCM, 22050)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("audio/pcm", b""),
        ("audio/pcm", b"\0"),
        ("audio/wav", wav_header(22050, 0)),
        ("audio/wav", PCM),
        ("application/json", b'{"error": {"message": "no"}}'),
        ("text/html; charset=utf-8", b"<!doctype html>"),
        ("application/octet-stream", b"\n<html><body>sign in"),
        ("audio/pcm", b'{"error": "the model is not loaded"}'),
        ("", b'{ "detail": "Not Found"}'),
        ("audio/mpeg", b"\xff\xfb\x90\x64" * 50),
        ("application/octet-stream", b"ID3\x04" + PCM),
        ("audio/pcm", b"OggS" + PCM),
        ("audio/pcm", PCM[:-1]),
    ],
)
def test_what_is_no_speech_is_never_taken_for_it(content_type: str, body: bytes) -> None:
    with pytest.raises(EngineFault):
        read(content_type, body)


@pytest.mark.parametrize("content_type", ["audio/pcm", "audio/wav"])
def test_audio_that_ends_with_an_error_is_not_all(content_type: str) -> None:
    head = wav_header(24000, None) if content_type == "audio/wav" else b""
    with pytest.raises(EngineFault, match="ended its audio with an error"):
        read(content_type, head + PCM, PCM + b'{"error": {"message": "no memory"}}\n')
    words = b'{"error": "of samples"}   '
    assert read(content_type, head + words + PCM if head else PCM + words + PCM)[1] == 24000


@pytest.mark.parametrize(
    "headers", [{"x_sample_rate": "1"}, {"x_sample_rate": "400000"}, {"x_audio_sample_rate": "0"}, {"type": "9000000"}]
)
def test_a_rate_that_no_speech_has_is_a_fault(headers: dict[str, str]) -> None:
    content_type = "audio/pcm; rate=999999" if "type" in headers else "audio/pcm"
    with pytest.raises(EngineFault, match="which no speech has"):
        read(content_type, PCM, **headers)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_audio_that_was_compressed_unasked_is_not_taken(encoding: str) -> None:
    """What decompresses it takes a cut for its end."""
    with pytest.raises(EngineFault, match="compresses"):
        read("audio/pcm", PCM, content_encoding=encoding)
    assert read("audio/pcm", PCM, content_encoding="identity") == (PCM, 24000)


def test_speech_may_begin_with_anything_that_is_no_word() -> None:
    for begin in (b"\xff\xfb\x90\x64", b"\0\0\0\0", b"<\0{\0", b"{\0\xff\xff"):
        assert read("audio/pcm", begin + PCM) == (begin + PCM, 24000)


def test_only_a_file_that_tells_its_length_tells_its_end() -> None:
    for head, tells in ((wav_header(24000, len(PCM)), True), (wav_header(24000, None), False), (b"", False)):
        audio = ReplyAudio({"content-type": "audio/wav" if head else "audio/pcm"}, 24000)
        audio.take(head + PCM)
        assert audio.tells_its_end == tells
