"""What a release's folder is found to hold, and what is said of what it lacks."""

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from engines.indextts.layout import Release, ReleaseError
from models.checkpoint import CheckpointError
from tests.engines.indextts.oracle import Oracle
from tests.engines.indextts.releases import FORK, arrays_of, linked
from tests.models.pickled import write_pth


def test_every_network_of_the_released_layout_has_its_tensors(release: Release) -> None:
    sizes = release.sizes
    assert release.tensors("gpt").shape("mel_embedding.weight") == (sizes.gpt.codes, sizes.gpt.width)
    assert release.tensors("estimator").shape("cond_projection.weight")[0] == sizes.estimator.width
    assert release.tensors("length_regulator").shape("content_in_proj.weight")[1] == sizes.regulator.input_width
    assert release.tensors("gpt_layer").shape("0.weight")[1] == sizes.gpt.width
    assert release.tensors("vocoder").shape("conv_pre.bias") == (sizes.vocoder.width,)
    assert release.tensors("emotion_vectors").shape("") == (sum(sizes.emotion_rows), sizes.gpt.width)
    assert release.tensors("statistics").shape("mean") == (sizes.codec.width,)
    assert release.w2v_bert_config["hidden_size"] == sizes.codec.width


def test_the_layout_of_the_fork_has_the_same_files_elsewhere(oracle: Oracle, release: Release, tmp_path: Path) -> None:
    fork = Release.find(linked(oracle.checkpoints, tmp_path / "fork", FORK))
    assert {name: path.resolve() for name, path in fork.files().items()} == {
        name: path.resolve() for name, path in release.files().items()
    }


def test_a_gpt_that_the_fork_keeps_by_itself_is_found_under_its_names(oracle: Oracle, tmp_path: Path) -> None:
    """Either file alone lacks something; `gpt.pth` may also hold everything below "model"."""
    arrays = arrays_of(oracle.checkpoints / "gpt.pth")
    moved = {name: name for name in arrays if name.startswith("final_norm.")}
    moved |= {name: name.replace("gpt.", "transformer.", 1) for name in arrays if name.startswith("gpt.")}
    moved |= {name: name.replace("mel_head.", "lm_head.") for name in arrays if name.startswith("mel_head.")}
    fork = linked(oracle.checkpoints, tmp_path / "fork", FORK)
    copy = {new: arrays[old] for old, new in moved.items()} | {"transformer.wpe.weight": np.zeros(3, np.float32)}
    write_pth(fork / "gpt/pytorch_model.bin", copy)
    (fork / "gpt.pth").unlink()
    write_pth(fork / "gpt.pth", {"model": {name: one for name, one in arrays.items() if name not in moved}})
    tensors = Release.find(fork).tensors("gpt")
    assert sorted(tensors.names()) == sorted(arrays)
    for name in moved:
        np.testing.assert_array_equal(tensors.take(name), arrays[name])


def test_all_that_is_missing_is_named_at_once_with_the_command_that_gets_it(oracle: Oracle, tmp_path: Path) -> None:
    folder = linked(oracle.checkpoints, tmp_path / "part")
    gone = ("s2mel.pth", "feat2.pt", "hf_cache/bigvgan/bigvgan_generator.pt")
    for name in (*gone, "hf_cache/w2v-bert-2.0/config.json"):
        (folder / name).unlink()
    with pytest.raises(ReleaseError, match="voxgate models pull indextts2") as caught:
        Release.find(folder)
    assert all(name in str(caught.value) for name in (*gone, "hf_cache/w2v-bert-2.0/config.json"))
    with pytest.raises(ReleaseError) as caught:
        Release.find(folder, reference=False)
    assert "w2v-bert" not in str(caught.value)


def test_files_may_have_the_names_that_the_configuration_gives_them(oracle: Oracle, tmp_path: Path) -> None:
    folder = linked(oracle.checkpoints, tmp_path / "named", {"gpt.pth": "weights/mine.pth", "config.yaml": "old.yaml"})
    config = YAML(typ="safe").load(folder / "old.yaml") | {"gpt_checkpoint": "weights/mine.pth"}
    YAML().dump(config, folder / "config.yaml")
    assert Release.find(folder).file("gpt") == folder / "weights/mine.pth"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("gpt: [", "cannot be read"),
        ("- 1", "no configuration"),
        ("version: 2.0", "lacks 'gpt'"),
        ("version: 2.5", "only IndexTTS-2 is read"),
        ("version: 2.0\ngpt: 3", "voxgate models pull"),
    ],
)
def test_a_configuration_that_is_none_is_refused(oracle: Oracle, tmp_path: Path, text: str, complaint: str) -> None:
    folder = linked(oracle.checkpoints, tmp_path / "bad", {"config.yaml": "old.yaml"})
    (folder / "config.yaml").write_text(text)
    with pytest.raises(ReleaseError, match=complaint):
        Release.find(folder)


def test_a_folder_that_is_not_there_and_a_file_that_is_none_are_said_to_be_so(oracle: Oracle, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="is no folder"):
        Release.find(tmp_path / "nowhere")
    folder = linked(oracle.checkpoints, tmp_path / "bad")
    (folder / "s2mel.pth").unlink()
    (folder / "s2mel.pth").write_bytes(b"<html>")
    with pytest.raises(CheckpointError, match=r"s2mel\.pth is damaged or no checkpoint"):
        Release.find(folder).tensors("estimator")
