"""Made-up checkpoints: names and shapes of the released layout, at any sizes."""

import itertools
import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bench.indextts import shapes
from bench.indextts.checkpoint import write_checkpoint
from bench.indextts.design import Design, small
from engines.indextts.layout import Network, Release
from models.checkpoint import Tensors
from tests.engines.indextts.oracle import find_oracle

FILES = {
    "gpt.pth": shapes.gpt,
    "s2mel.pth": shapes.s2mel,
    "hf_cache/semantic_codec_model.safetensors": shapes.semantic_codec,
    "hf_cache/campplus_cn_common.bin": shapes.style,
    "hf_cache/bigvgan/bigvgan_generator.pt": shapes.vocoder,
    "hf_cache/w2v-bert-2.0/model.safetensors": shapes.w2v_bert,
    "wav2vec2bert_stats.pt": shapes.statistics,
}
#: a buffer of positions that no network reads
LEFT_OUT = {"net.cfm.estimator.input_pos"}


def design_of(folder: Path) -> Design:
    """What a checkpoint's configuration and tensors say of its sizes."""
    gpt, style = Tensors.read(folder / "gpt.pth"), Tensors.read(folder / "hf_cache/campplus_cn_common.bin")
    layers = Tensors.read(folder / "s2mel.pth").scope("net.gpt_layer.")
    widths = [
        layers.shape(f"{n}.bias")[0] for n in itertools.takewhile(lambda n: f"{n}.bias" in layers, itertools.count())
    ]
    config = YAML(typ="safe").load(folder / "config.yaml")
    heads = config["gpt"]["condition_module"]["attention_heads"]
    growth, inner, _ = style.shape("xvector.block1.tdnnd1.cam_layer.linear_local.weight")
    return Design(
        config,
        json.loads((folder / "hf_cache/bigvgan/config.json").read_text()),
        json.loads((folder / "hf_cache/w2v-bert-2.0/config.json").read_text()),
        speaker_rows=gpt.shape("perceiver_encoder.latents")[0],
        perceiver_head_width=gpt.shape("perceiver_encoder.layers.0.0.to_q.weight")[0] // heads,
        gpt_layer_widths=tuple(widths[:-1]),
        style_channels=style.shape("xvector.tdnn.linear.weight")[0],
        style_growth=growth,
        style_squeeze=inner // growth,
        style_head_channels=style.shape("head.conv1.weight")[0],
    )


@pytest.mark.oracle
@pytest.mark.parametrize("file", FILES)
def test_the_sizes_of_the_reference_model_give_its_names_and_shapes(file: str) -> None:
    folder = find_oracle().checkpoints
    tensors = Tensors.read(folder / file)
    kept = {name: tensors.shape(name) for name in tensors.names() if name not in LEFT_OUT}
    made = {name: shape for name, shape, _ in FILES[file](design_of(folder))}
    assert made == kept


def test_a_made_up_checkpoint_is_a_release_with_the_sizes_asked_for(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, small())
    release = Release.find(tmp_path)
    assert release.sizes == small().sizes
    networks: tuple[Network, ...] = ("gpt", "estimator", "vocoder", "w2v_bert", "style", "emotion_speakers")
    assert all(release.tensors(one).count_values() > 0 for one in networks)
    bias = release.tensors("gpt").take("mel_head.bias")
    assert bias.argmin() in (release.sizes.gpt.start_code, release.sizes.gpt.stop_code)


def test_its_tokenizer_reads_mandarin_and_english_without_an_unknown_token(tmp_path: Path) -> None:
    from sentencepiece import SentencePieceProcessor

    from bench.indextts.tokenizer import write_tokenizer

    write_tokenizer(tmp_path / "bpe.model", Design().sizes.gpt.text_tokens)
    reader = SentencePieceProcessor(model_file=str(tmp_path / "bpe.model"))
    assert reader.vocab_size() == Design().sizes.gpt.text_tokens
    ids = reader.encode("今 天 天 气 很 好 , HELLO WORLD .")
    assert reader.unk_id() not in ids
    assert 10 < len(ids) < 25
