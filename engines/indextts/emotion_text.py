"""What a text feels like: eight weights from a few words, asked of the language model that the release brings along.

The model is a Qwen3 trained to answer a text with a JSON object of eight strengths. Its folder `qwen0.6bemo4-merge` is
exported with the rest when it is there. Loaded with the first question: most requests have none. Blocks, and is for one
thread. Knows nothing about voices or what is done with the weights.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.errors import InvalidRequest, Unsupported
from engines.indextts.emotion import NAMES
from engines.indextts.qwen import Qwen
from models.bundle import Progress
from models.checkpoint import CheckpointError, Tensors

if TYPE_CHECKING:
    from models.graph import Precision

Weights = tuple[float, ...]

#: how strongly such weights should count: what the release's README advises for them
ALPHA_OF_WORDS = 0.6
#: the model's graph in its folder of a bundle
NAME = "qwen.onnx"
#: what lies beside it: all that the tokenizer needs, and the ids that end an answer
_KEPT = ("config.json", "generation_config.json", "*token*.json", "vocab.json", "merges.txt", "chat_template.*")
#: "classify the emotion of a text": the model was trained with these words before each text
_TASK = "文本情感分类"
#: the model's own names, in the order of `NAMES`
_CHINESE = ("高兴", "愤怒", "悲伤", "恐惧", "反感", "低落", "惊讶", "自然")
_NUMBERS = {**dict(zip(NAMES, range(8), strict=True)), **dict(zip(_CHINESE, range(8), strict=True))}
_ENTRY = re.compile(rf"({'|'.join(_NUMBERS)})[\"'”]?\s*[:：]\s*[\"'“]?(\d+(?:\.\d+)?|\.\d+)", re.IGNORECASE)
_CALM = (*(0.0,) * 7, 1.0)
#: tokens of a question, and of an answer: eight names with a number take 60 to 90
_LONGEST_QUESTION, _LONGEST_ANSWER = 1024, 160
#: answers that are remembered: a long text comes in many pieces, all with the same words about it
_REMEMBERED = 256


class EmotionText:
    """reader = EmotionText(bundle / "emotion_text"); weights = yield from reader.reading("很生气，但是忍住了")"""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self._folder = folder
        self._threads = threads
        self._loaded: tuple[Any, Qwen, frozenset[int]] | None = None
        self._known: dict[str, Weights] = {}

    def reading(self, text: str) -> Generator[None, None, Weights]:
        """A strength, 0 to 1, for each of `emotion.NAMES`; an answer that makes no sense is calm. Stops at each token
        of the answer, for other work or for good.

        Equal texts have equal weights. Raises Unsupported when the bundle lacks the model, InvalidRequest for a text
        that is too long, SessionError for a damaged model.
        """
        if text not in self._known:
            weights = read_answer((yield from self._answer(text)))
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[text] = weights
            return weights
        return self._known[text]

    def _answer(self, text: str) -> Generator[None, None, str]:
        tokenizer, model, ends = self._loaded = self._loaded or self._load()
        question = question_ids(tokenizer, text)
        if len(question) > _LONGEST_QUESTION:
            raise InvalidRequest("the instructions are too long: a sentence or two is enough", param="instructions")
        given: list[int] = []
        for token in model.answer(question, _LONGEST_ANSWER):
            given.append(token)
            if token in ends or "}" in tokenizer.decode([token]):
                break
            yield
        return str(tokenizer.decode(given, skip_special_tokens=True))

    def _load(self) -> tuple[Any, Qwen, frozenset[int]]:
        """The tokenizer, the model, and the tokens that end an answer."""
        if not (self._folder / NAME).is_file():
            raise Unsupported(
                "this engine's bundle cannot read emotions out of words: give `emotion` instead of `instructions`; or "
                "fetch qwen0.6bemo4-merge with the rest of the release, and export again",
                param="instructions",
            )
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise Unsupported(
                f"reading emotions out of words needs transformers ({error}): pip install 'voxgate[indextts]', or give "
                "`emotion` instead of `instructions`",
                param="instructions",
            ) from None

        tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        return tokenizer, Qwen(self._folder / NAME, self._threads), _ends(self._folder, tokenizer)


def question_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens that ask the model about a text, in the form of talk it was trained with."""
    if tokenizer.chat_template:
        talk = [{"role": "system", "content": _TASK}, {"role": "user", "content": text}]
        # the question whether to think aloud is Qwen3's; other templates pass over it
        asked = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    else:
        asked = f"{_TASK}\n{text}\n"
    return list(tokenizer.encode(asked, add_special_tokens=False))


def read_answer(answer: str) -> Weights:
    """The weights in an answer, whatever is around them and whichever names they have; calm where there are none."""
    weights = [0.0] * len(NAMES)
    for name, number in _ENTRY.findall(answer.rpartition("</think>")[2]):
        weights[_NUMBERS[name.lower()]] = min(float(number), 1.0)
    return tuple(weights) if any(weights) else _CALM


def _ends(folder: Path, tokenizer: Any) -> frozenset[int]:
    found: list[Any] = [tokenizer.eos_token_id]
    for name in ("config.json", "generation_config.json"):
        if (folder / name).is_file():
            value = json.loads((folder / name).read_text(encoding="utf-8")).get("eos_token_id")
            found += value if isinstance(value, list) else [value]
    return frozenset(one for one in found if isinstance(one, int))


def export_emotion_text(source: Path, folder: Path, precision: Precision, progress: Progress = lambda *_: None) -> None:
    """Write the graph and the tokenizer of the model in `source` to `folder`; nothing where there is no such model.

    Raises CheckpointError, or ValueError for a model of another design, that says what is wrong.
    """
    from engines.indextts.graphs.qwen import QwenSizes, build

    if not (source / "config.json").is_file():
        return
    weights = sorted(source.glob("*.safetensors"))
    if not weights or not ((source / "tokenizer.json").is_file() or (source / "vocab.json").is_file()):
        raise CheckpointError(
            f"{source} lacks {'its tokenizer' if weights else 'its *.safetensors'}: fetch it again, or remove it to do "
            "without emotions from words"
        )
    sizes = QwenSizes.of_config(json.loads((source / "config.json").read_text(encoding="utf-8")))
    tensors = _read_all(weights)
    whole, seen = tensors.count_values(), 0

    def heard(values: int) -> None:
        nonlocal seen
        seen = min(whole, seen + values)
        progress(f"making {folder.name}/{NAME}", seen, whole)

    folder.mkdir(parents=True, exist_ok=True)
    build(tensors.watched(heard), sizes, precision).save(folder / NAME)
    for path in {path for pattern in _KEPT for path in source.glob(pattern)}:
        shutil.copyfile(path, folder / path.name)


def _read_all(paths: Iterable[Path]) -> Tensors:
    """The tensors of a model in one file or several."""
    first, *others = (Tensors.read(path) for path in paths)
    for other in others:
        first = first.completed_by(other, lambda name: name)
    return first
