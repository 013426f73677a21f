"""A plugin whose model is one small file: what `voxgate models` is tried with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from engines.contract import Check, EngineKind, HubFile, HubSource, ModelRecipe, Options, Progress
from engines.hooks import hookimpl
from engines.tone import ToneEngine, ToneOptions
from models.bundle import Bundle, BundleError
from models.bundle_writer import BundleWriter


class ExportOptions(Options):
    precision: Annotated[Literal["plain", "loud"], Field(description="how its bytes are written")] = "plain"
    reference: Annotated[bool, Field(description="what only voices need")] = True


def export(source: Path, folder: Path, options: ExportOptions, progress: Progress) -> Bundle:
    """net.bin, in upper case if `loud`. Stops half way where a test says so."""
    content = (source / "net.bin").read_bytes()
    if content.startswith(b"broken"):
        raise BundleError("net.bin is no network:\nfetch another")
    writer = BundleWriter(folder, {"options": options.model_dump_json()})
    progress("making net", 0, 2)
    made = content.upper() if options.precision == "loud" else content
    writer.stage("net", lambda place: (place / "net.onnx").write_bytes(made))
    if os.environ.get("TOY_STOPS"):
        raise KeyboardInterrupt
    progress("making net", 2, 2)
    return writer.finish(name="toy", version=f"1-{options.precision}", format=1, licence="Toy Licence")


def verify(folder: Path, source: Path | None, progress: Progress) -> Sequence[Check]:
    checks = [Check("files", (folder / "net.onnx").read_bytes() != b"spoilt", "looked at")]
    if source is not None:
        same = (folder / "net.onnx").read_bytes() == (source / "net.bin").read_bytes()
        checks.append(Check("numbers", same, "0.0 apart" if same else "far apart: export it again"))
    return checks


RECIPE = ModelRecipe(
    name="toy",
    summary="one file",
    licence="Toy Licence",
    licence_url="https://toy.example/licence",
    sources=(
        HubSource((HubFile("net.bin"), HubFile("config.json")), "toys/toy", "toys/toy"),
        HubSource((HubFile("voice.bin", "aux/", only_for="reference"),), "toys/aux", licence="CC0-1.0"),
    ),
    export=export,
    verify=verify,
    options=ExportOptions,
    packages=("json",),
    extra="toy",
    bundle_bytes=1000,
    format=1,
)
KIND = EngineKind("toy", ToneOptions, ToneEngine, "a toy", "CC0-1.0", models=(RECIPE,))


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    return [KIND]
