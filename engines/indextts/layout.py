"""Finds a published model's files: as the release lays them out (`hf_cache/`), and as the fork for vLLM does.

One `Release` gives the sizes and the tensors of every network, whatever the layout. Knows the files' names and what
each is for; knows nothing about what a network computes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from engines.indextts.sizes import Sizes
from models.checkpoint import Tensors

#: a network, or a table, by the name that the rest of this package has for it
Network = Literal[
    "gpt",  # gpt.*, mel_head, the tables, both conditioners (conditioning_encoder.*, emo_*)
    "estimator",
    "length_regulator",
    "s2mel",  # the file of the two above and the next: "cfm.…", "length_regulator.…", "gpt_layer.…"
    "gpt_layer",  # latents to semantic width: "0.weight", "1.weight", …
    "vocoder",
    "semantic_codec",
    "w2v_bert",
    "statistics",  # "mean" and "var" of w2v-bert's features
    "style",
    "emotion_speakers",  # one tensor without a name: ""
    "emotion_vectors",  # likewise
]
_GET = "get the files with: voxgate models pull indextts2"


class ReleaseError(ValueError):
    """A folder that is no whole release; the message says what is missing and how to get it."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file by the places that one layout or another has it at. The first one is what a message names."""

    places: tuple[str, ...]
    purpose: Literal["speaking", "voices", "copy"] = "speaking"


_FILES: Mapping[str, _File] = {
    "config": _File(("config.yaml",)),
    "bpe": _File(("bpe.model",)),
    "gpt": _File(("gpt.pth", "gpt.safetensors")),
    "gpt_copy": _File(("gpt/pytorch_model.bin", "gpt/model.safetensors"), "copy"),
    "s2mel": _File(("s2mel.pth", "s2mel.safetensors")),
    "emotion_speakers": _File(("feat1.pt", "feat1.safetensors")),
    "emotion_vectors": _File(("feat2.pt", "feat2.safetensors")),
    "semantic_codec": _File(("hf_cache/semantic_codec_model.safetensors", "semantic_codec/model.safetensors")),
    "vocoder_config": _File(("hf_cache/bigvgan/config.json", "bigvgan/config.json")),
    "vocoder": _File(
        (
            "hf_cache/bigvgan/bigvgan_generator.pt",
            "bigvgan/bigvgan_generator.pt",
            "hf_cache/bigvgan/bigvgan_generator.safetensors",
            "bigvgan/bigvgan_generator.safetensors",
        )
    ),
    "statistics": _File(("wav2vec2bert_stats.pt", "wav2vec2bert_stats.safetensors"), "voices"),
    "w2v_bert_config": _File(("hf_cache/w2v-bert-2.0/config.json", "w2v-bert-2.0/config.json"), "voices"),
    "w2v_bert_features": _File(
        ("hf_cache/w2v-bert-2.0/preprocessor_config.json", "w2v-bert-2.0/preprocessor_config.json"), "voices"
    ),
    "w2v_bert": _File(("hf_cache/w2v-bert-2.0/model.safetensors", "w2v-bert-2.0/model.safetensors"), "voices"),
    "style": _File(
        (
            "hf_cache/campplus_cn_common.bin",
            "campplus/campplus_cn_common.bin",
            "hf_cache/campplus_cn_common.safetensors",
            "campplus/campplus_cn_common.safetensors",
        ),
        "voices",
    ),
}
#: config.yaml's own names for files that its author may have renamed
_NAMED_BY_CONFIG = {
    "gpt": "gpt_checkpoint",
    "s2mel": "s2mel_checkpoint",
    "statistics": "w2v_stat",
    "emotion_speakers": "spk_matrix",
    "emotion_vectors": "emo_matrix",
}
#: network -> its file, and the prefix that its tensors have there
_SCOPES: Mapping[Network, tuple[str, str]] = {
    "gpt": ("gpt", ""),
    "estimator": ("s2mel", "net.cfm.estimator."),
    "length_regulator": ("s2mel", "net.length_regulator."),
    "gpt_layer": ("s2mel", "net.gpt_layer."),
    "s2mel": ("s2mel", "net."),
    "vocoder": ("vocoder", "generator."),
    "semantic_codec": ("semantic_codec", ""),
    "w2v_bert": ("w2v_bert", ""),
    "statistics": ("statistics", ""),
    "style": ("style", ""),
    "emotion_speakers": ("emotion_speakers", ""),
    "emotion_vectors": ("emotion_vectors", ""),
}
#: the fork keeps the GPT for vLLM as well, where the tensors are called so
_FORK_NAMES = {
    "transformer.h.": "gpt.h.",
    "transformer.ln_f.": "gpt.ln_f.",
    "final_norm.": "final_norm.",
    "lm_head.0.": "final_norm.",
    "lm_head.1.": "mel_head.",
    "lm_head.": "mel_head.",
}
_COPIED = ("gpt", "final_norm", "mel_head")


class Release:
    """The files of one release, found. Tensors that were taken stay taken, so that the rest can be named."""

    def __init__(self, folder: Path, files: Mapping[str, Path], config: Mapping[str, Any]) -> None:
        self.folder = folder
        self._files = files
        self._read: dict[str, Tensors] = {}
        try:
            self.sizes = Sizes.of_release(config, json.loads(self.file("vocoder_config").read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ReleaseError(f"{folder}: {error}; {_GET}") from error

    @classmethod
    def find(cls, folder: Path, reference: bool = True) -> Self:
        """Look for everything, with what only making voices needs if `reference`.

        Raises ReleaseError that names all that is missing, or says what is wrong with the configuration.
        """
        if not folder.is_dir():
            raise ReleaseError(f"{folder} is no folder; {_GET}")
        config = _configuration(folder / "config.yaml")
        if str(config.get("version", "")).startswith("2.5"):
            raise ReleaseError(f"{folder} is IndexTTS-2.5, a model of another design; only IndexTTS-2 is read so far")
        wanted = {name: one for name, one in _FILES.items() if reference or one.purpose != "voices"}
        places = {name: _places(name, one, config) for name, one in wanted.items()}
        found = {name: folder / place for name, some in places.items() if (place := _first(folder, some))}
        if missing := [
            some[0] for name, some in places.items() if name not in found and wanted[name].purpose != "copy"
        ]:
            raise ReleaseError(f"{folder} lacks {', '.join(missing)}; {_GET}")
        return cls(folder, found, config)

    def file(self, name: str) -> Path:
        """Where one of the files is that `find` looked for."""
        return self._files[name]

    def files(self) -> Mapping[str, Path]:
        """Every file that was found, by name."""
        return self._files

    def tensors(self, network: Network) -> Tensors:
        """A network's tensors, by their names within it. Raises CheckpointError when the file cannot be read."""
        file, prefix = _SCOPES[network]
        if file not in self._read:
            self._read[file] = self._read_gpt() if file == "gpt" else Tensors.read(self.file(file))
        return self._read[file].scope(prefix)

    def _read_gpt(self) -> Tensors:
        """gpt.pth, which may hold everything below "model"; and what it lacks of the GPT, from the fork's copy."""
        tensors = Tensors.read(self.file("gpt"))
        if all(name.startswith("model.") for name in tensors.names()):
            tensors = tensors.scope("model.")
        copy = self._files.get("gpt_copy")
        if copy and not {name.split(".")[0] for name in tensors.names()}.issuperset(_COPIED):
            tensors = tensors.completed_by(Tensors.read(copy), _name_of_fork)
        return tensors

    @property
    def w2v_bert_config(self) -> Mapping[str, Any]:
        """config.json of w2v-bert. Raises ReleaseError."""
        try:
            config: dict[str, Any] = json.loads(self.file("w2v_bert_config").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ReleaseError(f"{self.file('w2v_bert_config')} cannot be read ({error}); {_GET}") from error
        return config

    @property
    def emotion_text(self) -> Path | None:
        """The folder of the text-to-emotion model, which a release may be without."""
        folder = self.folder / "qwen0.6bemo4-merge"
        return folder if (folder / "config.json").is_file() else None

    def emotion_text_files(self) -> list[Path]:
        """What lies in there."""
        return [] if self.emotion_text is None else sorted(one for one in self.emotion_text.rglob("*") if one.is_file())


def _configuration(path: Path) -> Mapping[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        config = YAML(typ="safe").load(path)
    except FileNotFoundError:
        return {}
    except (OSError, YAMLError) as error:
        raise ReleaseError(f"{path} cannot be read ({error}); {_GET}") from error
    if not isinstance(config, Mapping):
        raise ReleaseError(f"{path} is no configuration of a model; {_GET}")
    return config


def _places(name: str, file: _File, config: Mapping[str, Any]) -> tuple[str, ...]:
    named = config.get(_NAMED_BY_CONFIG.get(name, ""))
    return (named, *file.places) if isinstance(named, str) and named not in file.places else file.places


def _name_of_fork(name: str) -> str:
    """What the release calls the tensor; empty for one that the fork's copy has for itself."""
    prefix = max((one for one in _FORK_NAMES if name.startswith(one)), key=len, default="")
    return _FORK_NAMES[prefix] + name.removeprefix(prefix) if prefix else ""


def _first(folder: Path, places: Iterable[str]) -> str:
    return next((one for one in places if (folder / one).is_file()), "")
