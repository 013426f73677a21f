from __future__ import annotations

import gc
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.errors import InvalidRequest
from gateway.audio.encode import finish_clip, load_codecs, media_type, open_encoder, slices
from gateway.audio.rates import SAMPLE_RATES, check_sample_rate, encoder_rate
from gateway.request import FORMATS

ROOT = Path(__file__).parents[3]
RATES = (8000, 16000, 22050, 24000, 44100, 48000)
CASES = [(format, rate) for format in FORMATS for rate in RATES if encoder_rate(format, rate) == rate]

#: samples that a format may add in all, before and after the sound: the encoder's own delay and the last frame's rest.
#: mp3: 1105 + up to two frames of 1152 or 576; aac: 1024 + a frame of 1024; the others say exactly where they end
ADDED = {"mp3": 1105 + 2 * 1152, "aac": 2 * 1024}
#: most milliseconds of sound that may go in before the first bytes of sound come out, fed 20 ms at a time, at 24 kHz
FIRST_BYTES_MS = {"mp3": 80, "opus": 40, "aac": 100, "flac": 60, "wav": 20, "pcm": 20}


@pytest.mark.parametrize(("format", "sample_rate"), CASES)
def test_what_is_decoded_is_what_went_in(lab: Any, format: Any, sample_rate: int) -> None:
    pcm = lab.tone(sample_rate, 2.0)
    heard = lab.decode(format, lab.encode(format, sample_rate, pcm, 4096), sample_rate)
    assert (heard.channels, heard.streams) == (1, 1)
    assert heard.sample_rate == (48000 if format == "opus" else sample_rate)
    assert 0 <= heard.seconds - 2.0 <= ADDED.get(format, 0) / sample_rate
    middle = heard.between(0.5, 1.5)
    assert lab.dominant_hz(middle, heard.sample_rate) == pytest.approx(440, abs=2)
    assert lab.level_db(middle) == pytest.approx(lab.level_db(lab.samples(pcm)), abs=1)


@pytest.mark.parametrize("format", FORMATS)
def test_the_end_of_the_sound_is_not_lost(lab: Any, format: Any) -> None:
    """A tone in the last 100 ms alone, of a length that fills no frame, is decoded whole."""
    pcm = bytes(24000) + lab.tone(24000, 0.1 + 7 / 24000)
    heard = lab.decode(format, lab.encode(format, 24000, pcm), 24000)
    energy, expected = (heard.samples**2).sum() / heard.sample_rate, (lab.samples(pcm) ** 2).sum() / 24000
    assert energy == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=6))
def test_how_the_pcm_is_cut_does_not_change_the_file(lab: Any, format: Any, sizes: list[int]) -> None:
    pcm = lab.tone(24000, 0.4)
    assert _content(format, lab.encode(format, 24000, pcm, *sizes)) == _content(format, lab.encode(format, 24000, pcm))


@pytest.mark.parametrize("format", FORMATS)
def test_pcm_that_comes_one_sample_at_a_time_makes_the_same_file(lab: Any, format: Any) -> None:
    pcm = lab.tone(16000, 0.2)
    assert _content(format, lab.encode(format, 16000, pcm, 2)) == _content(format, lab.encode(format, 16000, pcm))


def _content(format: str, encoded: bytes) -> bytes:
    """An Ogg stream has a random serial number, and so random checksums: both out."""
    if format != "opus":
        return encoded
    pages = encoded.split(b"OggS")[1:]
    return b"".join(page[:10] + page[14:18] + page[22:] for page in pages)


@pytest.mark.parametrize("format", FORMATS)
def test_the_first_bytes_come_early(lab: Any, format: Any) -> None:
    pcm = lab.tone(24000, 1.0)
    with open_encoder(format, 24000) as encoder:
        head = encoder.encode(b"")  # what comes before any sound
        for fed_ms in range(20, 1000, 20):
            if encoder.encode(pcm[(fed_ms - 20) * 48 : fed_ms * 48]):
                break
    assert fed_ms <= FIRST_BYTES_MS[format]
    assert len(head) < 200


@pytest.mark.parametrize("format", FORMATS)
def test_half_a_file_is_seen_to_be_shorter(lab: Any, format: Any) -> None:
    encoded = lab.encode(format, 24000, lab.tone(24000, 2.0))
    half = len(encoded) // 4 * 2
    if format == "opus":  # to a page's border: a cut page is dropped by a decoder without a word
        half = encoded.rindex(b"OggS", 0, half)
    assert _decoded_seconds(encoded[:half]) < 1.2


def _decoded_seconds(encoded: bytes) -> float:
    import av

    seconds = 0.0
    try:
        source: Any = av.open(io.BytesIO(encoded))
    except av.FFmpegError:  # headerless pcm
        return len(encoded) / 48000
    with source:
        try:
            for frame in source.decode(audio=0):
                seconds += frame.samples / frame.sample_rate
        except av.FFmpegError:
            pass  # the cut frame
    return seconds


@pytest.mark.parametrize("format", ["mp3", "aac", "opus"])
def test_the_bit_rate_stays_near_what_a_voice_needs(lab: Any, format: Any) -> None:
    for sample_rate, most in ((8000, 40_000), (24000, 80_000), (48000, 110_000)):
        encoded = lab.encode(format, sample_rate, lab.tone(sample_rate, 5.0))
        assert 15_000 < len(encoded) * 8 / 5 < most


def test_an_mp3_holds_frames_and_nothing_else(lab: Any) -> None:
    encoded = lab.encode("mp3", 24000, lab.tone(24000, 1.0))
    assert encoded[:2] == b"\xff\xf3"  # MPEG-2 layer III; no ID3 tag
    assert b"Xing" not in encoded
    assert b"Info" not in encoded
    assert len(encoded) % 192 == 0  # 64 kbit/s at 24 kHz: every frame has 192 bytes


def test_a_wav_header_is_open_while_it_streams_and_true_when_it_is_whole(lab: Any) -> None:
    pcm = lab.tone(24000, 0.5)
    encoded = lab.encode("wav", 24000, pcm, 999)
    assert encoded[4:8] == encoded[40:44] == b"\xff\xff\xff\xff"
    whole = finish_clip("wav", encoded)
    assert whole[44:] == pcm
    assert int.from_bytes(whole[4:8], "little") == len(whole) - 8
    assert int.from_bytes(whole[40:44], "little") == len(pcm)
    assert soundfile.info(io.BytesIO(whole)).frames == 12000


@pytest.mark.parametrize("samples", [1, 1023, 1024, 1025, 4096 + 100, 130 * 1024 + 7, 2100 * 1024 + 300])
def test_a_whole_flac_tells_its_length(lab: Any, samples: int) -> None:
    pcm = lab.tone(24000, samples / 24000)
    encoded = lab.encode("flac", 24000, pcm)
    whole = finish_clip("flac", encoded)
    assert len(whole) == len(encoded)
    assert soundfile.info(io.BytesIO(whole)).frames == samples
    read, _ = soundfile.read(io.BytesIO(whole), dtype="int16")
    assert read.tobytes() == pcm


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "pcm"])
def test_other_clips_are_whole_as_they_streamed(lab: Any, format: Any) -> None:
    encoded = lab.encode(format, 24000, lab.tone(24000, 0.3))
    assert finish_clip(format, encoded) == encoded


@pytest.mark.parametrize("format", FORMATS)
def test_a_clip_of_one_sample_or_none_can_be_finished(lab: Any, format: Any) -> None:
    assert lab.encode(format, 24000, b"\x01\x00")
    finish_clip(format, lab.encode(format, 24000, b""))


@pytest.mark.parametrize("format", FORMATS)
def test_an_encoder_can_be_closed_at_any_time_and_again(lab: Any, format: Any) -> None:
    encoder = open_encoder(format, 24000)
    encoder.encode(lab.tone(24000, 0.1))
    encoder.close()
    encoder.close()


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac"])
def test_a_closed_encoder_takes_no_more(lab: Any, format: Any) -> None:
    encoder = open_encoder(format, 24000)
    encoder.finish()
    with pytest.raises(ValueError, match="closed"):
        encoder.encode(lab.tone(24000, 0.2))
    with pytest.raises(ValueError, match="closed"):
        encoder.finish()


@pytest.mark.parametrize("closed", [True, False])
def test_encoders_given_up_half_way_leave_no_memory_behind(lab: Any, closed: bool) -> None:
    pcm = lab.tone(24000, 0.3)

    def give_up(times: int) -> None:
        for _ in range(times):
            for format in ("mp3", "opus", "aac", "flac"):
                encoder = open_encoder(format, 24000)
                encoder.encode(pcm)
                if closed:
                    encoder.close()
        gc.collect()

    process = psutil.Process()
    give_up(10)
    before = process.memory_info().rss
    give_up(60)
    # one LAME encoder alone holds over 200 kB: 60 of each kind lost would be over 20 MB
    assert process.memory_info().rss - before < 8 << 20


def test_ten_minutes_are_encoded_in_little_memory(lab: Any) -> None:
    with open_encoder("opus", 24000) as encoder:
        assert lab.growth_bytes(encoder.encode) < 4 << 20


def test_an_encoder_refuses_a_rate_that_its_format_cannot_carry() -> None:
    with pytest.raises(ValueError, match="opus"):
        open_encoder("opus", 22050)


def test_opus_is_encoded_at_the_next_higher_rate_it_takes() -> None:
    taken = [encoder_rate("opus", rate) for rate in SAMPLE_RATES]
    assert taken == [8000, 12000, 12000, 16000, 24000, 24000, 48000, 48000, 48000]
    assert all(encoder_rate("mp3", rate) == rate for rate in SAMPLE_RATES)


@pytest.mark.parametrize("format", FORMATS)
def test_every_rate_offered_can_be_encoded(lab: Any, format: Any) -> None:
    for rate in SAMPLE_RATES:
        check_sample_rate(rate)
        actual = encoder_rate(format, rate)
        assert lab.encode(format, actual, lab.tone(actual, 0.2))


@pytest.mark.parametrize("sample_rate", [0, -1, 7999, 24001, 96000])
def test_a_rate_not_offered_is_an_invalid_request(sample_rate: int) -> None:
    with pytest.raises(InvalidRequest, match="24000") as caught:
        check_sample_rate(sample_rate)
    assert caught.value.param == "sample_rate"


def test_slices_are_whole_samples_and_lose_nothing(lab: Any) -> None:
    pcm = lab.tone(22050, 0.7)
    pieces = list(slices(pcm, 22050, 200))
    assert b"".join(pieces) == pcm
    assert [len(piece) for piece in pieces] == [8820, 8820, 8820, 4410]
    assert list(slices(b"", 22050, 200)) == []


def test_each_format_has_its_media_type() -> None:
    assert {format: media_type(format) for format in FORMATS} == {
        "mp3": "audio/mpeg",
        "opus": "audio/ogg; codecs=opus",
        "aac": "audio/aac",
        "flac": "audio/flac",
        "wav": "audio/wav",
        "pcm": "audio/pcm",
    }


def test_all_codecs_can_be_loaded_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, Any]] = []

    def open_and_note(format: Any, sample_rate: int) -> Any:
        opened.append((format, open_encoder(format, sample_rate)))
        return opened[-1][1]

    monkeypatch.setattr("gateway.audio.encode.open_encoder", open_and_note)
    load_codecs()
    assert [format for format, _ in opened] == list(FORMATS)
    for format, encoder in opened:
        if format not in ("wav", "pcm"):  # these have no codec: nothing to load, nothing to free
            with pytest.raises(ValueError, match="closed"):
                encoder.finish()


def test_loading_codecs_ahead_leaves_no_import_to_the_first_request() -> None:
    script = """
import sys
from gateway.audio.encode import FORMATS, load_codecs, open_encoder
assert "av" not in sys.modules
load_codecs()
loaded = set(sys.modules)
for format in FORMATS:
    with open_encoder(format, 24000) as encoder:
        encoder.encode(bytes(24000))
        encoder.finish()
print("av" in loaded, sorted(set(sys.modules) - loaded))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "True []"
