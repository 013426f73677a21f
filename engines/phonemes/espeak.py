"""libespeak-ng, one private copy of the shared object per `Library`: opening it, its voices, and a text's phonemes.

The library keeps its whole state in C globals: two threads in one copy corrupt its heap. So each `Library` loads a
copy of its own under another file name, which the dynamic linker takes for another library with its own globals;
copies work in parallel, and each is to be used by one thread at a time.

espeak-ng is GPL-3.0-or-later: only a worker process may open a `Library`. Importing this module loads nothing.
Declarations follow the public header `speak_lib.h` of espeak-ng 1.52 (API revision 12). Knows nothing about what a
voice means, nor how espeak-ng itself speaks: that is `engines.espeak`.
"""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engines.errors import EngineFault, SpeechError, Unavailable, Unsupported

# speak_lib.h
_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000  # report missing data instead of ending the process
CHARS_UTF8 = 1
_OWN_LETTERS, _IPA = 0, 2
_OK, _BUFFER_FULL, _NOT_FOUND = 0, 1, 2

#: milliseconds of one buffer of sound: the least that 1.52 takes, so that the first audio comes early
BUFFER_MS = 60

_process_lock = threading.Lock()  # espeak_Initialize calls setlocale, which belongs to the whole process

#: what ends a clause, as one of six signs: the first in the text of a clause that is one of these
_ENDS: Final = {
    **dict.fromkeys(".\u3002\uff0e\u0964", "."),
    **dict.fromkeys("?\uff1f\u061f\u037e", "?"),
    **dict.fromkeys("!\uff01", "!"),
    **dict.fromkeys(",\uff0c\u3001\u060c", ","),
    **dict.fromkeys(";\uff1b\u2026\u2014\u2013", ";"),
    **dict.fromkeys(":\uff1a", ":"),
}
#: before a name: the library ends a clause there, and nobody who reads aloud does
_TITLE = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|Prof|St|Mt|Sr|Sra|Mme|Mlle)\.\s+\w?$")
#: `(en)`: the words from here on are of another language
_SWITCH = re.compile(r"\([a-z][a-z0-9-]*\)")


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


@dataclass(frozen=True, slots=True)
class ListedVoice:
    """A voice as the library lists it: `languages` are (priority, code), the lower priority the better."""

    name: str
    identifier: str  # the voice's file, which is also a name that `set_voice` takes
    languages: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause as IPA, words with a space between them, and what ends it: one of `.?!,;:`, or nothing."""

    ipa: str
    end: str

    @property
    def ends_sentence(self) -> bool:
        return self.end in (".", "?", "!")


class Library:
    """One private copy of libespeak-ng, open until `close`. To be used by one thread at a time.

    Raises Unavailable when the library or its data cannot be loaded.
    """

    def __init__(self, path: Path, data: Path) -> None:
        with _process_lock, _private_copy(path) as copy:
            try:
                self._lib = ctypes.CDLL(copy, mode=os.RTLD_LOCAL | os.RTLD_NOW)
                self._declare()
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

    def close(self) -> None:
        """Free what the library holds; it must not be used afterwards. Its code stays mapped until the process ends."""
        self._lib.espeak_Terminate()

    def set_voice(self, name: str) -> None:
        """Choose a voice by name or file. Raises Unsupported: the library keeps the former voice then."""
        code = self._lib.espeak_SetVoiceByName(name.encode("utf-8", "replace"))
        require(code, f"choosing the voice {name!r}", not_found=Unsupported(f"espeak-ng has no voice {name!r}"))

    def phonemes(self, text: str) -> list[str]:
        """Phonemes of each clause in espeak's own letters; a change of language shows as `(en)`."""
        return [phonemes for phonemes, _ in self._clauses(text, _OWN_LETTERS)]

    def clauses(self, text: str) -> list[Clause]:
        """The text as IPA, by the voice in use. Changes of language are not shown; clauses without sound are left out.

        Where a clause ends is the library's choice: not at the full stop of 3.5, nor at the colon of 3:15.
        """
        clauses = []
        for phonemes, text_of in self._clauses(text, _IPA):
            if ipa := " ".join(_SWITCH.sub("", phonemes).split()):
                clauses.append(Clause(ipa, _end(text_of)))
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

    def _clauses(self, text: str, mode: int) -> Iterator[tuple[str, str]]:
        """Phonemes of each clause and its part of the text, to the first character of the next: the library tells how
        far it has read by moving the pointer that it is given, one character ahead of what it has used."""
        data = text.encode("utf-8", "replace")
        buffer = ctypes.create_string_buffer(data)  # with a zero byte at the end
        begin = ctypes.addressof(buffer)
        place = ctypes.c_void_p(begin)
        done = 0
        while place.value is not None:
            phonemes: bytes | None = self._lib.espeak_TextToPhonemes(ctypes.byref(place), CHARS_UTF8, mode)
            if phonemes is None:
                raise EngineFault("espeak-ng could not turn a text into phonemes")
            read = len(data) if place.value is None else place.value - begin
            yield phonemes.decode("utf-8", "replace"), data[done:read].decode("utf-8", "replace")
            done = read

    def _declare(self) -> None:
        """Raises AttributeError when a function that is used is absent."""
        text, integer, pointer = ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p
        declare(
            self._lib,
            ("espeak_Initialize", integer, (integer, integer, text, integer)),
            ("espeak_Info", text, (ctypes.POINTER(text),)),
            ("espeak_SetVoiceByName", integer, (text,)),
            ("espeak_TextToPhonemes", text, (ctypes.POINTER(pointer), integer, integer)),
            ("espeak_ListVoices", ctypes.POINTER(ctypes.POINTER(_Voice)), (pointer,)),
            ("espeak_Terminate", integer, ()),
        )


def locate() -> tuple[Path, Path]:
    """The shared object and the data directory of the installed distribution. Raises Unavailable."""
    try:
        import espeakng_loader

        return Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
    except (ImportError, RuntimeError) as error:
        raise Unavailable(f"espeakng-loader is absent or incomplete ({error}); pip install espeakng-loader") from error


def declare(lib: ctypes.CDLL, *functions: tuple[str, Any, tuple[Any, ...]]) -> None:
    """Declare name, result and arguments of functions. Raises AttributeError when one is absent."""
    for name, result, arguments in functions:
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments


def require(code: int, doing: str, *, not_found: SpeechError | None = None) -> None:
    """Raise what a return code means; nothing for EE_OK."""
    if code == _OK:
        return
    if code == _NOT_FOUND and not_found is not None:
        raise not_found
    meaning = {_NOT_FOUND: "not found", _BUFFER_FULL: "buffer full"}.get(code, "internal error")
    raise EngineFault(f"espeak-ng failed at {doing}: {meaning} ({code})")


def _end(text: str) -> str:
    """What ended the clause, of its text and the first character of the next one."""
    if _TITLE.search(text):
        return ""
    for char in reversed(text[:-1] if text[-1:].isalnum() else text):
        if char.isalnum():
            return ""
        if char in _ENDS:
            return _ENDS[char]
    return ""


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
