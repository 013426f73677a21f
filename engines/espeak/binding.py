"""A typed binding of libespeak-ng, one private copy of the shared object per `Library`.

The library keeps its whole state in C globals: two threads in one copy corrupt its heap. So each `Library` loads a
copy of its own under another file name, which the dynamic linker takes for another library with its own globals;
copies speak in parallel, and each is to be used by one thread at a time.

espeak-ng is GPL-3.0-or-later: only a worker process may open a `Library`. Importing this module loads nothing.
Declarations follow the public header `speak_lib.h` of espeak-ng 1.52 (API revision 12). Samples are in the byte order
of the machine, which is little endian on every platform that has wheels. Knows nothing about what a voice means,
about asyncio or about chunks.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engines.errors import EngineFault, SpeechError, Unavailable, Unsupported
from engines.espeak.stretch import SONIC, Stretch

# speak_lib.h
_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000  # report missing data instead of ending the process
_CHARS_UTF8 = 1
_SSML = 0x10
_POS_CHARACTER = 1
_EVENT_LIST_END, _EVENT_WORD, _EVENT_END = 0, 1, 5
_OK, _BUFFER_FULL, _NOT_FOUND = 0, 1, 2
_RATE, _VOLUME, _PITCH, _RANGE, _WORD_GAP = 1, 2, 3, 4, 7

#: words per minute that the synthesiser itself can do; from 450 on it changes to another method, with a jump
RATE_MIN, RATE_MAX = 80, 449
#: milliseconds of one buffer: the least that 1.52 takes, so that the first audio comes early
BUFFER_MS = 60

_process_lock = threading.Lock()  # espeak_Initialize calls setlocale, which belongs to the whole process


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


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),  # pairs of a priority byte and a string, ended by a zero byte
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_UriCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p)


@dataclass(frozen=True, slots=True)
class Word:
    """A word begins, or, with `length` 0, a clause ends. `position` counts code points of the text from 0."""

    position: int
    length: int
    sample: int  # since the first sample of the call


@dataclass(frozen=True, slots=True)
class ListedVoice:
    """A voice as the library lists it: `languages` are (priority, code), the lower priority the better."""

    name: str
    identifier: str  # the voice's file, which is also a name that `set_voice` takes
    languages: tuple[tuple[int, str], ...]


#: takes a buffer of PCM (s16, may be empty) and what begins in it; False aborts the speech
Sink = Callable[[bytes, list[Word]], bool]


class Library:
    """One private copy of libespeak-ng, open until `close`. To be used by one thread at a time.

    Raises Unavailable when the library or its data cannot be loaded.
    """

    def __init__(self, path: Path, data: Path) -> None:
        with _process_lock, _private_copy(path) as copy:
            try:
                self._lib = ctypes.CDLL(copy, mode=os.RTLD_LOCAL | os.RTLD_NOW)
                _declare(self._lib)
            except (OSError, AttributeError) as error:
                raise Unavailable(
                    f"libespeak-ng does not load: {error}; set TMPDIR to a folder on a file system that is not mounted "
                    "noexec, or reinstall espeakng-loader"
                ) from error
            self.sample_rate: int = self._lib.espeak_Initialize(
                _OUTPUT_SYNCHRONOUS, BUFFER_MS, os.fsencode(data), _DONT_EXIT
            )
            found = ctypes.c_char_p()
            self.version: str = (self._lib.espeak_Info(ctypes.byref(found)) or b"").decode()
        if self.sample_rate <= 0 or found.value is None or Path(os.fsdecode(found.value)) != data:
            raise Unavailable("espeak-ng's data is missing or its path too long; reinstall espeakng-loader")
        # kept as attributes: ctypes does not hold on to a callback that C calls
        self._on_audio = _SynthCallback(self._receive)
        # without it `<audio src="/any/file">` in SSML would read that file aloud; 1: do not play it
        self._on_uri = _UriCallback(lambda kind, uri, base: 1)
        self._lib.espeak_SetSynthCallback(self._on_audio)
        self._lib.espeak_SetUriCallback(self._on_uri)
        self._sink: Sink = lambda pcm, words: False
        self._raised: BaseException | None = None

    def close(self) -> None:
        """Free what the library holds; it must not be used afterwards. Its code stays mapped until the process ends."""
        self._lib.espeak_Terminate()

    def set_voice(self, name: str) -> None:
        """Choose a voice by name or file. Raises Unsupported: the library keeps the former voice then."""
        code = self._lib.espeak_SetVoiceByName(name.encode("utf-8", "replace"))
        _require(code, f"choosing the voice {name!r}", not_found=Unsupported(f"espeak-ng has no voice {name!r}"))

    def set_parameters(self, *, rate_wpm: int, pitch: int, volume: int, word_gap_10ms: int) -> None:
        """Set rate (80 to 449 words per minute), pitch (0 to 99), volume (0 to 100), further silence between words."""
        for parameter, value in (
            (_RATE, rate_wpm),
            (_PITCH, pitch),
            (_RANGE, 50),  # the default: speech with markup that was cut short may have left another
            (_VOLUME, volume),
            (_WORD_GAP, word_gap_10ms),
        ):
            _require(self._lib.espeak_SetParameter(parameter, value, 0), f"parameter {parameter} = {value}")

    def speak(self, text: str, sink: Sink, *, ssml: bool = False) -> None:
        """Speak, calling `sink` in this thread once per buffer; returns when all is said or the sink says stop."""
        data = text.encode("utf-8", "replace") + b"\0"
        self._sink, self._raised = sink, None
        flags = _CHARS_UTF8 | (_SSML if ssml else 0)
        code = self._lib.espeak_Synth(data, len(data), 0, _POS_CHARACTER, 0, flags, None, None)
        self._sink = lambda pcm, words: False
        if self._raised is not None:
            raise self._raised
        _require(code, "speaking")

    def phonemes(self, text: str) -> list[str]:
        """Phonemes of each clause in espeak's own letters; a change of language shows as `(en)`."""
        rest = ctypes.c_char_p(text.encode("utf-8", "replace"))
        clauses: list[str] = []
        while rest:
            clause: bytes | None = self._lib.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, 0)
            if clause is None:
                raise EngineFault("espeak-ng could not turn a text into phonemes")
            clauses.append(clause.decode("utf-8", "replace"))
        return clauses

    def list_voices(self) -> list[ListedVoice]:
        voices = self._lib.espeak_ListVoices(None)
        listed: list[ListedVoice] = []
        while voices[len(listed)]:
            voice = voices[len(listed)].contents
            listed.append(
                ListedVoice(voice.name.decode(), voice.identifier.decode(), tuple(_languages(voice.languages)))
            )
        return listed

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


def _require(code: int, doing: str, *, not_found: SpeechError | None = None) -> None:
    """Raise what a return code means; nothing for EE_OK."""
    if code == _OK:
        return
    if code == _NOT_FOUND and not_found is not None:
        raise not_found
    meaning = {_NOT_FOUND: "not found", _BUFFER_FULL: "buffer full"}.get(code, "internal error")
    raise EngineFault(f"espeak-ng failed at {doing}: {meaning} ({code})")


def _languages(address: int) -> Iterator[tuple[int, str]]:
    while priority := ctypes.c_ubyte.from_address(address).value:
        code = ctypes.string_at(address + 1)
        yield priority, code.decode().lower()
        address += len(code) + 2


@contextmanager
def _private_copy(path: Path) -> Iterator[str]:
    """A copy of the shared object under a name of its own, removed again once it is mapped into memory."""
    try:
        with tempfile.NamedTemporaryFile(prefix="espeak-ng-", suffix=path.suffix) as copy:
            copy.write(path.read_bytes())
            copy.flush()
            yield copy.name
    except OSError as error:
        raise Unavailable(
            f"espeak-ng could not be copied to {tempfile.gettempdir()}: {error}; "
            "set TMPDIR to a directory that can be written"
        ) from error


def _declare(lib: ctypes.CDLL) -> None:
    """Declare arguments and results of every function used. Raises AttributeError when one is absent."""
    text, integer, pointer = ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p
    for name, result, arguments in (
        ("espeak_Initialize", integer, (integer, integer, text, integer)),
        ("espeak_Info", text, (ctypes.POINTER(text),)),
        ("espeak_SetSynthCallback", None, (_SynthCallback,)),
        ("espeak_SetUriCallback", None, (_UriCallback,)),
        ("espeak_SetVoiceByName", integer, (text,)),
        ("espeak_SetParameter", integer, (integer, integer, integer)),
        (
            "espeak_Synth",
            integer,
            (text, ctypes.c_size_t, ctypes.c_uint, integer, ctypes.c_uint, ctypes.c_uint, pointer, pointer),
        ),
        ("espeak_TextToPhonemes", text, (ctypes.POINTER(text), integer, integer)),
        ("espeak_ListVoices", ctypes.POINTER(ctypes.POINTER(_Voice)), (pointer,)),
        ("espeak_Terminate", integer, ()),
        *SONIC,
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
