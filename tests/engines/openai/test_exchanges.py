"""`voxgate engines record` of kind openai, at stand-ins for speech servers: what is recorded, and what differs."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway import cli
from tests.engines.openai.servers import (
    CosyVoice,
    IndexTtsVllm,
    KokoroFastAPI,
    LocalAI,
    OpenAI,
    Server,
    Speaches,
    VllmOmni,
    faults,
)
from tests.engines.openai.servers.dialect import Dialect
from tests.engines.openai.servers.wire import Heard, Reply, json_reply
from tests.gateway.http.conftest import running

KEY = "sk-stand-in-of-ours"
DIALECTS: dict[str, Callable[[], Dialect]] = {
    "openai": lambda: OpenAI(KEY),
    "vllm-omni": lambda: VllmOmni(KEY),
    "kokoro-fastapi": KokoroFastAPI,
    "speaches": lambda: Speaches(KEY),
    "localai": lambda: LocalAI(KEY),
    "index-tts-vllm": IndexTtsVllm,
    "cosyvoice": CosyVoice,
}
MODELS = {"openai": "tts-1", "kokoro-fastapi": "kokoro"}

Record = Callable[..., Result]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(DIALECTS[getattr(request, "param", "openai")]()) as server:
        yield server


@pytest.fixture
def record(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Record:
    """Record the engine `far`, which speaks through the server, as a kind of server with these exchanges."""
    monkeypatch.delenv("VOXGATE_CONFIG", raising=False)
    monkeypatch.setenv("FAR_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()

    def record(*args: str, preset: str = "openai", key: str | None = "FAR_KEY", url: str = "") -> Result:
        far = {"kind": "openai", "urls": [url or server.url], "preset": preset, "model": MODELS.get(preset, "")}
        files = {
            "gateway": "",
            "engines": f"engines:\n  tone: {{kind: tone}}\n  far: {json.dumps({**far, 'api_key_env': key})}\n",
            "voices": "default: one\nvoices:\n  one: {languages: [en], engines: {tone: tone}}\n",
            "policies": "rules:\n  - {name: all, use: [tone]}\n",
        }
        for name, text in files.items():
            (tmp_path / "config" / f"{name}.yaml").write_text(f"version: 1\n{text}")
        before = signal.getsignal(signal.SIGTERM)
        try:
            return CliRunner().invoke(cli.voxgate, ["engines", "record", *args])
        finally:
            signal.signal(signal.SIGTERM, before)

    return record


def notes(case: str, path: str = "far-exchanges.jsonl") -> list[dict[str, Any]]:
    lines = map(json.loads, Path(path).read_text().splitlines())
    return [line for line in lines if line.get("case") == case]


def differences(done: Result) -> list[str]:
    return [line.strip() for line in done.stdout.partition(" kind openai:\n")[2].splitlines()]


@pytest.mark.parametrize(("server", "preset"), [(name, name) for name in DIALECTS], indirect=["server"])
def test_nothing_differs_at_a_server_that_does_as_its_sources_say(record: Record, preset: str) -> None:
    done = record(
        "far", preset=preset, key="FAR_KEY" if preset in ("openai", "vllm-omni", "speaches", "localai") else None
    )
    assert (done.exit_code, differences(done)) == (0, []), done.output


def test_nothing_differs_at_another_gateway(record: Record, tmp_path: Path) -> None:
    files = {
        "engines": "version: 1\nengines:\n  tone: {kind: tone}\n",
        "voices": "version: 1\ndefault: one\nvoices:\n  one: {languages: [en], engines: {tone: tone}}\n",
        "policies": "version: 1\nrules:\n  - {name: all, use: [tone]}\n",
    }
    with running(tmp_path / "other", **files) as other:
        done = record("far", preset="voxgate", key=None, url=f"{other.url}/v1")
    assert (done.exit_code, differences(done)) == (0, []), done.output


def test_all_of_an_exchange_is_on_record_but_the_key(record: Record, server: Server) -> None:
    done = record("far", "--cases", "all", "--spend", "6000")
    written = Path("far-exchanges.jsonl").read_text()
    assert done.exit_code == 0, done.output
    for secret in (KEY, "127.0.0.1"):
        assert secret not in written
        assert secret not in done.output
    asked, answered, *_ = [note["json"] for note in notes("plain") if note["what"] == "head"][-2:]
    assert (asked["method"], asked["url"], asked["headers"]["Authorization"]) == (
        "POST",
        "http://***/v1/audio/speech",
        "***",
    )
    assert (answered["status"], answered["headers"]["Content-Type"]) == (200, "audio/pcm")
    body = [note for note in notes("plain") if (note["direction"], note["what"]) == ("sent", "text")]
    assert body[0]["json"]["response_format"] == "pcm"
    assert sum(note["bytes"] for note in notes("plain") if note["what"] == "binary") > 10_000
    refused = [note["json"] for note in notes("unknown-voice") if "error" in note.get("json", {})][-1]
    assert refused["error"]["code"] == "invalid_value"
    assert [note["what"] for note in notes("cancelled")][-2:] == ["binary", "cancelled"]


class Changed(OpenAI):
    """Names its models by numbers, and tells more in its errors."""

    async def answer(self, heard: Heard) -> Reply:
        reply = await super().answer(heard)
        if heard.path == "/v1/models" and reply.status == 200:
            return json_reply(200, {"object": "list", "data": [{"id": 1}]})
        if reply.status == 400:
            return replace(reply, body=b'{"error": {"message": "no", "hint": "ask another"}}')
        return reply


def test_a_server_that_has_changed_shows_then_and_later(
    record: Record, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.dialect = Changed(KEY)
    server.then(faults.labelled(x_speech_model="tts-2"), faults.cut(4000, "reset"))
    done = record("far", "--cases", "plain,faster,unknown-voice")
    assert done.exit_code == 1
    assert differences(done) == [
        "plain, faster, unknown-voice: models: data[].id is integer, known as string",
        "plain: header x-speech-model is unknown",
        "faster: ended as engine_fault, expected well: the engine's server broke off amid its answer",
        "unknown-voice: error: error.code is missing",
        "unknown-voice: error: error.type is missing",
        "unknown-voice: error: error.hint is unknown (string)",
    ]
    monkeypatch.delenv("FAR_KEY")
    compared = record("--compare", "far-exchanges.jsonl")
    assert (compared.exit_code, compared.stdout) == (1, done.stdout)


def test_only_the_first_of_several_servers_is_asked_and_its_characters_are_told(record: Record) -> None:
    listed = [line.split()[:3] for line in record("far", "--list").stdout.splitlines()[1:]]
    assert ["lists", "0", "yes"] in listed
    assert ["plain", "16", "yes"] in listed
    assert ["too-long", "4,097", "no"] in listed
