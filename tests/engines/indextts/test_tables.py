"""Tables: what a release's tensors are folded into, against what the official code made with them."""

from pathlib import Path

import numpy as np

from engines.indextts.layout import Release
from engines.indextts.tables import Tables
from tests.engines.indextts.oracle import Oracle


def test_folded_tables_give_the_reference_semantics(oracle: Oracle, release: Release) -> None:
    tables, golden = Tables.of_release(release), oracle.golden("latent")
    features = golden["latent"][0] @ tables.latent_weight.T + tables.latent_bias
    np.testing.assert_allclose(features, golden["gpt_layer_out"][0], atol=1e-5)
    np.testing.assert_allclose(tables.semantic_table[golden["codes"][0]], golden["vq_emb"][0], atol=1e-5)


def test_the_embeddings_of_the_reference_prefix_are_found_in_the_tables(oracle: Oracle, release: Release) -> None:
    tables, golden, sizes = Tables.of_release(release), oracle.golden("gpt"), release.sizes.gpt
    ids = [sizes.start_text, *golden["text_ids"][0], sizes.stop_text]
    prefix, start = golden["inputs_embeds_with_start"][0], tables.mel_embedding[sizes.start_code]
    np.testing.assert_allclose(
        prefix[-1 - len(ids) : -1], tables.text_embedding[ids] + tables.text_position[: len(ids)], atol=1e-6
    )
    np.testing.assert_allclose(prefix[-1], start + tables.mel_position[0], atol=1e-6)
    conditioning = oracle.golden("voice")["conds_latent"][0]
    np.testing.assert_array_equal(conditioning[-2:], tables.speed_embedding[::-1])


def test_tables_of_a_bundle_are_mapped_and_equal(release: Release, tmp_path: Path) -> None:
    tables = Tables.of_release(release)
    tables.write(tmp_path)
    read = Tables.read(tmp_path)
    np.testing.assert_array_equal(read.latent_weight, tables.latent_weight)
    np.testing.assert_array_equal(read.emotion_vectors, tables.emotion_vectors)
    base = read.text_embedding
    while not isinstance(base, np.memmap):
        assert base.base is not None, "copied into memory"
        base = base.base
