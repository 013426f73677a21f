"""Gives a streamed FLAC its length. While it streams, the header says "unknown"; players then show no duration.

Works on bytes alone, and only on what our encoder writes: one STREAMINFO block first, frames of one fixed block size.
Numbers of sections are those of RFC 9639.
"""

from __future__ import annotations

from functools import cache

#: bytes that hold everything `with_length` changes: the marker, and the STREAMINFO block with its header
HEAD_BYTES = 42

_LONGEST_FRAME_BYTES = 1 << 17  # a frame of ours is a few kB; no need to look farther back for its start


def with_length(head: bytes, samples: int) -> bytes:
    """`head`, the first `HEAD_BYTES` or more of a FLAC file, with the number of samples filled in (section 8.2)."""
    patched = bytearray(head)
    # 20 bits rate, 3 bits channels, 5 bits sample size, 36 bits number of samples, from byte 18 on
    field = int.from_bytes(patched[18:26], "big")
    patched[18:26] = (field >> 36 << 36 | samples & (1 << 36) - 1).to_bytes(8, "big")
    return bytes(patched)


def count_samples(encoded: bytes) -> int | None:
    """Samples of a whole FLAC file, told by its last frame; `None` when that frame cannot be read."""
    block_samples = int.from_bytes(encoded[8:10], "big")
    end = len(encoded)
    while (start := encoded.rfind(b"\xff\xf8", max(HEAD_BYTES, len(encoded) - _LONGEST_FRAME_BYTES), end)) >= 0:
        frame = encoded[start:]
        if _crc16(frame) == 0:  # a frame ends in the CRC of itself, so this is the start of one that ends here
            number, at = _coded_number(frame, 4)
            return number * block_samples + _frame_samples(frame, at)
        end = start + 1
    return None


def _coded_number(frame: bytes, at: int) -> tuple[int, int]:
    """The frame number, coded as UTF-8 codes a character (section 9.1.5), and where it ends."""
    ones = 8 - (~frame[at] & 0xFF).bit_length()
    if ones == 0:
        return frame[at], at + 1
    number = frame[at] & (0x7F >> ones)
    for byte in frame[at + 1 : at + ones]:
        number = number << 6 | byte & 0x3F
    return number, at + ones


def _frame_samples(frame: bytes, at: int) -> int:
    """Samples of one frame (section 9.1.1); `at` is where its coded number ends."""
    code = frame[2] >> 4
    if code == 1:
        return 192
    if code <= 5:
        return 144 << code
    if code == 6:
        return frame[at] + 1
    if code == 7:
        return int.from_bytes(frame[at : at + 2], "big") + 1
    return 1 << code


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = crc << 1 ^ (0x18005 if crc & 0x8000 else 0)
        table.append(crc)
    return tuple(table)


def _crc16(data: bytes) -> int:
    """CRC-16 with the polynomial 0x8005, from 0 (section 9.3)."""
    table, crc = _crc_table(), 0
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ table[crc >> 8 ^ byte]
    return crc
