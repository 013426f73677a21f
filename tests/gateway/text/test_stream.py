"""A text of any length, in pieces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines.errors import InvalidRequest
from gateway.text.prepare import iter_scripts, prepare_text
from gateway.text.stream import PART, cut_stream


def test_parts_are_bounded_end_at_borders_and_lose_nothing() -> None:
    text = "".join(f"This is sentence number {number}.{' ' if number % 7 else chr(10) * 2}" for number in range(3000))
    parts = list(cut_stream(text[at : at + 700] for at in range(0, len(text), 700)))
    assert "".join(parts) == text
    assert max(map(len, parts)) <= PART
    assert all(part.rstrip().endswith(".") for part in parts)


def test_one_line_without_spaces_is_cut_all_the_same() -> None:
    parts = list(cut_stream(["天" * 9000]))
    assert "".join(parts) == "天" * 9000
    assert max(map(len, parts)) <= PART


def test_a_part_is_given_before_the_rest_is_read() -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "And so it went on and on. "

    scripts = iter_scripts(endless())
    assert next(scripts).clauses[0].text == "And so it went on and on."
    assert read < 2 * PART // 20


def test_fenced_code_longer_than_a_part_is_left_out() -> None:
    code = "```python\n" + "secret = 1\n" * 2000 + "```\n"
    pieces = [f"Before.\n{code}After."[at : at + 333] for at in range(0, 30000, 333)]
    spoken = [clause.text for script in iter_scripts(pieces) for clause in script.clauses]
    assert spoken == ["Before.", "After."]


def test_a_short_stream_is_the_same_as_the_text() -> None:
    text = "# Title\n\nHello there. 你好。\n\n- one\n- two"
    (script,) = iter_scripts(text)  # letter by letter
    assert script == prepare_text(text)


def test_only_the_first_part_has_its_first_clause_cut_short() -> None:
    sentence = "今天早上天气非常好，我们全家人一起去城外的公园里散步，看见许多盛开的花，还有不少正在放风筝的孩子。"
    scripts = list(iter_scripts([(sentence + "\n\n") * 200]))
    assert len(scripts) > 1
    assert scripts[0].clauses[0].text == "今天早上天气非常好，"
    assert scripts[1].clauses[0].text == sentence


def test_parts_with_nothing_to_say_are_passed_over_unless_there_is_nothing_else() -> None:
    scripts = list(iter_scripts(["— " * 5000, "\n\nHello."]))
    assert [clause.text for script in scripts for clause in script.clauses][-1].endswith("Hello.")
    with pytest.raises(InvalidRequest, match="nothing to say"):
        list(iter_scripts(["— " * 5000]))
    with pytest.raises(InvalidRequest, match="nothing to say"):
        list(iter_scripts([]))


def test_ssml_in_pieces_is_one_document() -> None:
    (script,) = iter_scripts(["<speak>", "你好", "</speak>"], input_type="ssml")
    assert script.markup == "ssml"
