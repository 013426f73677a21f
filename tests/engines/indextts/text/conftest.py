"""A vocabulary made here, so that texts can be read without the reference data."""

from io import BytesIO
from pathlib import Path

import pytest
import sentencepiece

from engines.indextts.text import Front

_LINES = [
    "你 好 , 世 界 .",
    "今 天 是 二 零 二 四 年 五 月 一 日 .",
    "THE PRICE IS FIVE DOLLARS , ISN'T IT ?",
    "XVAN4 GAN3 - !",
]


@pytest.fixture(scope="session")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_LINES * 20),
        model_writer=model,
        model_type="bpe",
        vocab_size=90,
        bos_id=0,
        eos_id=1,
        unk_id=2,
        minloglevel=2,
    )
    path = tmp_path_factory.mktemp("vocabulary") / "bpe.model"
    path.write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="session")
def front(bpe: Path) -> Front:
    return Front(bpe)
