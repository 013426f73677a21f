"""Tokens against the reference: with the published vocabulary where it is installed, its names with any other."""

import base64
import hashlib
import json

import pytest

from engines.cosyvoice.layout import Release, ReleaseError
from engines.cosyvoice.tokenizer import RANKS_NAME, Tokenizer
from engines.errors import Unavailable

BYTES = 256


def _golden(oracle):
    return json.loads((oracle.folder / "13_text.json").read_text(encoding="utf-8"))["tokenizer"]


@pytest.fixture
def ranks(tmp_path):
    """A vocabulary of single bytes and one pair."""
    tokens = [*(bytes([one]) for one in range(BYTES)), b"ab"]
    lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)]
    path = tmp_path / RANKS_NAME
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def test_texts_have_the_references_tokens(oracle):
    golden = _golden(oracle)
    try:
        path = Release.find(oracle.folder).ranks()
    except ReleaseError as error:
        pytest.skip(str(error))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == golden["asset_sha256"]
    tokenizer = Tokenizer(path, golden["n_vocab"])
    assert {text: tokenizer.ids(text) for text in golden["cases"]} == golden["cases"]
    assert {name: tokenizer.ids(name) for name in golden["special"]} == {
        name: [number] for name, number in golden["special"].items()
    }


def test_names_follow_in_the_references_order(oracle, ranks):
    golden = _golden(oracle)
    first = golden["special"]["<|endoftext|>"]
    tokenizer = Tokenizer(ranks, golden["n_vocab"] - first + BYTES + 1)
    for name, number in golden["special"].items():
        assert tokenizer.ids(name) == [number - first + BYTES + 1]
    assert tokenizer.ids("<|zh|>abé") == [golden["special"]["<|zh|>"] - first + BYTES + 1, BYTES, 0xC3, 0xA9]


def test_another_models_vocabulary_is_refused(ranks):
    with pytest.raises(Unavailable, match=r"257 tokens.*another vocabulary"):
        Tokenizer(ranks, 60515)


@pytest.mark.parametrize("text", ["no ranks at all", "YQ==", "é"])
def test_a_damaged_vocabulary_is_said_so(ranks, text):
    ranks.write_text(text, encoding="utf-8")
    with pytest.raises(Unavailable, match="is no vocabulary"):
        Tokenizer(ranks, 1866)


def test_a_missing_vocabulary_is_said_so(tmp_path):
    with pytest.raises(Unavailable, match="cannot be read"):
        Tokenizer(tmp_path / RANKS_NAME, 1866)


def test_a_vocabulary_beside_the_release_is_found(oracle, ranks):
    release = Release(ranks.parent, Release.find(oracle.folder).sizes)
    assert release.ranks() == ranks
