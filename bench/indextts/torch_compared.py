"""The engine's networks beside the same networks in PyTorch, on the same inputs, in turn, in one process each.

First looks whether they compute the same, on a model of a few MB. PyTorch runs in float32, and with its automatic casts
to bfloat16, whose copies of the weights are made before the clock runs. Needs torch.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.indextts import torch_modules
from bench.indextts.checkpoint import write_checkpoint
from bench.indextts.clock import timed_in_turn
from bench.indextts.design import small
from bench.indextts.home import VOICE, Home
from bench.indextts.process import alone
from bench.indextts.variant import Extent, Variant
from bench.report import Figure
from engines.indextts.graphs import estimator, gpt, vocoder
from engines.indextts.layout import Release
from engines.indextts.length_regulator import frames_of
from engines.indextts.model import IndexTts
from engines.indextts.sizes import Sizes
from models.session import count_threads, open_session

#: of float32, over the largest value
TOLERANCE = 1e-3
#: seconds of audio that the vocoder makes at once
VOCODER_S = 3.0
#: positions before the code that is decoded, and before those of the latent pass
DEPTH, PREFIX = 200, 64


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work, as the engine does it and as PyTorch does."""

    name: str
    own: Callable[[], object]
    torch: Callable[[], object]


def compare(home: Home, variant: Variant, extent: Extent) -> list[Figure]:
    """Raises RuntimeError when a module does not compute what its graph does."""
    # As the engine's sessions: threads that wait in a loop would look like work, and take the cores from each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    figures = alone(check)
    for network in ("gpt", "estimator", "vocoder"):
        figures += alone(measure, network, home, variant, extent)
    return sorted(figures, key=lambda one: one.group)


def check() -> list[Figure]:
    """How far apart graphs and modules are, on made-up weights of small sizes."""
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = Path(name)
        write_checkpoint(folder, small())
        release = Release.find(folder)
        apart = {one: _apart(one, release, folder) for one in _CHECKS}
    if wrong := [f"{one}: {by:.1e}" for one, by in apart.items() if not by < TOLERANCE]:
        raise RuntimeError(f"the PyTorch modules compute something else than the graphs: {', '.join(wrong)}")
    return [Figure("Beside PyTorch", "graphs and modules at small sizes apart by", max(apart.values()), "", TOLERANCE)]


def _apart(network: str, release: Release, folder: Path) -> float:
    build, output, feed, run = _CHECKS[network]
    path = folder / f"{network}.onnx"
    build(release.tensors(network), release.sizes, "fp32").save(path)  # type: ignore[arg-type]
    made = getattr(torch_modules, network)(release.tensors(network), release.sizes)  # type: ignore[arg-type]
    inputs = feed(release.sizes)
    (own,), other = open_session(path).run([output], inputs), run(made, inputs)
    return float(np.abs(own - other.numpy()).max() / np.abs(own).max())


def _noise(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _gpt_feed(sizes: Sizes) -> dict[str, Any]:
    own, steps = sizes.gpt, 9
    empty = {
        f"past_{kind}_{layer}": np.zeros((1, own.heads, steps, own.head_width), np.float32)
        for kind in ("key", "value")
        for layer in range(own.layers)
    }
    filled = {"filled": np.array([steps - 1], np.int32), "longest": np.array(steps, np.int32)}
    return {"embeddings": _noise(1, steps, own.width), **filled, **empty}


def _run_gpt(module: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """The last step by itself, as in decoding, behind the others at once."""
    x = torch.tensor(inputs["embeddings"])
    steps, pasts = x.shape[1], [one for one in inputs if one.startswith("past_key")]
    cache = torch.zeros(len(pasts), 2, *inputs[pasts[0]].shape)
    parts = [module(x[:, :3], 0, cache), module(x[:, 3 : steps - 1], 3, cache), module(x[:, -1:], steps - 1, cache)]
    return torch.cat([states for states, _ in parts], 1)


def _estimator_feed(sizes: Sizes, rows: int = 2, frames: int = 21) -> dict[str, Any]:
    own = sizes.estimator
    mels = {name: _noise(rows, own.mels, frames) for name in ("x", "prompt")}
    style, mu = _noise(rows, own.style_width), _noise(rows, frames, sizes.regulator.width)
    return {**mels, "t": np.array([0.3], np.float32), "style": style, "mu": mu, "known": np.array([frames // 2])}


def _vocoder_feed(sizes: Sizes, frames: int = 20) -> dict[str, Any]:
    return {"mel": _noise(1, sizes.mel.mels, frames) - 5}


def _run_named(module: Any, inputs: dict[str, Any]) -> torch.Tensor:
    given: torch.Tensor = module(**{name: torch.tensor(one) for name, one in inputs.items()})
    return given


#: a network -> how its graph is built, the output that is compared, inputs, and the module's answer to them
_CHECKS: dict[str, tuple[Any, str, Callable[[Sizes], dict[str, Any]], Callable[[Any, dict[str, Any]], torch.Tensor]]]
_CHECKS = {
    "gpt": (gpt.build, "hidden", _gpt_feed, _run_gpt),
    "estimator": (estimator.build, "velocity", _estimator_feed, _run_named),
    "vocoder": (vocoder.build, "wave", _vocoder_feed, _run_named),
}


def measure(network: str, home: Home, variant: Variant, extent: Extent) -> list[Figure]:
    """One network's tasks, by the engine and by PyTorch in turn."""
    torch.set_num_threads(count_threads(variant.threads))
    release = Release.find(home.checkpoint, reference=False)
    made = getattr(torch_modules, network)(release.tensors(network), release.sizes)  # type: ignore[arg-type]
    figures = []
    for task in _TASKS[network](made, IndexTts.load(home.instance(variant.precision), variant.options()), extent):
        times = max(1, extent.rounds // (1 if "decode" in task.name else 10))
        with torch.no_grad():
            own, plain = timed_in_turn([task.own, task.torch], times)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            (cast,) = timed_in_turn([task.torch], times)
        for by, seconds in (
            ("", lambda one: one.quickest_s),
            (
                f": processor time over {torch.get_num_threads()} threads",
                lambda one: one.cpu_s / torch.get_num_threads(),
            ),
        ):
            group = f"Beside PyTorch {torch.__version__}: {variant}{by}"
            figures += [
                *(
                    Figure(group, f"{task.name}, {who}", 1000 * seconds(one), "ms")
                    for who, one in (("here", own), ("PyTorch float32", plain), ("PyTorch bfloat16", cast))
                ),
                Figure(group, f"{task.name}, times as quick as float32", seconds(plain) / seconds(own), ""),
                Figure(group, f"{task.name}, times as quick as bfloat16", seconds(cast) / seconds(own), ""),
            ]
    return figures


def _gpt_tasks(module: torch_modules.Gpt, model: IndexTts, extent: Extent) -> Iterator[Task]:
    sizes, codes = model.gpt.sizes, min(extent.stage_codes, model.gpt.longest)
    depth = min(DEPTH, codes)
    cache = model.gpt.cache(PREFIX + codes)
    kept = torch.zeros(sizes.layers, 2, 1, sizes.heads, PREFIX + codes, sizes.head_width)
    one, many = _noise(1, 1, sizes.width), _noise(1, codes, sizes.width)
    yield Task(
        f"latent pass over {codes} codes",
        lambda: model.gpt.run(many, [PREFIX + codes], cache),
        lambda: module(torch.from_numpy(many), PREFIX, kept),
    )
    yield Task(
        f"decode, {depth} before it",
        lambda: model.gpt.run(one, [depth + 1], cache),
        lambda: module(torch.from_numpy(one), depth, kept),
    )


def _estimator_tasks(module: torch_modules.Estimator, model: IndexTts, extent: Extent) -> Iterator[Task]:
    voice, acoustics = model.voices.voice(VOICE), model.acoustics
    prompt_mel, frames = voice.mel[:, -acoustics.prompt_frames :], frames_of(extent.stage_codes)
    whole = prompt_mel.shape[1] + frames
    mu, noise = _noise(whole, voice.prompt.shape[1]), _noise(len(prompt_mel), whole)
    feed = {"x": noise, "prompt": noise, "style": voice.style, "mu": mu}
    both = {name: torch.from_numpy(np.stack([one, one])) for name, one in feed.items()}
    both |= {"t": torch.zeros(1), "known": torch.tensor([prompt_mel.shape[1]])}
    yield Task(
        f"a guided solver step over {whole / acoustics.frames_per_s:.0f} s, prompt included",
        lambda: acoustics.flow.solve(mu, prompt_mel, voice.style, noise, steps=1, cfg=0.7),
        lambda: module(**both),
    )


def _vocoder_tasks(module: torch_modules.Vocoder, model: IndexTts, extent: Extent) -> Iterator[Task]:
    frames = round(min(VOCODER_S, extent.stage_codes / 50) * model.acoustics.frames_per_s)
    mel = _noise(len(model.voices.voice(VOICE).mel), frames) - 5
    yield Task(
        f"vocoder, {frames / model.acoustics.frames_per_s:.1f} s of audio",
        lambda: model.acoustics.vocoder(mel),
        lambda: module(torch.from_numpy(mel[None])),
    )


_TASKS: dict[str, Callable[[Any, IndexTts, Extent], Iterator[Task]]] = {
    "gpt": _gpt_tasks,
    "estimator": _estimator_tasks,
    "vocoder": _vocoder_tasks,
}
