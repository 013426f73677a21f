"""The acoustic networks of the oracle, built and loaded; and chance that is none."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.cosyvoice.acoustics import Acoustics
from engines.cosyvoice.flow import Flow, FlowRates
from engines.cosyvoice.graphs import estimator, f0, flow_encoder, length_regulator, source, vocoder
from engines.cosyvoice.layout import Release
from engines.cosyvoice.vocoder import Vocoder
from models.graph import Graph, Precision
from models.network import Network
from models.session import open_session


@dataclass(frozen=True)
class Parts:
    """What makes a wave of speech tokens."""

    flow_encoder: Network
    estimator: Network
    flow: Flow
    vocoder: Vocoder

    @property
    def acoustics(self) -> Acoustics:
        return Acoustics(self.flow, self.vocoder)


def load(release: Release, folder: Path, precision: Precision = "fp32") -> Parts:
    """Build all graphs into `folder` and load them, on one thread: they are tiny. `precision` is that of estimator
    and vocoder."""

    def opened(graph: Graph, name: str) -> Network:
        graph.save(folder / f"{name}.onnx")
        return open_session(folder / f"{name}.onnx", 1)

    sizes, of_flow, of_vocoder = release.sizes, release.tensors("flow"), release.tensors("vocoder")
    encoder = opened(flow_encoder.build(of_flow, sizes.flow, "fp32"), "flow_encoder")
    velocity = opened(estimator.build(of_flow.scope("decoder.estimator."), sizes.flow, precision), "estimator")
    flow = Flow(
        encoder,
        opened(length_regulator.build(of_flow.scope("length_regulator."), sizes.flow, "fp32"), "length_regulator"),
        velocity,
        sizes.flow,
        FlowRates.of(sizes),
    )
    built = [one.build(of_vocoder, sizes.vocoder, precision) for one in (f0, source, vocoder)]
    pitch, mixer, network = (opened(one, name) for one, name in zip(built, ("f0", "source", "vocoder"), strict=True))
    of_flow.finish()
    of_vocoder.finish()
    return Parts(encoder, velocity, flow, Vocoder(pitch, mixer, network, sizes.vocoder))


class Foreseen(np.random.Generator):
    """Gives the noises that it was given to flows, one after the other, and to sources the phases of overtones and the
    noise that it was given; without these, silence."""

    def __init__(self, *flows: np.ndarray, phases: np.ndarray | None = None, noise: np.ndarray | None = None) -> None:
        super().__init__(np.random.PCG64(0))
        self._mels, self._flows, self._phases, self._noise = len(flows[0]), iter(flows), phases, noise

    def standard_normal(self, size: tuple[int, int], dtype: object = None) -> np.ndarray:  # type: ignore[override]
        silence = np.zeros(size, np.float32) if self._noise is None else self._noise
        given = next(self._flows) if size[0] == self._mels else silence
        assert given.shape == size
        return given

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:  # type: ignore[override]
        assert (low, high) == (-np.pi, np.pi)
        return np.zeros(size) if self._phases is None else self._phases
