"""How espeak-ng speaks: the part of libespeak-ng that makes sound, over what `engines.phonemes.espeak` opens.

espeak-ng is GPL-3.0-or-later: only a worker process may open a `Library`. Importing this module loads nothing.
Declarations follow the public header `speak_lib.h` of espeak-ng 1.52 (API revision 12). Samples are in the byte order
of the machine, which is little endian on every platform that has wheels. Knows nothing about what a voice means,
about asyncio or about chunks.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.espeak.stretch import SONIC, Stretch
from engines.phonemes.espeak import CHARS_UTF8, declare, require
from engines.phonemes.espeak import Library as Phonemes

# speak_lib.h
_SSML = 0x10
_POS_CHARACTER = 1
_EVENT_LIST_END, _EVENT_WORD, _EVENT_END = 0, 1, 5
_RATE, _VOLUME, _PITCH, _RANGE, _WORD_GAP = 1, 2, 3, 4, 7

#: words per minute that the synthesiser itself can do; from 450 on it changes to another method, with a jump
RATE_MIN, RATE_MAX = 80, 449


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # of the word's first character, counted from 1
        ("length", ctypes.c_int),  # characters
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_UriCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p)


@dataclass(frozen=True, slots=True)
class Word:
    """A word begins, or, with `length` 0, a clause ends. `position` counts code points of the text from 0."""

    position: int
    length: int
    sample: int  # since the first sample of the call


#: takes a buffer of PCM (s16, may be empty) and what begins in it; False aborts the speech
Sink = Callable[[bytes, list[Word]], bool]


class Library(Phonemes):
    """One private copy of libespeak-ng that speaks, open until `close`. To be used by one thread at a time.

    Raises Unavailable when the library or its data cannot be loaded.
    """

    def __init__(self, path: Path, data: Path) -> None:
        super().__init__(path, data)
        # kept as attributes: ctypes does not hold on to a callback that C calls
        self._on_audio = _SynthCallback(self._receive)
        # without it `<audio src="/any/file">` in SSML would read that file aloud; 1: do not play it
        self._on_uri = _UriCallback(lambda kind, uri, base: 1)
        self._lib.espeak_SetSynthCallback(self._on_audio)
        self._lib.espeak_SetUriCallback(self._on_uri)
        self._sink: Sink = lambda pcm, words: False
        self._raised: BaseException | None = None

    def set_parameters(self, *, rate_wpm: int, pitch: int, volume: int, word_gap_10ms: int) -> None:
        """Set rate (80 to 449 words per minute), pitch (0 to 99), volume (0 to 100), further silence between words."""
        for parameter, value in (
            (_RATE, rate_wpm),
            (_PITCH, pitch),
            (_RANGE, 50),  # the default: speech with markup that was cut short may have left another
            (_VOLUME, volume),
            (_WORD_GAP, word_gap_10ms),
        ):
            require(self._lib.espeak_SetParameter(parameter, value, 0), f"parameter {parameter} = {value}")

    def speak(self, text: str, sink: Sink, *, ssml: bool = False) -> None:
        """Speak, calling `sink` in this thread once per buffer; returns when all is said or the sink says stop."""
        data = text.encode("utf-8", "replace") + b"\0"
        self._sink, self._raised = sink, None
        flags = CHARS_UTF8 | (_SSML if ssml else 0)
        code = self._lib.espeak_Synth(data, len(data), 0, _POS_CHARACTER, 0, flags, None, None)
        self._sink = lambda pcm, words: False
        if self._raised is not None:
            raise self._raised
        require(code, "speaking")

    def stretch(self, factor: float) -> Stretch:
        """A stretcher of this library's samples; see `Stretch`."""
        return Stretch(self._lib, self.sample_rate, factor)

    def _receive(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        """The callback. An exception cannot cross C: it is kept and raised again by `speak`."""
        try:
            if not samples:
                return 0
            words: list[Word] = []
            index = 0
            while (event := events[index]).type != _EVENT_LIST_END:
                if event.type in (_EVENT_WORD, _EVENT_END):
                    length = event.length if event.type == _EVENT_WORD else 0
                    if event.type == _EVENT_END or length > 0:
                        words.append(Word(max(event.text_position - 1, 0), length, event.sample))
                index += 1
            return 0 if self._sink(ctypes.string_at(samples, count * 2) if count else b"", words) else 1
        except BaseException as error:
            self._raised = error
            return 1

    def _declare(self) -> None:
        super()._declare()
        text, integer, unsigned, pointer = ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p
        declare(
            self._lib,
            ("espeak_SetSynthCallback", None, (_SynthCallback,)),
            ("espeak_SetUriCallback", None, (_UriCallback,)),
            ("espeak_SetParameter", integer, (integer, integer, integer)),
            (
                "espeak_Synth",
                integer,
                (text, ctypes.c_size_t, unsigned, integer, unsigned, unsigned, pointer, pointer),
            ),
            *SONIC,
        )
