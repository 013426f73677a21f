"""A release's folder: what is missing, surplus or of another design is named, and its speakers are read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from engines.cosyvoice.configuration import read_configuration
from engines.cosyvoice.layout import CONFIGURATION, Release, ReleaseError
from engines.cosyvoice.sizes import Sizes
from models.checkpoint import CheckpointError
from tests.engines.cosyvoice.lm import open_lm
from tests.models.pickled import write_pth


@pytest.fixture
def folder(oracle, tmp_path) -> Path:
    """A copy of the release that may be broken."""
    copy = tmp_path / "release"
    copy.mkdir()
    for pattern in ("*.yaml", "*.pt"):
        for path in oracle.folder.glob(pattern):
            shutil.copyfile(path, copy / path.name)
    return copy


def _edit(folder, old, new):
    path = folder / CONFIGURATION
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_all_that_is_missing_is_named(folder):
    (folder / "llm.pt").unlink()
    (folder / "spk2info.pt").unlink()
    with pytest.raises(ReleaseError, match=r"lacks llm\.pt, spk2info\.pt"):
        Release.find(folder)


def test_no_folder_is_no_release(tmp_path):
    with pytest.raises(ReleaseError, match="is no folder"):
        Release.find(tmp_path / "nowhere")


def test_a_later_model_is_called_by_its_name(folder):
    (folder / CONFIGURATION).rename(folder / "cosyvoice2.yaml")
    with pytest.raises(ReleaseError, match="CosyVoice2, of another design"):
        Release.find(folder)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cosyvoice.llm.llm.TransformerLM", "cosyvoice.llm.llm.Qwen2LM", "Qwen2LM where only TransformerLM"),
        ("t_scheduler: cosine", "t_scheduler: linear", "t_scheduler: linear; only cosine"),
        ("input_layer: linear_legacy", "input_layer: conv2d", "input_layer: conv2d"),
        ("text_token_size: 51866", "text_tokens: 51866", "lacks 'text_token_size'"),
    ],
)
def test_another_design_is_refused_by_name(folder, old, new, said):
    _edit(folder, old, new)
    with pytest.raises(ReleaseError, match=said):
        Release.find(folder)


def test_a_manifest_gives_back_what_it_was_given(oracle):
    sizes = Sizes.of_release(read_configuration(oracle.folder / CONFIGURATION))
    assert Sizes.of_json(json.loads(json.dumps(sizes.to_json()))) == sizes


def test_the_vocoders_names_may_have_a_prefix(oracle, folder):
    names = set(Release.find(folder).tensors("vocoder").names())
    shutil.copyfile(oracle.folder / "hift.legacy-names.pt", folder / "hift.pt")
    legacy = set(Release.find(folder).tensors("vocoder").names())
    assert {one for one in names if one.endswith("bias")} == {one for one in legacy if one.endswith("bias")}


def test_speakers_are_those_of_the_file(oracle):
    release = Release.find(oracle.folder)
    speakers = release.speakers()
    golden = oracle.golden("10_e2e")
    assert str(golden["speaker"]) in speakers
    assert {one.shape for one in speakers.values()} == {(release.sizes.lm.speaker_width,)}
    embedding = oracle.golden("02_llm_sft")["spk_embedding"][0]
    assert any(np.array_equal(one, embedding) for one in speakers.values())


@pytest.mark.parametrize("kept", [{}, {"人": {}}, {"人": {"embedding": np.ones((1, 3), np.float32)}}, {"人": 1}])
def test_a_file_without_whole_speakers_is_refused(folder, kept):
    write_pth(folder / "spk2info.pt", kept)
    with pytest.raises(CheckpointError, match=r"spk2info\.pt.*fetch"):
        Release.find(folder).speakers()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("llm.after_norm.bias"), r"lacks the tensor llm\.after_norm\.bias"),
        (lambda tensors: tensors.update({"llm.new": np.ones(1, np.float32)}), r"does not know: llm\.new"),
        (
            lambda tensors: tensors.update({"llm_decoder.bias": np.ones(3, np.float32)}),
            r"llm_decoder\.bias has the shape",
        ),
    ],
)
def test_a_language_model_of_other_tensors_is_refused_by_name(folder, tmp_path, change, said):
    whole = Release.find(folder).tensors("lm")
    tensors = {name: whole.take(name) for name in whole.names()}
    change(tensors)
    write_pth(tmp_path / "llm.pt", tensors)
    shutil.move(tmp_path / "llm.pt", folder / "llm.pt")
    with pytest.raises(CheckpointError, match=said):
        open_lm(Release.find(folder), tmp_path)
