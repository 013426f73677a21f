from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import soundfile

from gateway.audio.files import ClipNotWritten, ClipWriter
from gateway.request import FORMATS


@pytest.mark.parametrize("format", FORMATS)
def test_a_clip_appears_whole_under_its_name(lab: Any, tmp_path: Path, format: Any) -> None:
    path = tmp_path / f"clip.{format}"
    pcm = lab.tone(24000, 1.0)
    with ClipWriter(path, format, 24000) as clip:
        for at in range(0, len(pcm), 5000):
            clip.write(pcm[at : at + 5000])
            assert not path.exists()
    assert os.listdir(tmp_path) == [path.name]
    heard = lab.decode(format, path.read_bytes(), 24000)
    assert 1.0 <= heard.seconds < 1.15
    assert lab.dominant_hz(heard.between(0.2, 0.8), heard.sample_rate) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_a_header_carries_the_true_length(lab: Any, tmp_path: Path, format: Any) -> None:
    with ClipWriter(tmp_path / "clip", format, 22050) as clip:
        clip.write(lab.tone(22050, 1.5))
    info = soundfile.info(str(tmp_path / "clip"))
    assert (info.frames, info.samplerate, info.channels) == (33075, 22050, 1)


def test_a_clip_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "clip.wav", "wav", 24000) as clip:
        clip.write(bytes(100))
    (tmp_path / "other").touch()
    assert stat.S_IMODE((tmp_path / "clip.wav").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError, GeneratorExit])
def test_an_interruption_leaves_the_old_clip_and_nothing_else(
    tmp_path: Path, interruption: type[BaseException]
) -> None:
    path = tmp_path / "clip.mp3"
    path.write_bytes(b"old")

    def speak() -> None:
        with ClipWriter(path, "mp3", 24000) as clip:
            clip.write(bytes(48000))
            raise interruption

    with pytest.raises(interruption):
        speak()
    assert os.listdir(tmp_path) == ["clip.mp3"]
    assert path.read_bytes() == b"old"


def test_nothing_is_on_disk_before_a_block_that_takes_it_away_again(tmp_path: Path) -> None:
    clip = ClipWriter(tmp_path / "clip.wav", "wav", 24000)
    assert os.listdir(tmp_path) == []
    with pytest.raises(ValueError, match="closed"):
        clip.write(bytes(10))


def test_an_interruption_while_it_is_opened_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        assert len(os.listdir(tmp_path)) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.audio.files._open_sound", interrupted)
    with pytest.raises(KeyboardInterrupt), ClipWriter(tmp_path / "clip.wav", "wav", 24000):
        pass
    assert os.listdir(tmp_path) == []


def test_abort_removes_what_was_written_and_may_be_called_again(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "clip.wav", "wav", 24000) as clip:
        clip.write(bytes(1000))
        clip.abort()
        clip.abort()
        assert os.listdir(tmp_path) == []
        with pytest.raises(ValueError, match="closed"):
            clip.write(bytes(10))


def test_abort_after_finish_keeps_the_clip(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "clip.wav", "wav", 24000) as clip:
        clip.write(bytes(1000))
        clip.finish()
        clip.abort()
    assert (tmp_path / "clip.wav").stat().st_size == 1044


def test_a_missing_folder_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ClipNotWritten) as caught, ClipWriter(tmp_path / "nowhere" / "clip.wav", "wav", 24000):
        pass
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'nowhere' / 'clip.wav'} cannot be written: there is no folder")
    assert "\n" not in message
    assert isinstance(caught.value, OSError)


def test_a_folder_cannot_be_written_over(tmp_path: Path) -> None:
    with pytest.raises(ClipNotWritten, match="directory"), ClipWriter(tmp_path, "wav", 24000):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ClipNotWritten, match="ermission denied"), ClipWriter(tmp_path / "clip.wav", "wav", 24000):
        pass


@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_that_fills_up_is_one_clear_error_and_leaves_nothing(tmp_path: Path, format: str) -> None:
    """A limit on the size of files stands in for a full disk: the same system call fails."""
    code = (
        "import sys\nfrom gateway.audio.files import ClipNotWritten, ClipWriter\n"
        "try:\n"
        "    with ClipWriter(sys.argv[1], sys.argv[2], 24000) as clip:\n"
        "        for piece in range(300): clip.write(bytes(range(256)) * 100)\n"
        "except ClipNotWritten as fault: print(fault)\n"
        "else: print('written')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "clip"), format],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert ran.stdout == f"{tmp_path / 'clip'} cannot be written: File too large; write it elsewhere, or make room\n"
    assert ran.stderr == ""
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_device_is_said() -> None:
    with (
        pytest.raises(ClipNotWritten, match="No space left on device; write it elsewhere, or make room"),
        ClipWriter("/dev/full", "wav", 24000) as clip,
    ):
        clip.write(bytes(100_000))


def test_the_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real.wav").write_bytes(b"old")
    (tmp_path / "link.wav").symlink_to("real.wav")
    with ClipWriter(tmp_path / "link.wav", "wav", 24000) as clip:
        clip.write(bytes(100))
    assert (tmp_path / "link.wav").is_symlink()
    assert (tmp_path / "real.wav").stat().st_size == 144


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    with ClipWriter(pipe, "wav", 24000) as clip:
        clip.write(bytes(100))
    reader.join()
    assert len(got[0]) == 144
    assert pipe.is_fifo()


def test_a_long_clip_takes_little_memory(lab: Any, tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "clip.flac", "flac", 24000) as clip:
        assert lab.growth_bytes(clip.write) < 4 << 20
    assert soundfile.info(str(tmp_path / "clip.flac")).duration == 610
