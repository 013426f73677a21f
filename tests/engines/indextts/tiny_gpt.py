"""Random autoregressive models of any size, as graphs and once more in plain numpy: what the tests compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from engines.indextts.gpt import NAME, Gpt, LatentPass
from engines.indextts.graphs.gpt import build
from engines.indextts.sizes import GptSizes
from engines.indextts.tables import Tables
from models.checkpoint import Tensors
from models.graph import Precision

Array = np.ndarray


def sizes_of(layers: int = 2, width: int = 32, heads: int = 2, codes: int = 40, longest: int = 60) -> GptSizes:
    """Two codes are start and stop; the table of text has 30 rows."""
    return GptSizes(
        width=width,
        layers=layers,
        heads=heads,
        text_tokens=30,
        codes=codes,
        start_text=0,
        stop_text=1,
        start_code=codes - 2,
        stop_code=codes - 1,
        max_codes=longest,
        max_text_tokens=20,
    )


@dataclass(frozen=True)
class Tiny:
    """A model, its weights by the release's names, and the same computed without a graph."""

    gpt: Gpt
    weights: Mapping[str, Array]
    whole: Any  # sizes of the model, of which only the GPT's are there
    tables: Tables
    tensors: Tensors

    @property
    def sizes(self) -> GptSizes:
        return self.gpt.sizes

    def forward(self, embeddings: Array) -> tuple[Array, Array]:
        """embeddings [steps, width] -> states and scores of every step."""
        x = embeddings.astype(np.float64)
        for layer in range(self.sizes.layers):
            x = x + self._attention(f"gpt.h.{layer}.attn.", self._norm(f"gpt.h.{layer}.ln_1", x))
            inner = self._conv(f"gpt.h.{layer}.mlp.c_fc", self._norm(f"gpt.h.{layer}.ln_2", x))
            inner = 0.5 * inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
            x = x + self._conv(f"gpt.h.{layer}.mlp.c_proj", inner)
        x = self._norm("final_norm", self._norm("gpt.ln_f", x))
        return x, x @ self.weights["mel_head.weight"].T + self.weights["mel_head.bias"]

    def _attention(self, name: str, x: Array) -> Array:
        heads = self._conv(name + "c_attn", x).reshape(len(x), 3, self.sizes.heads, -1)
        query, key, value = heads.transpose(1, 2, 0, 3)
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(self.sizes.head_width)
        scores += np.triu(np.full((len(x), len(x)), -np.inf), 1)
        odds = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = odds / odds.sum(-1, keepdims=True) @ value
        return self._conv(name + "c_proj", mixed.transpose(1, 0, 2).reshape(len(x), -1))

    def _conv(self, name: str, x: Array) -> Array:
        return x @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def _norm(self, name: str, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def make(folder: Path, sizes: GptSizes, seed: int = 0, precision: Precision = "fp32", stops: float = -25) -> Tiny:
    """A random model; `stops` is added to the scores of the start and stop code, so that it goes on, or does not."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    weights = {name: _random(random, name, shape) for name, shape in _shapes(sizes).items()}
    weights["mel_head.bias"][[sizes.start_code, sizes.stop_code]] += np.float32(stops)
    save_file(weights, folder / "gpt.safetensors")
    tensors = Tensors.read(folder / "gpt.safetensors")
    whole = SimpleNamespace(gpt=sizes)
    build(tensors, whole, precision).save(folder / NAME)
    tensors.finish()
    tables = _tables(random, sizes)
    return Tiny(Gpt(folder, whole, tables, threads=1), weights, whole, tables, tensors)


def latents_of(gpt: Gpt, prefix: Array, codes: Sequence[int]) -> Array:
    """For each code the state that predicts it [n, width], in one go."""
    cache = gpt.cache(len(prefix) + len(codes))
    hidden, _ = gpt.prefill(prefix, cache)
    return LatentPass(gpt, cache, len(prefix) + 1, hidden).push(codes)


def _random(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    if name.endswith("bias"):
        return (0.1 * random.standard_normal(shape)).astype(np.float32)
    if len(shape) == 1:
        return (1 + 0.1 * random.standard_normal(shape)).astype(np.float32)
    inputs = shape[1] if "mel_head" in name else shape[0]
    return (2 * random.standard_normal(shape) / np.sqrt(inputs)).astype(np.float32)


def _shapes(sizes: GptSizes) -> dict[str, tuple[int, ...]]:
    width = sizes.width
    maps = {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
    maps |= {"mlp.c_fc": (width, 4 * width), "mlp.c_proj": (4 * width, width)}
    shapes: dict[str, tuple[int, ...]] = {"mel_head.weight": (sizes.codes, width), "mel_head.bias": (sizes.codes,)}
    norms = ["gpt.ln_f", "final_norm"]
    for layer in range(sizes.layers):
        norms += [f"gpt.h.{layer}.ln_1", f"gpt.h.{layer}.ln_2"]
        for name, shape in maps.items():
            shapes |= {f"gpt.h.{layer}.{name}.weight": shape, f"gpt.h.{layer}.{name}.bias": shape[1:]}
    return shapes | {f"{norm}.{kind}": (width,) for norm in norms for kind in ("weight", "bias")}


def _tables(random: np.random.Generator, sizes: GptSizes) -> Tables:
    rows = {
        "text_embedding": sizes.text_tokens + 1,
        "mel_embedding": sizes.codes,
        "text_position": sizes.max_text_tokens + 2,
        "mel_position": sizes.max_codes + 3,
    }
    return Tables(
        **{
            one.name: random.standard_normal((rows.get(one.name, 0), sizes.width)).astype(np.float32)
            for one in fields(Tables)
        }
    )
