"""A third-party package, installed with pip into a fresh environment, is found, keeps the contract and is heard."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from engines.testing import count_beeps

if TYPE_CHECKING:
    from tests.plugins.conftest import Environment

pytestmark = pytest.mark.timeout(300)

HEAR = """
import asyncio, engines, voxgate_chime
from engines.contract import Instance, SpeechRequest
from engines.testing import count_beeps, speak_all
from engines.registry import Registry

kind = Registry.load().kinds["chime"]
engine = kind.create(Instance("chime"), kind.options(decay_s=0.05))
chunks = asyncio.run(speak_all(engine, SpeechRequest("one two three four", "en")))
print(count_beeps(b"".join(chunk.pcm for chunk in chunks), chunks[0].sample_rate))
print(engines.__file__)
print(voxgate_chime.__file__)
"""

CONFIGURATION = {
    "gateway.yaml": "version: 1\n",
    "engines.yaml": "version: 1\nengines:\n  chime: {kind: chime, decay_s: 0.05}\n",
    "voices.yaml": """
        version: 1
        default: narrator
        voices:
          narrator: {languages: [en, zh], engines: {chime: table}}
    """,
    "policies.yaml": """
        version: 1
        rules:
          - {name: everything, use: [chime]}
    """,
}


def test_the_installed_plugin_is_found(fresh: Environment) -> None:
    done = fresh.run("voxgate", "engines", "list", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    (chime,) = [kind for kind in listed["kinds"] if kind["kind"] == "chime"]
    assert chime["source"] == "voxgate-chime 1.0.0"
    (plugin,) = [plugin for plugin in listed["plugins"] if plugin["name"] == "chime"]
    assert plugin["kinds"] == ["chime"]
    assert plugin["error"] == ""


def test_the_installed_plugin_passes_the_kit_and_is_heard(fresh: Environment) -> None:
    done = fresh.run("voxgate", "engines", "test", "voxgate_chime:chime", "--options", '{"decay_s": 0.05}')
    assert done.returncode == 0, done.stdout + done.stderr
    heard = fresh.run("python", "-c", HEAR)
    assert heard.returncode == 0, heard.stderr
    strokes, *files = heard.stdout.split()
    assert strokes == "4"
    assert all(Path(file).is_relative_to(fresh.path) for file in files), (
        "this checkout was heard, not what is installed"
    )


def test_the_installed_plugin_is_heard_through_the_gateway(fresh: Environment, tmp_path: Path) -> None:
    """The whole way: configuration, policy, voice, worker process, encoder, file."""
    for name, text in CONFIGURATION.items():
        (tmp_path / name).write_text(dedent(text))
    out = tmp_path / "out.wav"
    words = ["say", "one two three four", "-o", str(out), "--engine", "chime", "--config", str(tmp_path)]
    done = fresh.run("voxgate", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    with wave.open(str(out)) as clip:
        assert count_beeps(clip.readframes(clip.getnframes()), clip.getframerate()) == 4
