"""Writes one clip to disk: whole and under its name, or not at all. Knows nothing about where the sound comes from."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from gateway.audio.encode import Encoder, open_encoder
from gateway.request import Format

if TYPE_CHECKING:
    import soundfile

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ClipNotWritten(OSError):
    """The clip is not on disk. The message names the file, says why, and what to do; `errno` is the system's."""

    def __str__(self) -> str:
        return str(self.strerror)  # without the number that OSError puts in front


class ClipWriter:
    """One file in the making, of any length, in bounded memory. A `with` block opens it, so that no signal can come
    between that and the block; and finishes it, or aborts when it raises.

    PCM is s16le mono at `sample_rate` Hz, which must be one that `encoder_rate` gives. The sound goes to a hidden file
    beside `path`, which takes its name in one step when it is complete; wav and flac then say their true length. A
    `path` that is no regular file (a pipe, a device) is written to directly. Every failure to write is
    `ClipNotWritten`, and leaves nothing behind.
    """

    def __init__(self, path: str | os.PathLike[str], format: Format, sample_rate: int) -> None:
        self.path = Path(path)
        self._target = Path(os.path.realpath(path))  # the file behind a link is replaced, not the link
        self._format: Format = format
        self._sample_rate = sample_rate
        self._part: Path | None = None
        self._file: BinaryIO | None = None
        self._sound: _Sound | None = None

    def write(self, pcm: bytes) -> None:
        """Encode `pcm` and write what comes of it."""
        if self._sound is None:
            raise ValueError("the clip is closed")
        try:
            self._sound.write(pcm)
        except OSError as fault:
            self.abort()
            raise self._unwritten(fault) from fault

    def finish(self) -> None:
        """Complete the file and give it its name."""
        file, part, sound = self._file, self._part, self._sound
        if file is None or sound is None:
            raise ValueError("the clip is closed")
        try:
            sound.finish()
            if part is not None:
                file.flush()
                os.fsync(file.fileno())
            file.close()
            if part is not None:
                os.replace(part, self._target)
        except OSError as fault:
            self.abort()
            raise self._unwritten(fault) from fault
        self._file = self._part = self._sound = None

    def abort(self) -> None:
        """Give the clip up and remove what was written. Does nothing after `finish`."""
        sound, self._sound = self._sound, None
        file, self._file = self._file, None
        part, self._part = self._part, None
        if sound is not None:
            sound.close()
        if file is not None:
            with contextlib.suppress(OSError):  # what cannot be flushed is not wanted any more
                file.close()
        if part is not None:
            part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        try:
            self._file = self._open()
            seekable = self._part is not None
            self._sound = _open_sound(self._file, self._format, self._sample_rate, seekable=seekable)
        except OSError as fault:
            self.abort()
            raise self._unwritten(fault) from fault
        except BaseException:
            self.abort()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._file is not None:
            self.finish()
        else:
            self.abort()

    def _open(self) -> BinaryIO:
        try:
            mode = self._target.stat().st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        if not stat.S_ISREG(mode):
            return self._target.open("wb")  # a folder says so itself
        self._part = self._target.with_name(f".voxgate-{secrets.token_hex(8)}.part")
        return self._part.open("x+b")  # known by its name before: a signal may come as soon as it is there

    def _unwritten(self, fault: OSError) -> ClipNotWritten:
        reason = fault.strerror or str(fault)
        advice = "write it elsewhere, or make room" if fault.errno in _FULL else "write it elsewhere"
        if isinstance(fault, FileNotFoundError):
            reason, advice = f"there is no folder {self._target.parent}", "create it first"
        return ClipNotWritten(fault.errno, f"{self.path} cannot be written: {reason}; {advice}")


class _Sound(Protocol):
    """PCM into a file. Raises the file's OSErrors."""

    def write(self, pcm: bytes) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


def _open_sound(file: BinaryIO, format: Format, sample_rate: int, *, seekable: bool) -> _Sound:
    """libsndfile where the head can be mended at the end, the encoders of streams for all else."""
    if seekable and format in ("wav", "flac"):
        return _Seekable(file, format, sample_rate)
    return _Streamed(file, open_encoder(format, sample_rate))


class _Streamed:
    def __init__(self, file: BinaryIO, encoder: Encoder) -> None:
        self._file, self._encoder = file, encoder

    def write(self, pcm: bytes) -> None:
        self._file.write(self._encoder.encode(pcm))

    def finish(self) -> None:
        self._file.write(self._encoder.finish())
        self._encoder.close()

    def close(self) -> None:
        self._encoder.close()


class _Seekable:
    """Through soundfile, which writes the true length into the head when it closes."""

    def __init__(self, file: BinaryIO, format: Format, sample_rate: int) -> None:
        import soundfile

        self._file = _Remembering(file)
        self._sound: soundfile.SoundFile = soundfile.SoundFile(
            self._file, "w", samplerate=sample_rate, channels=1, subtype="PCM_16", format=format.upper()
        )
        self._odd = b""  # half a sample, when a piece was cut inside one
        self._errors: tuple[type[Exception], ...] = (soundfile.SoundFileError, AssertionError)

    def write(self, pcm: bytes) -> None:
        whole = self._odd + pcm
        cut = len(whole) & ~1
        self._odd = whole[cut:]
        self._do(lambda: self._sound.buffer_write(whole[:cut], dtype="int16"))

    def finish(self) -> None:
        self._do(self._sound.close)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._do(self._sound.close)

    def _do(self, act: Callable[[], object]) -> None:
        """libsndfile knows that a write failed, not why: the file's own error is what people need."""
        try:
            act()
        except self._errors as fault:
            raise self._file.fault or OSError(errno.EIO, str(fault)) from fault
        if self._file.fault is not None:
            raise self._file.fault


class _Remembering:
    """A file for libsndfile, which calls back from C, where an exception would be printed and lost."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.fault: OSError | None = None

    def write(self, data: bytes) -> int:
        return self._try(lambda: self._file.write(data))

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._try(lambda: self._file.seek(offset, whence))

    def tell(self) -> int:
        return self._try(self._file.tell)

    def flush(self) -> None:
        pass

    def _try(self, act: Callable[[], int]) -> int:
        if self.fault is None:
            try:
                return act()
            except OSError as fault:
                self.fault = fault
        return 0
