from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines.errors import Unsupported
from engines.phonemes.espeak import Clause, Library, locate


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    opened = Library(*locate())
    yield opened
    opened.close()


def test_each_clause_knows_what_ended_it(library: Library) -> None:
    library.set_voice("en-us")
    clauses = library.clauses("Well, it is late: go home; now! Do you hear? “Yes”… it is — done.")
    assert [clause.end for clause in clauses] == list(",:;!?;;.")
    assert [clause.ends_sentence for clause in clauses] == [False] * 3 + [True] * 2 + [False] * 2 + [True]
    assert clauses[1].ipa == "ɪɾ ɪz lˈeɪt"


def test_a_number_with_a_point_or_a_colon_is_no_border(library: Library) -> None:
    library.set_voice("en-us")
    assert len(library.clauses("It was 3.5 at 3:15")) == 1


def test_a_title_before_a_name_ends_nothing(library: Library) -> None:
    library.set_voice("en-us")
    assert [clause.end for clause in library.clauses("Dr. Smith met Mrs. Jones. They left.")] == ["", "", ".", "."]


def test_full_width_signs_end_clauses_and_no_change_of_language_is_shown(library: Library) -> None:
    library.set_voice("cmn-latn-pinyin")
    clauses = library.clauses("你好，世界。我今天OK吗？好！")
    assert [clause.end for clause in clauses] == [",", ".", "?", "!"]
    assert "(" not in clauses[2].ipa
    assert "kˈeɪ" in clauses[2].ipa


def test_a_text_without_sound_has_no_clause(library: Library) -> None:
    library.set_voice("en-us")
    assert library.clauses("") == library.clauses(" … ") == []
    assert library.clauses("yes") == [Clause("jˈɛs", "")]


def test_an_unknown_voice_is_unsupported(library: Library) -> None:
    with pytest.raises(Unsupported, match="no voice 'nobody'"):
        library.set_voice("nobody")
