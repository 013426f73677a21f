"""Export: a whole bundle of either layout, or an error that names what is wrong and nothing that looks whole."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import models.bundle_writer
from bench.indextts.checkpoint import write_checkpoint
from bench.indextts.design import small
from engines.indextts.export import export
from engines.indextts.recipe import ExportOptions
from engines.indextts.sizes import Sizes
from engines.indextts.tables import Tables
from engines.indextts.verify import verify
from models.bundle import Bundle, BundleError, find_bundles
from models.checkpoint import CheckpointError
from tests.engines.indextts.oracle import Oracle
from tests.engines.indextts.releases import FORK, Arrays, changed, linked

FP32 = ExportOptions(precision="fp32")


def ignore(doing: str, done: int, whole: int) -> None:
    """Progress that nobody watches."""


def contents(bundle: Bundle) -> dict[str, str]:
    return {one.path: one.sha256 for one in bundle.files}


def test_the_manifest_tells_sizes_sources_and_precision(oracle: Oracle, bundle: Bundle, bundle_int8: Bundle) -> None:
    read = Bundle.read(bundle.folder)
    assert (read.name, read.quantisation, bundle_int8.quantisation) == ("indextts2", "fp32", "int8")
    assert Sizes.of_json(json.loads(json.dumps(read.sizes))).gpt.codes == len(Tables.read(read.folder).mel_embedding)
    assert read.version == bundle_int8.version, "voices made with one are heard with the other"
    assert {"config.yaml", "gpt.pth", "hf_cache/bigvgan/bigvgan_generator.pt"} <= set(read.sources)
    assert all((oracle.checkpoints / one).is_file() for one in read.sources)
    whole, small = (one.folder.joinpath("gpt.onnx.data").stat().st_size for one in (read, bundle_int8))
    assert small < 0.5 * whole


def test_the_layout_of_the_fork_gives_the_same_bundle(oracle: Oracle, bundle: Bundle, tmp_path: Path) -> None:
    fork = linked(oracle.checkpoints, tmp_path / "fork", FORK)
    made = export(fork, tmp_path / "indextts2", FP32, ignore)
    assert contents(made) == contents(bundle)
    assert made.version == bundle.version
    assert "campplus/campplus_cn_common.bin" in made.sources


@pytest.mark.parametrize(
    ("precision", "graphs"),
    [("int8", {"gpt.onnx"}), ("int8_blocks", {"gpt.onnx"}), ("int4", {"gpt.onnx", "gpt_step.onnx"})],
)
def test_each_precision_has_its_graphs_for_decoding_with_either_kind_of_cache(
    oracle: Oracle, tmp_path: Path, precision: str, graphs: set[str]
) -> None:
    options = ExportOptions.model_validate({"precision": precision, "reference": False})
    made = export(oracle.checkpoints, tmp_path / "indextts2", options, ignore)
    cached = {name.replace(".onnx", "_int8_cache.onnx") for name in graphs}
    assert {name for name in contents(made) if name.startswith("gpt") and name.endswith(".onnx")} == graphs | cached


def test_what_only_voices_need_may_be_left_out(oracle: Oracle, bundle: Bundle, tmp_path: Path) -> None:
    folder = linked(oracle.checkpoints, tmp_path / "part", {"hf_cache/w2v-bert-2.0": "elsewhere"})
    options = ExportOptions(precision="fp32", reference=False)
    made = export(folder, tmp_path / "indextts2", options, ignore)
    assert contents(made) == {name: sha for name, sha in contents(bundle).items() if not name.startswith("reference/")}
    assert made.version == bundle.version


CHANGES: dict[str, Callable[[Arrays, str], object]] = {
    "less": lambda arrays, name: arrays.pop(name),
    "more": lambda arrays, name: arrays.update({name: np.zeros(3, np.float32)}),
    "misshapen": lambda arrays, name: arrays.update({name: np.zeros((2, 3), np.float32)}),
}


@pytest.mark.parametrize(
    ("file", "change", "name"),
    [
        ("gpt.pth", "less", "gpt.h.0.ln_2.bias"),
        ("gpt.pth", "less", "text_pos_embedding.emb.weight"),
        ("gpt.pth", "more", "lora.weight"),
        ("gpt.pth", "more", "gpt.h.0.attn.gate"),
        ("gpt.pth", "more", "gpt.h.999.ln_1.weight"),
        ("gpt.pth", "more", "emo_layer.scale"),
        ("gpt.pth", "misshapen", "mel_head.weight"),
        ("gpt.pth", "misshapen", "speed_emb.weight"),
        ("s2mel.pth", "less", "net.cfm.estimator.transformer.layers.0.attention.wqkv.weight"),
        ("s2mel.pth", "more", "net.cfm.vocoder.weight"),
        ("s2mel.pth", "more", "net.length_regulator.f0.weight"),
        ("s2mel.pth", "more", "net.gpt_layer.0.gate"),
        ("feat2.pt", "misshapen", ""),
        ("hf_cache/bigvgan/bigvgan_generator.pt", "more", "generator.more"),
        ("hf_cache/campplus_cn_common.bin", "more", "more"),
        ("hf_cache/semantic_codec_model.safetensors", "more", "quantizer.more"),
        ("hf_cache/w2v-bert-2.0/model.safetensors", "more", "adapter.more"),
    ],
)
def test_a_tensor_too_few_too_many_or_of_another_shape_is_named(
    oracle: Oracle, tmp_path: Path, file: str, change: str, name: str
) -> None:
    release = linked(oracle.checkpoints, tmp_path / "release")
    changed(release, file, lambda arrays: CHANGES[change](arrays, name))
    complaint = {"less": "lacks the tensor ", "more": "does not know: ", "misshapen": ": "}[change]
    with pytest.raises(CheckpointError, match=re.escape(complaint + name)):
        export(release, tmp_path / "models/indextts2", FP32, ignore)
    assert not (tmp_path / "models/indextts2").exists()


def test_what_training_left_beside_the_networks_is_passed_over(oracle: Oracle, bundle: Bundle, tmp_path: Path) -> None:
    def more(arrays: Arrays) -> None:
        arrays["net.discriminator.weight"] = np.zeros(3, np.float32)

    release = changed(linked(oracle.checkpoints, tmp_path / "release"), "s2mel.pth", more)
    assert contents(export(release, tmp_path / "indextts2", FP32, ignore)) == contents(bundle)


KILLED = """
import os, signal, sys
from pathlib import Path
from engines.indextts.export import export
from engines.indextts.recipe import ExportOptions

def progress(doing, done, whole):
    if doing == "making estimator.onnx" and done > whole / 2:
        os.kill(os.getpid(), signal.SIGKILL)

export(Path(sys.argv[1]), Path(sys.argv[2]), ExportOptions(precision="fp32"), progress)
"""


def test_a_killed_export_leaves_nothing_that_looks_whole_and_the_next_one_goes_on(
    oracle: Oracle, bundle: Bundle, tmp_path: Path
) -> None:
    place, root = tmp_path / "models/indextts2", Path(__file__).parents[3]
    place.parent.mkdir()
    command = [sys.executable, "-c", KILLED, str(oracle.checkpoints), str(place)]
    ended = subprocess.run(command, cwd=root, capture_output=True, timeout=50, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert list(find_bundles(place.parent)) == []
    heard: set[str] = set()
    made = export(oracle.checkpoints, place, FP32, lambda doing, done, whole: heard.add(doing))
    assert contents(made) == contents(bundle)
    assert "making gpt.onnx" not in heard, "what was finished is made once"
    assert "making estimator.onnx" in heard
    assert [path.name for path in place.parent.iterdir()] == ["indextts2"]


def test_a_stopped_export_keeps_the_bundle_that_was_there(oracle: Oracle, bundle: Bundle, tmp_path: Path) -> None:
    def stop(doing: str, done: int, whole: int) -> None:
        if doing == "making vocoder.onnx":
            raise KeyboardInterrupt

    before = export(oracle.checkpoints, tmp_path / "indextts2", ExportOptions(precision="int4"), ignore)
    with pytest.raises(KeyboardInterrupt):
        export(oracle.checkpoints, tmp_path / "indextts2", FP32, stop)
    assert list(find_bundles(tmp_path)) == [before]
    assert contents(export(oracle.checkpoints, tmp_path / "indextts2", FP32, ignore)) == contents(bundle)


def test_too_little_room_is_said_before_a_network_is_made(
    oracle: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: set[str] = set()
    monkeypatch.setattr(models.bundle_writer, "free_bytes", lambda folder: 1_000_000)
    with pytest.raises(BundleError, match="too little: make room"):
        export(oracle.checkpoints, tmp_path / "indextts2", FP32, lambda doing, done, whole: heard.add(doing))
    assert not any(one.startswith("making") for one in heard)


def test_a_bundle_takes_about_what_was_estimated(
    oracle: Oracle, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.indextts.export import estimate_bytes
    from engines.indextts.layout import Release

    taken = sum(one.size_bytes for one in bundle.files)
    assert 0.9 * taken < estimate_bytes(Release.find(oracle.checkpoints), FP32) < 1.5 * taken + (8 << 20)


def test_a_model_of_other_sizes_is_exported_and_runs(tmp_path: Path) -> None:
    """Widths, depths, heads, kernels and vocabularies that the reference model does not have."""
    write_checkpoint(tmp_path / "release", small())
    made = export(tmp_path / "release", tmp_path / "indextts2", ExportOptions(precision="int8"), ignore)
    assert Sizes.of_json(made.sizes) == small().sizes
    checks = verify(made.folder, None, ignore)
    assert [one for one in checks if not one.passed] == []
    assert {"gpt.onnx", "vocoder.onnx", "reference/w2v_bert.onnx", "tables"} <= {one.name for one in checks}
