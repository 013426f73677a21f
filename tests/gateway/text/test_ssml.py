"""SSML documents: taken whole or refused with line and column."""

from __future__ import annotations

import pytest

from engines.errors import InvalidRequest
from gateway.text.prepare import prepare_text


def test_a_document_is_one_clause_in_the_language_that_it_names() -> None:
    document = '<speak version="1.0" xml:lang="zh-CN">你好<break time="1s"/>世界</speak>'
    script = prepare_text(f"  {document}\n", input_type="ssml")
    assert script.markup == "ssml"
    assert [(clause.text, clause.language) for clause in script.clauses] == [(document, "zh")]
    assert script.chars == 4


def test_a_language_that_is_not_named_is_found() -> None:
    script = prepare_text("<speak><p>你好世界。</p> <p>Hi.</p></speak>", input_type="ssml")
    assert script.clauses[0].language == "zh"
    assert script.languages == ("zh", "en")
    assert prepare_text("<speak>Bonjour</speak>", input_type="ssml", language="fr").languages == ("fr",)


def test_an_inner_language_is_counted() -> None:
    document = '<speak xml:lang="en">Say <lang xml:lang="fr-FR">bonjour tout le monde</lang></speak>'
    assert prepare_text(document, input_type="ssml").languages == ("fr", "en")
    assert prepare_text(document, input_type="ssml").clauses[0].language == "en"


def test_entities_of_xml_itself_are_read() -> None:
    assert prepare_text("<speak>a &amp; b</speak>", input_type="ssml").chars == 5


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("hello", "line 1, column 1: the document must begin with <speak>"),
        ("<p>hello</p>", "line 1, column 1: the root element is <p>, expected is <speak>"),
        ("<speak>\n<p>hello</speak>", "line 2, column 11: mismatched tag"),
        ("<speak>a & b</speak>", "line 1, column 11"),
        ("<speak>hello</speak><speak/>", "junk after document element"),
        ("<speak>", "no element found"),
        ("<speak>&x;</speak>", "undefined entity"),
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><speak>&a;</speak>', "a document type is not allowed"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><speak>a</speak>', "a document type is not allowed"),
        ('<speak xml:lang="not a tag">a</speak>', "is not a language tag"),
        ("<speak>" + "<p>" * 100 + "</p>" * 100 + "</speak>", "nested more than 64 deep"),
        ("<speak>\0</speak>", "not well-formed"),
        ("<speak>\ud800</speak>", "surrogate"),
        ("<speak><break/> ... </speak>", "nothing to say"),
    ],
    ids=range(14),
)
def test_a_bad_document_is_refused_with_the_reason(document: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        prepare_text(document, input_type="ssml")
    assert caught.value.param == "input"
    assert message in str(caught.value)


def test_words_are_counted_and_not_markup() -> None:
    document = '<speak><prosody rate="slow">hello</prosody></speak>'
    assert prepare_text(document, input_type="ssml").chars == 5
