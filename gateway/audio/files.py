"""Writes one clip to disk: whole and under its name, or not at all. Knows nothing about where the sound comes from."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO, Self

from gateway.audio import flac
from gateway.audio.encode import open_encoder
from gateway.audio.wav import wav_header
from gateway.request import Format

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ClipNotWritten(OSError):
    """The clip is not on disk. The message names the file, says why, and what to do; `errno` is the system's."""

    def __str__(self) -> str:
        return str(self.strerror)  # without the number that OSError puts in front


class ClipWriter:
    """One file in the making, of any length, in bounded memory. A `with` block finishes it, or aborts when it raises.

    PCM is s16le mono at `sample_rate` Hz, which must be one that `encoder_rate` gives. The sound goes to a hidden file
    beside `path`, which takes its name in one step when it is complete; wav and flac then say their true length. A
    `path` that is no regular file (a pipe, a device) is written to directly. Every failure to write is
    `ClipNotWritten`, and leaves nothing behind.
    """

    def __init__(self, path: str | os.PathLike[str], format: Format, sample_rate: int) -> None:
        self.path = Path(path)
        self._format = format
        self._target = Path(os.path.realpath(path))  # the file behind a link is replaced, not the link
        self._part: Path | None = None
        self._file: BinaryIO | None = None
        self._head = b""  # the first bytes, which the end changes
        self._samples = 0
        self._encoder = open_encoder(format, sample_rate)
        try:
            self._file = self._open()
        except OSError as fault:
            self.abort()
            raise self._unwritten(fault) from fault

    def write(self, pcm: bytes) -> None:
        """Encode `pcm` and write what comes of it."""
        self._samples += len(pcm) // 2
        self._put(self._encoder.encode(pcm))

    def finish(self) -> None:
        """Complete the file and give it its name."""
        self._put(self._encoder.finish())
        file, part = self._file, self._part
        if file is None:
            raise ValueError("the clip is closed")
        try:
            if part is not None:
                self._tell_length(file)
                file.flush()
                os.fsync(file.fileno())
            file.close()
            if part is not None:
                os.replace(part, self._target)
        except OSError as fault:
            self.abort()
            raise self._unwritten(fault) from fault
        self._file = self._part = None
        self._encoder.close()

    def abort(self) -> None:
        """Give the clip up and remove what was written. Does nothing after `finish`."""
        self._encoder.close()
        file, self._file = self._file, None
        part, self._part = self._part, None
        if file is not None:
            with contextlib.suppress(OSError):  # what cannot be flushed is not wanted any more
                file.close()
        if part is not None:
            part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
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
        part = self._target.with_name(f".voxgate-{secrets.token_hex(8)}.part")
        file = part.open("xb")
        self._part = part
        return file

    def _put(self, encoded: bytes) -> None:
        if self._file is None:
            raise ValueError("the clip is closed")
        if len(self._head) < flac.HEAD_BYTES:
            self._head += encoded[: flac.HEAD_BYTES - len(self._head)]
        try:
            self._file.write(encoded)
        except OSError as fault:
            self.abort()
            raise self._unwritten(fault) from fault

    def _tell_length(self, file: BinaryIO) -> None:
        if self._format == "wav":
            head = wav_header(self._encoder.sample_rate, self._samples * 2)
        elif self._format == "flac":
            head = flac.with_length(self._head, self._samples)
        else:
            return
        file.seek(0)
        file.write(head)

    def _unwritten(self, fault: OSError) -> ClipNotWritten:
        reason = fault.strerror or str(fault)
        advice = "write it elsewhere, or make room" if fault.errno in _FULL else "write it elsewhere"
        if isinstance(fault, FileNotFoundError):
            reason, advice = f"there is no folder {self._target.parent}", "create it first"
        return ClipNotWritten(fault.errno, f"{self.path} cannot be written: {reason}; {advice}")
