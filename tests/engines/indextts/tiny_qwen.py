"""A Qwen3 of any sizes with random weights, as its files lie on a disk, and its forward pass in plain numpy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

CONFIG = {
    "model_type": "qwen3",
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 80,
    "vocab_size": 71,
    "rope_theta": 1e6,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}
Weights = dict[str, np.ndarray]


def make_weights(config: dict[str, Any], seed: int = 0) -> Weights:
    width, inner, tokens = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    head = config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (tokens, width), "model.norm.weight": (width,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (tokens, width)
    for layer in range(config["num_hidden_layers"]):
        parts = {
            "input_layernorm": (width,),
            "post_attention_layernorm": (width,),
            "self_attn.q_proj": (queries, width),
            "self_attn.k_proj": (keys, width),
            "self_attn.v_proj": (keys, width),
            "self_attn.o_proj": (width, queries),
            "self_attn.q_norm": (head,),
            "self_attn.k_norm": (head,),
            "mlp.gate_proj": (inner, width),
            "mlp.up_proj": (inner, width),
            "mlp.down_proj": (width, inner),
        }
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in parts.items()}
    random = np.random.default_rng(seed)
    return {
        name: (random.standard_normal(shape) * (0.15 if len(shape) > 1 else 0.3) + (len(shape) == 1)).astype(np.float32)
        for name, shape in shapes.items()
    }


def write(folder: Path, config: dict[str, Any], weights: Weights) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(weights, folder / "model.safetensors")


def forward(config: dict[str, Any], weights: Weights, ids: list[int]) -> np.ndarray:
    """Logits [steps, tokens] of every step, in double precision, without any cache."""
    w = {name: one.astype(np.float64) for name, one in weights.items()}
    heads, groups, width = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    steps = len(ids)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + config["rms_norm_eps"]) * w[f"{name}.weight"]

    angles = np.arange(steps)[:, None] * config["rope_theta"] ** (-np.arange(0, width, 2) / width)[None]
    turn = np.exp(1j * angles)[:, None]  # [steps, 1, width / 2]

    def rotate(x: np.ndarray) -> np.ndarray:
        turned = (x[..., : width // 2] + 1j * x[..., width // 2 :]) * turn
        return np.concatenate([turned.real, turned.imag], -1)

    x = w["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        y = norm(x, f"{at}input_layernorm")
        q = rotate(
            norm((y @ w[f"{at}self_attn.q_proj.weight"].T).reshape(steps, heads, width), f"{at}self_attn.q_norm")
        )
        k = rotate(
            norm((y @ w[f"{at}self_attn.k_proj.weight"].T).reshape(steps, groups, width), f"{at}self_attn.k_norm")
        )
        v = (y @ w[f"{at}self_attn.v_proj.weight"].T).reshape(steps, groups, width)
        k, v = (np.repeat(one, heads // groups, axis=1) for one in (k, v))
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(width)
        scores = np.where(np.tri(steps, dtype=bool), scores, -np.inf)
        likely = np.exp(scores - scores.max(-1, keepdims=True))
        likely /= likely.sum(-1, keepdims=True)
        x = x + np.einsum("hij,jhd->ihd", likely, v).reshape(steps, -1) @ w[f"{at}self_attn.o_proj.weight"].T
        y = norm(x, f"{at}post_attention_layernorm")
        through = y @ w[f"{at}mlp.gate_proj.weight"].T
        inner = through / (1 + np.exp(-through)) * (y @ w[f"{at}mlp.up_proj.weight"].T)
        x = x + inner @ w[f"{at}mlp.down_proj.weight"].T
    return norm(x, "model.norm") @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T
