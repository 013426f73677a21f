"""Writes a checkpoint of IndexTTS-2 with made-up weights, in the released layout but as safetensors.

    python -m bench.indextts.checkpoint DIR            # the released sizes: 7 GB
    voxgate models export indextts2 --from DIR

Its speech is noise; its speed is that of the real weights. The last code is made unlikely, so that decoding goes on for
as long as it may.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from bench.indextts import shapes
from bench.indextts.design import PREPROCESSOR, Design, small
from bench.indextts.shapes import Fill, Shapes
from bench.indextts.tokenizer import write_tokenizer

_FILES: dict[str, Callable[[Design], Shapes]] = {
    "gpt.safetensors": shapes.gpt,
    "s2mel.safetensors": shapes.s2mel,
    "feat1.safetensors": shapes.emotion_speakers,
    "feat2.safetensors": shapes.emotion_vectors,
    "wav2vec2bert_stats.safetensors": shapes.statistics,
    "hf_cache/semantic_codec_model.safetensors": shapes.semantic_codec,
    "hf_cache/campplus_cn_common.safetensors": shapes.style,
    "hf_cache/bigvgan/bigvgan_generator.safetensors": shapes.vocoder,
    "hf_cache/w2v-bert-2.0/model.safetensors": shapes.w2v_bert,
}
#: added to the logits of the codes that start and stop: no sampling reaches them
_UNLIKELY = -25.0
_SLICE = 1 << 24  # values made at a time


def write_checkpoint(folder: Path, design: Design, seed: int = 0) -> None:
    """Write every file of a release below `folder`, from one `seed`."""
    random = np.random.default_rng(seed)
    for name, listed in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        _write_safetensors(folder / name, list(listed(design)), design, random)
    with (folder / "config.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(design.config, file)
    for name, content in (
        ("bigvgan/config.json", design.vocoder),
        ("w2v-bert-2.0/config.json", design.w2v_bert),
        ("w2v-bert-2.0/preprocessor_config.json", PREPROCESSOR),
    ):
        (folder / "hf_cache" / name).write_text(json.dumps(content, indent=1))
    write_tokenizer(folder / "bpe.model", design.sizes.gpt.text_tokens)


def _write_safetensors(
    path: Path, listed: list[tuple[str, tuple[int, ...], Fill]], design: Design, random: np.random.Generator
) -> None:
    """Tensor by tensor: the largest is all that is ever in memory."""
    header, end = {}, 0
    for name, shape, _ in listed:
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name, shape, fill in listed:
            values = _values(shape, fill, random)
            if name == "mel_head.bias":
                values[[design.sizes.gpt.start_code, design.sizes.gpt.stop_code]] = _UNLIKELY
            values.tofile(file)


def _values(shape: tuple[int, ...], fill: Fill, random: np.random.Generator) -> np.ndarray:
    if fill != "noise":
        return np.full(shape, {"ones": 1.0, "zeros": 0.0, "tenth": 0.1}[fill], np.float32)
    # The length of a product is that of its input then, so that nothing grows or fades over many layers.
    scale = np.float32(1 / math.sqrt(math.prod(shape[1:]) or 1))
    return random.standard_normal(shape, np.float32) * scale


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.indextts.checkpoint", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="a few MB, of odd sizes")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write_checkpoint(given.folder, small() if given.small else Design(), given.seed)
    total = sum(one.stat().st_size for one in given.folder.rglob("*") if one.is_file())
    print(f"{given.folder}: {total / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
