"""The configuration is read, and nothing that it names is made."""

from pathlib import Path

import pytest

from engines.cosyvoice.configuration import TAG, ConfigurationError, read_configuration


def _read(folder: Path, text: str):
    path = folder / "cosyvoice.yaml"
    path.write_text(text, encoding="utf-8")
    return read_configuration(path)


def test_tags_make_nothing(tmp_path):
    trap = tmp_path / "trap"
    read = _read(
        tmp_path,
        f"""
        seed: !apply:pathlib.Path.touch [!apply:pathlib.Path {trap}]
        model: !new:some.package.Model
            layers: 2
            norm: !name:torch.nn.LayerNorm
        """,
    )
    assert read["model"] == {"layers": 2, "norm": "", TAG: "new:some.package.Model"}
    assert not trap.exists()


def test_pythons_own_tags_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="could not determine a constructor"):
        _read(tmp_path, f"old: !!python/object/apply:os.mkdir [{tmp_path / 'trap'}]")
    assert not (tmp_path / "trap").exists()


def test_references_stand_for_values(tmp_path):
    read = _read(tmp_path, "one: 3\ntwo: !ref <one>\nthree: {four: [!ref <two>]}")
    assert read["three"] == {"four": [3]}


@pytest.mark.parametrize("text", ["one: !ref <two>", "one: !ref <two>\ntwo: !ref <one>"])
def test_a_reference_that_leads_nowhere_is_named(tmp_path, text):
    with pytest.raises(ConfigurationError, match=r"cosyvoice\.yaml: !ref <\w+> leads nowhere"):
        _read(tmp_path, text)


def test_what_is_computed_stays_a_text(tmp_path):
    assert _read(tmp_path, "one: 3\ntwo: !ref <one> * 2")["two"] == "<one> * 2"


@pytest.mark.parametrize("text", ["- 1", "a: [", ""])
def test_other_files_are_refused(tmp_path, text):
    with pytest.raises(ConfigurationError, match=r"cosyvoice\.yaml"):
        _read(tmp_path, text)
