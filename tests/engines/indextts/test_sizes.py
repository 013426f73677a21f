"""Sizes from a release's configuration, and into a manifest and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.indextts.design import Design, small
from engines.indextts.sizes import Sizes


@pytest.mark.parametrize("design", [Design(), small()])
def test_a_manifest_gives_back_what_it_was_given(design: Design) -> None:
    assert Sizes.of_json(json.loads(json.dumps(design.sizes.to_json()))) == design.sizes


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("gpt", "condition_type"), "gst"),
        (("gpt", "condition_module", "input_layer"), "linear"),
        (("s2mel", "length_regulator", "is_discrete"), True),
        (("s2mel", "DiT", "is_causal"), True),
        (("s2mel", "preprocess_params", "spect_params", "fmax"), 8000),
    ],
)
def test_another_design_is_refused_by_name(path: tuple[str, ...], value: object) -> None:
    design = Design()
    part: dict[str, Any] = design.config
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    with pytest.raises(ValueError, match=f"{path[-1]}: {value}"):
        design.sizes  # noqa: B018


def test_what_is_missing_is_named() -> None:
    design = Design()
    del design.config["semantic_codec"]["codebook_dim"]
    with pytest.raises(ValueError, match="lacks 'codebook_dim'"):
        design.sizes  # noqa: B018
