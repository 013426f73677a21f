"""How quick IndexTTS-2 is on this machine, with made-up weights of the released sizes: `scripts/bench indextts`.

Prints a table for people, and JSON on the last line. Each part runs in a process of its own, so that its memory is its
own too.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

from bench.indextts.design import small
from bench.indextts.home import Home
from bench.indextts.machine import Beside, describe_machine
from bench.indextts.process import alone
from bench.indextts.sentences import measure_sentences
from bench.indextts.stages import measure_stages
from bench.indextts.variant import FULL, QUICK, TINY, Variant
from bench.report import Figure, as_json, table
from models.graph import Precision

PARTS = ("stages", "sentences", "torch")


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    began_s, beside = time.monotonic(), Beside()
    figures: list[Figure] = []
    try:
        for found in measure(asked):
            figures += found
            if not asked.json:
                print(table(found), end="\n\n", flush=True)
    except (RuntimeError, OSError) as error:
        print(f"bench: indextts: {error}", file=sys.stderr)
        return 1
    conditions = {
        **describe_machine(),
        **{name: version(name) for name in ("onnxruntime", "numpy", "openvino", "torch") if find_spec(name)},
        "others_share_of_cores": beside.share(),
        "quick": asked.quick,
        "took_s": round(time.monotonic() - began_s, 1),
    }
    print(as_json(figures, conditions))
    return 0


def measure(asked: argparse.Namespace) -> Iterator[list[Figure]]:
    """Make what is to be measured, and measure it part by part. Raises RuntimeError and OSError."""
    home = Home(asked.folder, small() if asked.small else None)
    extent = TINY if asked.small else QUICK if asked.quick else FULL
    alone(home.make, *asked.precision)
    for variant in variants(asked):
        if "stages" in asked.part:
            yield alone(measure_stages, home, variant, extent).figures(f"Stages: {variant}")
        if "sentences" in asked.part:
            found = alone(measure_sentences, home, variant, extent, asked.steps)
            yield found.figures(f"The engine at {asked.steps} solver steps: {variant}")
    if "torch" in asked.part and find_spec("torch") is not None:
        from bench.indextts.torch_compared import compare

        yield compare(home, next(variants(asked)), extent)


def variants(asked: argparse.Namespace) -> Iterator[Variant]:
    for precision, kv, provider in itertools.product(asked.precision, asked.kv, asked.provider):
        yield Variant(precision, kv, provider, asked.threads)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench indextts", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter sentences, fewer rounds; noisier")
    parser.add_argument("--json", action="store_true", help="no table")
    parser.add_argument("--precision", nargs="+", choices=get_args(Precision), default=["int8"])
    parser.add_argument("--kv", nargs="+", choices=("fp32", "int8"), default=["fp32"])
    parser.add_argument("--provider", nargs="+", choices=("onnxruntime", "openvino"), default=["onnxruntime"])
    parser.add_argument("--steps", type=int, default=10, help="of the solver, where the engine itself speaks")
    parser.add_argument("--threads", type=int, help="default: as the engine does")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--small", action="store_true", help="a few MB instead of the released sizes: tries the bench")
    where = Path(tempfile.gettempdir()) / "voxgate-bench-indextts"
    parser.add_argument("--folder", type=Path, default=where, help=f"where the model is made and kept; {where}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
