from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import espeakng_loader
import pytest

from engines.errors import EngineFault, Unavailable
from engines.espeak.binding import Library
from engines.espeak.engine import require_han_phonemes

TEXTS = (
    ("sit/cmn-Latn-pinyin", "今天天气很好，我们去公园散步吧。"),
    ("gmw/en-US+f3", "The quick brown fox jumps over the lazy dog."),
    ("sit/yue", "今日天氣好好。"),
    ("jpx/ja", "こんにちは せかい"),
    ("zle/ru+m3", "Привет, мир!"),
    ("inc/hi", "नमस्ते दुनिया"),
)


def spoken(library: Library, voice: str, text: str, *, stop_after: int = 0) -> int:
    """Bytes that came; with `stop_after` the sink says stop at that buffer."""
    buffers: list[bytes] = []

    def take(pcm: bytes, words: object) -> bool:
        buffers.append(pcm)
        return not stop_after or len(buffers) < stop_after

    library.set_voice(voice)
    library.set_parameters(rate_wpm=175, pitch=50, volume=100, word_gap_10ms=0)
    library.speak(text, take)
    assert not stop_after or len(buffers) <= stop_after
    return sum(map(len, buffers))


def test_private_copies_speak_in_parallel_threads_without_touching_each_other(
    open_library: Callable[[], Library],
) -> None:
    """Two threads in one copy corrupt its heap soon; here 4 copies make 480 calls, a fifth of them cut short."""
    copies = [open_library() for _ in range(4)]
    expected = [spoken(copies[0], *one) for one in TEXTS]
    wrong: list[str] = []

    def work(library: Library, offset: int) -> None:
        for turn in range(120):
            index = (turn + offset) % len(TEXTS)
            if turn % 5 == 4:
                spoken(library, *TEXTS[index], stop_after=3)
                continue
            length = spoken(library, *TEXTS[index])
            if abs(length - expected[index]) > 0.02 * expected[index]:  # not repeatable: up to 0.5 % off
                wrong.append(f"{TEXTS[index]}: {length} instead of {expected[index]}")

    threads = [threading.Thread(target=work, args=(library, offset)) for offset, library in enumerate(copies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_copies_leave_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_library: Callable[[], Library]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    library = open_library()
    assert list(tmp_path.iterdir()) == []
    assert spoken(library, *TEXTS[0]) > 0


def test_an_error_in_the_sink_comes_out_of_speak_and_the_library_speaks_on(library: Library) -> None:
    def break_down(pcm: bytes, words: object) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        library.speak("Hello", break_down)
    assert spoken(library, *TEXTS[0]) > 0


def test_missing_data_is_unavailable_and_does_not_end_the_process(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="reinstall"):
        Library(Path(espeakng_loader.get_library_path()), tmp_path / "nothing")


def test_a_file_that_is_no_library_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "libespeak-ng.so").write_text("not a library")
    with pytest.raises(Unavailable, match="does not load"):
        Library(tmp_path / "libespeak-ng.so", Path(espeakng_loader.get_data_path()))


def test_an_absent_shared_object_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="copied"):
        Library(tmp_path / "libespeak-ng.so", Path(espeakng_loader.get_data_path()))


def test_a_parameter_that_the_library_refuses_is_a_fault(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.espeak.binding._PITCH", 99)
    with pytest.raises(EngineFault, match="parameter 99"):
        library.set_parameters(rate_wpm=175, pitch=50, volume=100, word_gap_10ms=0)


def test_the_self_test_passes_for_mandarin_and_catches_han_read_as_english(library: Library) -> None:
    require_han_phonemes(library, "sit/cmn-Latn-pinyin", "今天天气很好")
    for voice in ("jpx/ja", "sit/hak", "ko"):  # these name each character in English, as old voices of Mandarin do
        with pytest.raises(Unavailable, match="as English"):
            require_han_phonemes(library, voice, "今天天气很好")


@pytest.mark.parametrize("factor", [0.3, 0.7, 1.5, 3.0])
def test_stretching_keeps_the_length_that_it_promises(library: Library, factor: float) -> None:
    buffers: list[bytes] = []
    library.set_voice("gmw/en-US")
    library.speak(TEXTS[1][1], lambda pcm, words: not buffers.append(pcm))
    stretch = library.stretch(factor)
    out = sum(len(stretch.process(pcm)) for pcm in buffers) + len(stretch.finish())
    stretch.close()
    stretch.close()
    assert out * factor == pytest.approx(sum(map(len, buffers)), rel=0.05)
