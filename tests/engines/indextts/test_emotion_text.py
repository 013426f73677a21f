"""Weights out of words: what is asked, what is made of an answer, and what is said when there is nobody to ask."""

import json
import sys
from itertools import pairwise

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from engines.errors import InvalidRequest, Unsupported
from engines.indextts.emotion_text import EmotionText, export_emotion_text, read_answer
from models.checkpoint import CheckpointError
from models.slices import whole
from tests.engines.indextts.tiny_qwen import CONFIG, make_weights, write

CALM = (0, 0, 0, 0, 0, 0, 0, 1)
TEMPLATE = (
    "{% for one in messages %}<s>{{ one.role }}:{{ one.content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'think' if enable_thinking else '>' }}{% endif %}"
)
#: one after the other, so that the model below answers with it
ANSWER = ["{", '"高兴":', "0.6,", '"melancholic":', "0.25", "}"]


@pytest.mark.parametrize(
    ("answer", "weights"),
    [
        ('{"高兴": 0.6, "愤怒": 0.0, "悲伤": 0.1, "自然": 0.3}', (0.6, 0, 0.1, 0, 0, 0, 0, 0.3)),
        ("<think>高兴: 1</think>\n{'恐惧': '0.5', '反感':.25, 惊讶：1", (0, 0, 0, 0.5, 0.25, 0, 1, 0)),
        ('{"Happy": 7, "sad": 0.2}', (1, 0, 0.2, 0, 0, 0, 0, 0)),
        ('{"低落": 0.4', (0, 0, 0, 0, 0, 0.4, 0, 0)),
        ('{"高兴": 0, "愤怒": 0.0}', CALM),
        ("我不知道", CALM),
        ("", CALM),
        ('{"高兴": "very"}', CALM),
    ],
)
def test_an_answer_is_read_whatever_it_looks_like(answer, weights):
    assert read_answer(answer) == weights


def _tokenizer(words):
    """Every word is a token, anything else is <unk>."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    pattern = "|".join(sorted((one.replace("{", r"\{").replace("}", r"\}") for one in words), key=len, reverse=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    return tokenizer


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A model whose layers add nothing and whose head gives each token its successor: it answers with ANSWER."""
    words = ["<unk>", "</s>", "文本情感分类", *ANSWER, ">"]
    config = {**CONFIG, "tie_word_embeddings": False, "vocab_size": len(words)}
    weights = make_weights(config)
    for name in weights:
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weights[name][:] = 0
    table, head = np.eye(len(words), config["hidden_size"], dtype=np.float32), np.zeros_like(weights["lm_head.weight"])
    for word, after in pairwise([">", *ANSWER, "</s>"]):
        head[words.index(after)] += table[words.index(word)]
    weights |= {"model.embed_tokens.weight": table, "lm_head.weight": head}
    weights["model.norm.weight"][:] = 1
    folder = tmp_path_factory.mktemp("source") / "qwen0.6bemo4-merge"
    write(folder, config, weights)
    _tokenizer(words).save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": TEMPLATE}), "utf-8")
    (folder / "README.md").write_text("not for a bundle", "utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "emotion_text"
    heard = []
    export_emotion_text(source, folder, "fp32", lambda *one: heard.append(one))
    assert heard
    assert heard[-1][1] == heard[-1][2]
    return folder


def test_a_bundle_gets_the_graph_and_the_tokenizer_alone(folder):
    kept = {"qwen.onnx", "qwen.onnx.data", "config.json", "tokenizer.json", "tokenizer_config.json"}
    assert {one.name for one in folder.iterdir()} == kept


def test_words_are_asked_about_in_the_models_form_of_talk_and_answered_with_weights(folder):
    assert whole(EmotionText(folder, 1).reading("开心")) == (0.6, 0, 0, 0, 0, 0.25, 0, 0)


def test_an_answer_stops_at_each_token_so_that_others_are_served_and_two_may_be_read_at_once(folder):
    reader = EmotionText(folder, 1)
    both, given, stops = [reader.reading("开心"), reader.reading("难过")], [], 0
    while both:
        for one in list(both):
            try:
                next(one)
                stops += 1
            except StopIteration as end:
                given.append(end.value)
                both.remove(one)
    assert given == [(0.6, 0, 0, 0, 0, 0.25, 0, 0)] * 2
    assert stops == 2 * (len(ANSWER) - 1)


def test_without_transformers_words_are_unsupported_and_the_package_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(Unsupported, match=r"pip install 'voxgate\[indextts\]'"):
        whole(EmotionText(folder, 1).reading("开心"))


def test_a_model_that_never_ends_is_stopped_and_calm(folder, tmp_path):
    for one in folder.iterdir():
        (tmp_path / one.name).write_bytes(one.read_bytes())
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    settings["chat_template"] = TEMPLATE.replace("'>'", "'文本情感分类'")  # nothing follows on this word
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    assert whole(EmotionText(tmp_path, 1).reading("开心")) == CALM


def test_equal_words_are_asked_about_once(folder, monkeypatch):
    reader, asked = EmotionText(folder, 1), []

    def answer(text):
        asked.append(text)
        yield
        return '{"sad": 0.5}'

    monkeypatch.setattr(reader, "_answer", answer)
    for number in [*range(300), 299, 0]:
        assert whole(reader.reading(str(number)))[2] == 0.5
    assert len(asked) == 301  # the oldest were forgotten


def test_words_without_end_are_refused(folder):
    with pytest.raises(InvalidRequest, match="too long") as caught:
        whole(EmotionText(folder, 1).reading("文本情感分类>" * 600))
    assert caught.value.param == "instructions"


def test_a_bundle_without_the_model_says_what_to_do(tmp_path):
    with pytest.raises(Unsupported, match=r"qwen0\.6bemo4-merge.*export again") as caught:
        whole(EmotionText(tmp_path).reading("开心"))
    assert caught.value.param == "instructions"


def test_a_release_without_the_model_exports_nothing(tmp_path):
    export_emotion_text(tmp_path / "absent", tmp_path / "emotion_text", "int8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("absent", "said"), [("model.safetensors", "safetensors"), ("tokenizer.json", "tokenizer")])
def test_half_a_model_is_an_error_that_names_what_it_lacks(source, tmp_path, absent, said):
    for one in source.iterdir():
        if one.name != absent:
            (tmp_path / one.name).write_bytes(one.read_bytes())
    with pytest.raises(CheckpointError, match=said):
        export_emotion_text(tmp_path, tmp_path / "emotion_text", "int8")
    assert not (tmp_path / "emotion_text").exists()
