"""Little voices with Piper's inputs and outputs, made here: each symbol is a short beep of its own pitch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.graph import Graph

SAMPLE_RATE = 16000
#: samples of one symbol at length 1
HOP = 480
IPA = "abdefhijklmnopstuvwzæðŋɐɑɒɔəɚɛɜɡɪɹɾʃʊʌʒʔθxχɕːˈˌ 12345 ,.?!;:"
_FINALS = (
    "a o e ai ei ao ou an en ang eng ong i ia ie iao iu ian in iang ing iong u ua uo uai ui uan un uang v ve er ue"
)
PINYIN = ["Ø", "zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcsyw", *_FINALS.split(" "), *"12345。？！，…"]


def make_voice(
    folder: Path,
    name: str,
    *,
    symbols: Sequence[str] = IPA,
    speakers: Sequence[str] = (),
    amplitudes: Sequence[float] = (0.3,),
    inputs: Mapping[str, str] | None = None,
    **description: Any,
) -> Path:
    """`amplitudes`: how loud each speaker's graph is. `description` goes over what the JSON says."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = {symbol: [number] for number, symbol in enumerate(dict.fromkeys(["_", "^", "$", *symbols]))}
    _graph(len(ids), amplitudes, several=bool(speakers), renamed=inputs or {}).save(folder / f"{name}.onnx")
    said = {
        "audio": {"sample_rate": SAMPLE_RATE, "quality": "x_low"},
        "espeak": {"voice": "en-us"},
        "language": {"code": "en_US", "family": "en"},
        "inference": {"noise_scale": 0.667, "length_scale": 1.0, "noise_w": 0.8},
        "num_symbols": len(ids),
        "num_speakers": max(1, len(speakers)),
        "speaker_id_map": {speaker: number for number, speaker in enumerate(speakers)},
        "phoneme_id_map": ids,
        **description,
    }
    path = folder / f"{name}.onnx.json"
    path.write_text(json.dumps({key: value for key, value in said.items() if value is not None}), encoding="utf-8")
    return path


def _graph(symbols: int, amplitudes: Sequence[float], *, several: bool, renamed: Mapping[str, str]) -> Graph:
    graph = Graph("little voice")
    ids = graph.input(renamed.get("input", "input"), "int64", [1, "symbols"])
    graph.input("input_lengths", "int64", [1])
    scales = graph.input("scales", "float32", [3])
    speaker = graph.input("sid", "int64", [1]) if several else graph.constant([0], "int64")
    length = graph.mul(graph.slice(scales, 1, 2, 0), graph.constant(np.array([HOP], np.float32)))
    zero, one = graph.constant(np.float32(0)), graph.constant(np.float32(1))
    times = graph.op("Range", zero, graph.op("Squeeze", length), one)  # samples of one symbol
    pitches = (2 * np.pi * np.linspace(200, 2000, symbols) / SAMPLE_RATE).astype(np.float32)
    pitch = graph.op("Gather", graph.constant(pitches), graph.reshape(ids, -1, 1))
    beeps = graph.op("Sin", graph.mul(pitch, times))
    amplitude = graph.op("Gather", graph.constant(np.array(amplitudes, np.float32)), speaker)
    graph.output("output", graph.reshape(graph.mul(beeps, amplitude), 1, 1, 1, -1), "float32", [1, 1, 1, "samples"])
    return graph
