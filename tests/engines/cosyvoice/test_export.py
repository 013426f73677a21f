"""A release becomes a bundle: whole, and as good as the graphs are; what is broken off is gone on with."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from engines.cosyvoice.decoding import speech_tokens
from engines.cosyvoice.export import PARTS, export
from engines.cosyvoice.layout import ReleaseError
from engines.cosyvoice.lm import TABLES_NAME, Lm, Tables
from engines.cosyvoice.recipe import SPEAKERS_NAME, ExportOptions
from engines.cosyvoice.sizes import Sizes
from engines.cosyvoice.tokenizer import RANKS_NAME
from models.bundle import Bundle
from models.checkpoint import CheckpointError, Tensors
from tests.engines.cosyvoice.releases import copy_release
from tests.models.pickled import write_pth


@pytest.fixture
def source(oracle, tmp_path) -> Path:
    """A copy of the release that may be broken."""
    return copy_release(oracle, tmp_path / "release")


def _quietly(doing: str, done: int, whole: int) -> None:
    """Hears nothing."""


def test_a_bundle_speaks_the_references_tokens(source, oracle, tmp_path):
    heard = []
    options = ExportOptions(precision="fp32")
    made = export(source, tmp_path / "bundle", options, lambda doing, done, whole: heard.append((done, whole)))
    bundle = Bundle.read(tmp_path / "bundle")
    assert {one.path for one in bundle.files} == {one.path for one in made.files}
    assert {name for part in PARTS for name in part.files} <= {one.path for one in bundle.files}
    assert all(0 <= done <= whole for done, whole in heard)
    sizes = Sizes.of_json(bundle.sizes)
    tables = Tables.take(Tensors.read(bundle.folder / TABLES_NAME), sizes.lm)
    golden = oracle.golden("10_e2e")
    speaker = Tensors.read(bundle.folder / SPEAKERS_NAME).take(str(golden["speaker"]), (sizes.lm.speaker_width,))
    lm, draws = Lm(bundle.folder, sizes.lm, tables, threads=1), iter(golden["u_sequence"])
    tokens = speech_tokens(lm, golden["text_ids"][0].tolist(), speaker, lambda: next(draws))
    assert list(tokens) == golden["tokens"][0].tolist()


def test_small_weights_make_a_smaller_bundle_of_the_same_version(source, tmp_path):
    whole, small = (
        export(source, tmp_path / one, ExportOptions(precision=one, acoustic=one), _quietly) for one in ("fp32", "int8")
    )
    sizes = [{one.path: one.size_bytes for one in bundle.files} for bundle in (whole, small)]
    assert sizes[1]["lm.onnx.data"] < sizes[0]["lm.onnx.data"] / 2
    assert sizes[1]["estimator.onnx.data"] < 0.7 * sizes[0]["estimator.onnx.data"]
    assert sizes[1]["flow_encoder.onnx.data"] == sizes[0]["flow_encoder.onnx.data"]
    assert whole.version == small.version


def test_what_was_broken_off_is_gone_on_with(source, tmp_path):
    def stop(doing: str, done: int, whole: int) -> None:
        if doing == "making estimator":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(source, tmp_path / "bundle", ExportOptions(), stop)
    assert not (tmp_path / "bundle").exists()
    doings = set()
    export(source, tmp_path / "bundle", ExportOptions(), lambda doing, done, whole: doings.add(doing))
    assert "making estimator" in doings
    assert "making language model" not in doings
    assert Bundle.read(tmp_path / "bundle").files


@pytest.mark.parametrize(("file", "name"), [("llm.pt", "llm.new"), ("flow.pt", "new.w"), ("hift.pt", "new.w")])
def test_a_tensor_that_nobody_knows_is_named(source, tmp_path, file, name):
    whole = Tensors.read(source / file)
    tensors = {one: whole.take(one) for one in whole.names()} | {name: np.ones(1, np.float32)}
    write_pth(tmp_path / "new", tensors)
    shutil.move(tmp_path / "new", source / file)
    with pytest.raises(CheckpointError, match=f"does not know: {name}"):
        export(source, tmp_path / "bundle", ExportOptions(), _quietly)


def test_a_vocabulary_that_is_nowhere_is_asked_for(source, tmp_path, monkeypatch):
    (source / RANKS_NAME).unlink()
    monkeypatch.setattr("engines.cosyvoice.layout.find_spec", lambda name: None)
    with pytest.raises(ReleaseError, match="pip install --no-deps openai-whisper"):
        export(source, tmp_path / "bundle", ExportOptions(), _quietly)
    assert not list(tmp_path.glob(".*"))
