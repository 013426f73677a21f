"""What a release's folder is found to hold."""

from engines.indextts.layout import Release


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
