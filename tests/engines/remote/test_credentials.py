from __future__ import annotations

from pathlib import Path

import pytest

from engines.remote.credentials import LONGEST_BYTES, Key, KeyPlaces, NoKey


def test_the_first_place_that_has_a_key_counts(tmp_path: Path) -> None:
    file, other = tmp_path / "key", tmp_path / "other"
    file.write_text("from-file\n")
    other.write_text("from-other")
    places = KeyPlaces(("FIRST", "SECOND"), (tmp_path / "absent", file, other))
    assert places.find({"SECOND": "two", "FIRST": "one"}).text == "one"
    assert places.find({"SECOND": "two", "FIRST": ""}).text == "two"
    assert places.find({}).text == "from-file"


def test_a_key_says_where_it_was_found_and_never_what_it_is(tmp_path: Path) -> None:
    key = KeyPlaces(("FIRST",)).find({"FIRST": "sk-secret"})
    assert key.source == "the environment variable FIRST"
    assert "secret" not in repr(key) + str(key) + key.account


def test_accounts_are_told_apart() -> None:
    assert Key("a", "").account == Key("a", "elsewhere").account != Key("b", "").account


def test_a_file_is_read_again_each_time(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    places = KeyPlaces(files=(file,))
    assert places.find({}).text == "old"
    file.write_text("new")
    assert places.find({}).text == "new"
    file.unlink()
    with pytest.raises(NoKey, match=r"there is no file .*key"):
        places.find({})


def test_a_toml_file_has_the_key_under_its_name(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('workspace = "w"\napi_key = "sk-1"\n')
    assert KeyPlaces(files=(file,)).find({}).text == "sk-1"
    file.write_text('workspace = "w"\n')
    with pytest.raises(NoKey, match="holds no key"):
        KeyPlaces(files=(file,)).find({})
    file.write_text("api_key = sk-secret")
    with pytest.raises(NoKey, match="no TOML") as raised:
        KeyPlaces(files=(file,)).find({})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"x" * (LONGEST_BYTES + 1), b"\xff\xfe", b"sk-a\nsk-b", "ключ".encode()])
def test_what_cannot_be_a_key_is_none(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(NoKey, match="key"):
        KeyPlaces(files=(file,)).find({})


def test_a_key_that_would_break_a_header_is_refused_without_being_told() -> None:
    with pytest.raises(NoKey, match="FIRST is no key") as raised:
        KeyPlaces(("FIRST",)).find({"FIRST": "sk-secret\r\nX-Other: 1"})
    assert "secret" not in str(raised.value)


def test_who_has_no_key_hears_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NoKey) as raised:
        KeyPlaces(("FIRST",), (tmp_path / "key", tmp_path)).find({})
    told = str(raised.value)
    assert "FIRST is not set" in told
    assert f"there is no file {tmp_path / 'key'}" in told
    assert f"the file {tmp_path} cannot be read" in told
