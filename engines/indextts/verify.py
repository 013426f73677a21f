"""Compares a bundle with what it was made of: files by their digest, networks by what they compute.

Each network answers the same made-up question twice: as it is in the bundle, and as it is made anew of the release.
Knows nothing about what the answers mean.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.contract import Check, Progress
from engines.indextts.export import PARTS, Part, hash_sources, write
from engines.indextts.gpt import NAME, STEP_NAME, name_with_cache
from engines.indextts.layout import Release
from engines.indextts.recipe import FORMAT, ExportOptions
from engines.indextts.tables import Tables
from models.bundle import Bundle, BundleError
from models.checkpoint import CheckpointError
from models.room import told_bytes
from models.session import SessionError, open_session

#: of one computation done twice in float32, relative to the result: sums in another order, and no more
_EQUAL = 1e-4
#: what rounding weights (and activations, on the way) may change; random weights, the worst case, gave half of it
_ROUNDED = {"int8": 0.2, "int8_blocks": 0.2, "int4": 0.6}
#: lengths of a question, by the names that graphs have for what may differ from run to run
_LENGTHS = {"rows": 1, "frames": 24, "codes": 12, "steps": 6, "capacity": 8, "known": 10}

Answer = Mapping[str, npt.NDArray[Any]]


def verify(folder: Path, source: Path | None, progress: Progress) -> list[Check]:
    """Look at every file, and run every network; against the release in `source` if there is one.

    Raises BundleError when `folder` is no bundle that this version reads, ReleaseError when `source` is no release.
    """
    bundle = Bundle.read(folder)
    bundle.require_format(FORMAT)
    checks = [_contents(bundle, progress), *_int8_caches(bundle)]
    if source is None:
        return [*checks, _finite_tables(folder), *_finite_networks(bundle, progress)]
    release = Release.find(source, _has_reference(bundle))
    try:
        with tempfile.TemporaryDirectory(prefix=".verify-", dir=folder.parent) as anew:
            checks += _compared(bundle, release, Path(anew), progress)
    except OSError as error:
        raise BundleError(f"no room to make graphs for comparison in {folder.parent}: {error.strerror}") from error
    return checks


def _contents(bundle: Bundle, progress: Progress) -> Check:
    try:
        bundle.check_contents(progress)
    except BundleError as error:
        return Check("files", False, str(error))
    size_bytes = sum(one.size_bytes for one in bundle.files)
    return Check("files", True, f"{len(bundle.files)} files, {told_bytes(size_bytes)}, as the manifest says")


def _int8_caches(bundle: Bundle) -> Iterator[Check]:
    """Graphs with keys and values of 8 bit, against the same with those of float32."""
    there = {one.path for one in bundle.files}
    for name in (NAME, STEP_NAME):
        small = name_with_cache(name, "int8")
        if small in there:
            try:
                exact, answer = ask(bundle.folder / name), ask(bundle.folder / small)
            except SessionError as error:
                yield Check(small, False, str(error))
                continue
            told = {one: exact[one] for one in exact if not one.startswith("present_")}
            yield _judge(small, _errors(answer, told), _ROUNDED["int8"], f"as {name}")


def _finite_tables(folder: Path) -> Check:
    try:
        values = _tables(Tables.read(folder))
    except CheckpointError as error:
        return Check("tables", False, str(error))
    wrong = [name for name, one in values.items() if not np.isfinite(one).all()]
    return Check("tables", not wrong, f"{', '.join(wrong)} not finite" if wrong else "all values are finite")


def _finite_networks(bundle: Bundle, progress: Progress) -> Iterator[Check]:
    parts = list(_parts(bundle))
    for number, part in enumerate(parts):
        progress("running networks", number, len(parts))
        try:
            answer = ask(bundle.folder / part.file)
        except SessionError as error:
            yield Check(part.file, False, str(error))
            continue
        wrong = [name for name, one in answer.items() if not np.isfinite(one).all()]
        yield Check(part.file, not wrong, f"{', '.join(wrong)} not finite" if wrong else "loads, and computes")
    progress("running networks", len(parts), len(parts))


def _compared(bundle: Bundle, release: Release, anew: Path, progress: Progress) -> Iterator[Check]:
    yield _same_sources(bundle, release, progress)
    yield _same_tables(bundle, release)
    for part in _parts(bundle):
        yield from _compared_part(bundle, part, release, anew, progress)


def _same_sources(bundle: Bundle, release: Release, progress: Progress) -> Check:
    now = hash_sources(release, progress)
    other = sorted(name for name in now.keys() | bundle.sources.keys() if now.get(name) != bundle.sources.get(name))
    if other:
        return Check("sources", False, f"not what the bundle was made of: {', '.join(other)}; export it again")
    return Check("sources", True, f"{len(now)} files, the ones that the bundle was made of")


def _same_tables(bundle: Bundle, release: Release) -> Check:
    try:
        kept, made = _tables(Tables.read(bundle.folder)), _tables(Tables.of_release(release))
    except CheckpointError as error:
        return Check("tables", False, str(error))
    return _judge("tables", _errors(kept, made), _EQUAL, "made anew")


def _compared_part(bundle: Bundle, part: Part, release: Release, anew: Path, progress: Progress) -> Iterator[Check]:
    """Equal to a graph of the same precision; and as near to one of float32 as the precision allows."""
    options = ExportOptions.model_validate({"precision": bundle.quantisation})
    try:
        answer = ask(bundle.folder / part.file)
        errors = _errors(answer, _answer_anew(part, release, options, anew, progress))
        yield _judge(part.file, errors, _EQUAL, "made anew")
        precision = part.precision(options)
        if precision != "fp32":
            exact = _answer_anew(part, release, ExportOptions(precision="fp32"), anew, progress)
            yield _judge(f"{part.file} as {precision}", _errors(answer, exact), _ROUNDED[precision], "as fp32")
    except (SessionError, CheckpointError) as error:
        yield Check(part.file, False, str(error))


def _answer_anew(part: Part, release: Release, options: ExportOptions, anew: Path, progress: Progress) -> Answer:
    write(part, release, options, progress, anew)
    answer = ask(anew / part.file)
    for path in anew.rglob("*.onnx*"):
        path.unlink()
    return answer


def ask(path: Path) -> Answer:
    """What a network says to its question, by output. Raises SessionError."""
    session = open_session(path)
    random = np.random.default_rng(0)
    question = {one.name: _made_up(one.name, one.type, one.shape, random) for one in session.get_inputs()}
    names = [one.name for one in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, question), strict=True))
    except Exception as error:  # ONNX Runtime's have no base of their own but Exception
        raise SessionError(f"{path} cannot be run: {error}; make or fetch the bundle again") from error


def _made_up(name: str, dtype: str, shape: list[int | str], random: np.random.Generator) -> npt.NDArray[Any]:
    """Noise; what counts or masks is set so that all of it is heard."""
    known = [_LENGTHS[one] if isinstance(one, str) else one for one in shape]
    if name.startswith("past_"):
        return np.zeros(known, np.int8 if dtype == "tensor(int8)" else np.float32)
    if name == "heard":
        return np.ones(known, np.float32)
    if dtype == "tensor(float)":
        return random.standard_normal(known, np.float32)
    counts = {**_LENGTHS, "filled": _LENGTHS["steps"] - 1, "longest": _LENGTHS["steps"]}
    return np.full(known, counts[name], np.int32 if dtype == "tensor(int32)" else np.int64)


def _errors(one: Answer, other: Answer) -> dict[str, float]:
    """How far apart answers are, each relative to the other's length. Infinite where they do not fit at all."""
    return {name: _relative(one[name], other[name]) for name in other}


def _relative(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return float("inf")
    length = float(np.linalg.norm(np.asarray(other, np.float64).ravel()))
    apart = float(np.linalg.norm((np.asarray(one, np.float64) - other).ravel()))
    return apart / length if length else apart


def _judge(name: str, errors: Mapping[str, float], limit: float, against: str) -> Check:
    worst = max(errors, key=lambda one: errors[one])
    found = f"{errors[worst]:.1e} apart from one {against} (limit {limit:.0e}, at {worst})"
    if errors[worst] <= limit:
        return Check(name, True, found)
    return Check(name, False, f"{found}; export it again, or use a finer precision")


def _parts(bundle: Bundle) -> Iterator[Part]:
    kept = (one for one in PARTS if bundle.quantisation in one.bundles)
    return (one for one in kept if not one.reference or _has_reference(bundle))


def _has_reference(bundle: Bundle) -> bool:
    return any(one.path.startswith("reference/") for one in bundle.files)


def _tables(tables: Tables) -> Answer:
    return {name: getattr(tables, name) for name in Tables.__slots__}
