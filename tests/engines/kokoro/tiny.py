"""Models of Kokoro's shape that tell what they were given: their waves can be measured for style, length and speed.

A voice's level is the amplitude of the wave, the row of its table the offset, and each number given to the model lasts
10 ms at speed 1. Both dialects of inputs, both forms of voices and of vocabularies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from engines.contract import AudioChunk, Engine, Instance, SpeechRequest
from engines.kokoro import KIND
from models.graph import Graph

ROWS, WIDTH, RATE_HZ = 510, 256, 24000
#: samples of each number, and of a wave's period
TOKEN, PERIOD = 240, 24
ROW_STEP = 1 / 10_000

_MARKS = ';:,.!?—…"()“” '
_LETTERS = "AIOQSTWYᵊabcdefhijklmnopqrstuvwxyzɑɐɒæβɔɕçɖðʤəɚɛɜɟɡɥɨɪʝɯɰŋɳɲɴøɸθœɹɾɻʁɽʂʃʈʧʊʋʌɣɤχʎʒʔˈˌːʰʲ↓→↗↘ꭧʦʨ"
_SIGNS = (
    "12345R/ㄅㄆㄇㄈㄉㄊㄋㄌㄍㄎㄏㄐㄑㄒㄓㄔㄕㄖㄗㄘㄙㄚㄛㄜㄝㄞㄟㄠㄡㄢㄣㄤㄥㄦㄧㄨㄩㄭ"
    "十月压言阳要阴应用又中穵外万王为文瓮我元云"
)
V1_0 = {symbol: number for number, symbol in enumerate(_MARKS + _LETTERS, 1)}
V1_1 = {symbol: number for number, symbol in enumerate(_MARKS + _LETTERS + _SIGNS, 1)}
LEVELS = {"af_heart": 0.2, "am_adam": 0.5, "bf_emma": 0.3, "zf_xiaobei": 0.6, "zm_yunjian": 0.9}


def write_graph(
    path: Path, tokens: Literal["tokens", "input_ids"] = "tokens", speed: str = "float32", known: int = len(V1_1) + 1
) -> None:
    """Takes no number from `known` on."""
    graph = Graph("tiny")
    ids = graph.input(tokens, "int64", [1, "count"])
    style = graph.input("style", "float32", [1, WIDTH])
    rate = graph.op("Cast", graph.input("speed", speed, [1]), to=1)
    sound = graph.op("Gather", graph.constant(np.zeros(known, np.float32)), ids)
    nothing = graph.op("ReduceSum", sound, keepdims=0)
    count = graph.op("Cast", graph.slice(graph.op("Shape", ids), 1, 2, 0), to=1)
    samples = graph.op("Div", graph.mul(count, graph.constant(np.float32(TOKEN))), rate)
    end = graph.op("Squeeze", samples)
    ramp = graph.op("Range", graph.constant(np.float32(0)), end, graph.constant(np.float32(1)))
    wave = graph.op("Sin", graph.mul(ramp, graph.constant(np.float32(2 * np.pi / PERIOD))))
    level, row = (graph.op("Squeeze", graph.slice(style, at, at + 1, 1)) for at in (0, 1))
    audio = graph.add(graph.add(graph.mul(wave, level), row), nothing)
    if tokens == "input_ids":  # newer exports
        graph.output("waveform", graph.op("Unsqueeze", audio, graph.constant(np.array([0]))), "float32", [1, "n"])
        graph.output("durations", ids, "int64", [1, "count"])
    else:
        graph.output("audio", audio, "float32", ["n"])
    graph.save(path)


def table(level: float) -> npt.NDArray[np.float32]:
    """A voice as releases have it: [510, 1, 256]."""
    made = np.zeros((ROWS, 1, WIDTH), np.float32)
    made[:, 0, 0] = level
    made[:, 0, 1] = np.arange(ROWS) * ROW_STEP
    return made


def make_home(
    folder: Path,
    *,
    name: str = "kokoro",
    tokens: Literal["tokens", "input_ids"] = "tokens",
    speed: str = "float32",
    vocabulary: Mapping[str, int] = V1_0,
    levels: Mapping[str, float] = LEVELS,
) -> Path:
    """A data directory in which kind `kokoro` can speak: as kokoro-onnx publishes it, or as the browsers' exports."""
    models = folder / "models" / name
    models.mkdir(parents=True)
    write_graph(models / "model.onnx", tokens, speed)
    if tokens == "tokens":
        with (models / "voices-v1.0.bin").open("wb") as file:
            np.savez(file, **{voice: table(level) for voice, level in levels.items()})
        told: dict[str, Any] = {"n_token": 178, "vocab": dict(vocabulary)}
        (models / "config.json").write_text(json.dumps(told), encoding="utf-8")
    else:
        (models / "voices").mkdir()
        for voice, level in levels.items():
            table(level).tofile(models / "voices" / f"{voice}.bin")
        told = {"model": {"type": "WordLevel", "vocab": {"$": 0, **vocabulary}}}
        (models / "tokenizer.json").write_text(json.dumps(told), encoding="utf-8")
        (models / "config.json").write_text('{"model_type": "style_text_to_speech_2"}', encoding="utf-8")
    return folder


def make_engine(home: Path, slots: int | None = None, **options: Any) -> Engine:
    return KIND.create(Instance("kokoro", slots, home, in_worker=True), KIND.options.model_validate(options))


async def say(engine: Engine, text: str, language: str = "en", **more: Any) -> list[AudioChunk]:
    return [chunk async for chunk in engine.synthesize(SpeechRequest(text, language, **more))]


def samples(pcm: bytes) -> npt.NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2").astype(np.float64) / 32767


def level_of(pcm: bytes) -> float:
    """The amplitude: what the style's first number was."""
    wave = samples(pcm)
    return float(wave.max() - wave.min()) / 2


def row_of(pcm: bytes) -> int:
    """The row of the voice's table that the model was given."""
    return round(float(samples(pcm).mean()) / ROW_STEP)


def count_of(pcm: bytes, speed: float = 1.0) -> int:
    """How many numbers the model was given, those at both ends among them."""
    return round(len(pcm) / 2 / TOKEN * speed)
