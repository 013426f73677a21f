"""Finds a published model's files, and gives the sizes and the tensors of every network, and its speakers.

Knows the files' names and what each is for; knows nothing about what a network computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from engines.cosyvoice.configuration import ConfigurationError, read_configuration
from engines.cosyvoice.sizes import Sizes
from engines.cosyvoice.tokenizer import RANKS_NAME
from models.checkpoint import CheckpointError, Tensors
from models.stored import Stored, read_checkpoint

Network = Literal["lm", "flow", "vocoder"]

CONFIGURATION = "cosyvoice.yaml"
SPEAKERS = "spk2info.pt"
_NETWORKS: Mapping[Network, str] = {"lm": "llm.pt", "flow": "flow.pt", "vocoder": "hift.pt"}
#: what later models, of other designs, call their configuration
_OTHERS = {"cosyvoice2.yaml": "CosyVoice2", "cosyvoice3.yaml": "Fun-CosyVoice3"}
#: before every tensor of some vocoders: they were trained beside a discriminator
_GENERATOR = "generator."


class ReleaseError(ValueError):
    """A folder that is no whole release; the message says what is missing."""


class Release:
    """The files of one release, found. Tensors that were taken stay taken, so that the rest can be named."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder = folder
        self.sizes = sizes
        self._read: dict[Network, Tensors] = {}

    @classmethod
    def find(cls, folder: Path) -> Self:
        """Look for everything. Raises ReleaseError that names all that is missing, or says what is wrong with the
        configuration. The files that only cloning needs may be absent: nothing here reads them."""
        if not folder.is_dir():
            raise ReleaseError(f"{folder} is no folder")
        for name, model in _OTHERS.items():
            if (folder / name).is_file() and not (folder / CONFIGURATION).is_file():
                raise ReleaseError(f"{folder} is {model}, of another design; only CosyVoice-300M is read so far")
        wanted = (CONFIGURATION, *_NETWORKS.values(), SPEAKERS)
        if missing := [name for name in wanted if not (folder / name).is_file()]:
            raise ReleaseError(f"{folder} lacks {', '.join(missing)}; is it a whole CosyVoice-300M-SFT?")
        try:
            return cls(folder, Sizes.of_release(read_configuration(folder / CONFIGURATION)))
        except ConfigurationError as error:
            raise ReleaseError(str(error)) from error
        except (OSError, ValueError) as error:
            raise ReleaseError(f"{folder / CONFIGURATION}: {error}") from error

    def tensors(self, network: Network) -> Tensors:
        """A network's tensors. Raises CheckpointError when the file cannot be read."""
        if network not in self._read:
            tensors = Tensors.read(self.folder / _NETWORKS[network])
            if network == "vocoder" and all(name.startswith(_GENERATOR) for name in tensors.names()):
                tensors = tensors.scope(_GENERATOR)
            self._read[network] = tensors
        return self._read[network]

    def files(self) -> list[Path]:
        """Every file of the release that is read."""
        return [self.folder / name for name in (CONFIGURATION, *_NETWORKS.values(), SPEAKERS)]

    def ranks(self) -> Path:
        """The file of the text tokens' vocabulary, which no release has: beside it, or in Whisper's own package, which
        is not imported. Raises ReleaseError that says how to get it."""
        found = [self.folder / RANKS_NAME]
        package = find_spec("whisper")
        if package is not None and package.submodule_search_locations:
            found += [Path(one) / "assets" / RANKS_NAME for one in package.submodule_search_locations]
        for path in found:
            if path.is_file():
                return path
        raise ReleaseError(
            f"{self.folder} lacks {RANKS_NAME}, the vocabulary of its texts, which Whisper's package has: "
            "pip install --no-deps openai-whisper"
        )

    def speakers(self) -> dict[str, npt.NDArray[np.float32]]:
        """What each speaker sounds like [speaker width], by name. Raises CheckpointError."""
        path, width = self.folder / SPEAKERS, self.sizes.lm.speaker_width
        speakers = {}
        for name, kept in read_checkpoint(path).items():
            embedding = kept.get("embedding") if isinstance(kept, Mapping) else None
            if not isinstance(embedding, Stored) or embedding.shape not in ((width,), (1, width)):
                raise CheckpointError(f"{path}: {name!r} has no embedding of {width} numbers; fetch it again")
            speakers[str(name)] = np.array(embedding.read(), np.float32).reshape(width)
        if not speakers:
            raise CheckpointError(f"{path} names no speaker: it is not the one of CosyVoice-300M-SFT; fetch that")
        return speakers
