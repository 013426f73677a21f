"""Where Kokoro is published as ONNX, and how `voxgate models` makes the bundles: the files, as they are.

Loads nothing: what exports and verifies is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engines.contract import Check, HubFile, HubSource, ModelRecipe, Options, Progress
from engines.kokoro.folder import MODEL

#: counts up when a file's name changes its meaning
FORMAT = 1
LICENCE = "Apache-2.0"
_PACKAGES = ("numpy", "onnxruntime")


def _recipe(name: str, repository: str, model: str, about: str) -> ModelRecipe:
    """`model`: its page, with the licence."""

    def export(source: Path, folder: Path, options: Options, progress: Progress) -> object:
        """Make the bundle. Raises ValueError that says what to do."""
        from engines.kokoro.export import export

        return export(name, source, folder, progress)

    def verify(folder: Path, source: Path | None, progress: Progress) -> Sequence[Check]:
        """Look at the bundle, and let the model speak."""
        from engines.kokoro.export import verify

        return verify(folder, progress)

    files = (HubFile("onnx/model.onnx", MODEL), HubFile("tokenizer.json"), HubFile("voices/*.bin"))
    return ModelRecipe(
        name=name,
        summary=about,
        licence=LICENCE,
        licence_url=f"https://huggingface.co/{model}",
        sources=(HubSource(files, repository, repository),),
        export=export,
        verify=verify,
        packages=_PACKAGES,
        extra="kokoro",
        bundle_bytes=360_000_000,
        format=FORMAT,
    )


VERSION_1 = _recipe(
    "kokoro",
    "onnx-community/Kokoro-82M-v1.0-ONNX",
    "hexgrad/Kokoro-82M",
    "Kokoro-82M v1.0 by hexgrad: English, Mandarin, Spanish, French, Hindi, Italian and Portuguese voices",
)
VERSION_1_1_ZH = _recipe(
    "kokoro-zh",
    "onnx-community/Kokoro-82M-v1.1-zh-ONNX",
    "hexgrad/Kokoro-82M-v1.1-zh",
    "Kokoro-82M v1.1-zh by hexgrad: a hundred Mandarin voices, three English ones",
)
RECIPES = (VERSION_1, VERSION_1_1_ZH)
