"""`voxgate engines record` of kind sambert, at the stand-in for Model Studio: what is recorded, and what differs."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway import cli
from tests.engines.sambert import service as stand_in
from tests.engines.sambert.service import KEY, Act, Door, Service

Run = Callable[..., Result]


@pytest.fixture
def service() -> Iterator[Service]:
    """On a thread of its own: the command has the main one, as it has at its users'."""
    service, listening, over = Service(), threading.Event(), asyncio.Event()

    async def listen() -> None:
        async with service:
            listening.set()
            await over.wait()

    with asyncio.Runner() as runner:
        thread = threading.Thread(target=runner.run, args=(listen(),))
        thread.start()
        assert listening.wait(10)
        yield service
        runner.get_loop().call_soon_threadsafe(over.set)
        thread.join()


@pytest.fixture
def run(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID", "VOXGATE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    cloud = json.dumps({"kind": "sambert", "endpoint": service.endpoint, "starts_per_s": 3, "workspace": "llm-ours-77"})
    cosyvoice = json.dumps({"kind": "sambert", "endpoint": service.endpoint, "model": "cosyvoice-v3-flash"})
    files = {
        "gateway": "",
        "engines": f"engines:\n  tone: {{kind: tone}}\n  cloud: {cloud}\n  cosy: {cosyvoice}\n",
        "voices": "default: one\nvoices:\n  one: {languages: [en], engines: {tone: tone}}\n",
        "policies": "rules:\n  - {name: all, use: [tone]}\n",
    }
    for name, text in files.items():
        (tmp_path / "config" / f"{name}.yaml").write_text(f"version: 1\n{text}")

    def run(*args: str) -> Result:
        before = signal.getsignal(signal.SIGTERM)
        try:
            return CliRunner().invoke(cli.voxgate, ["engines", "record", *args])
        finally:
            signal.signal(signal.SIGTERM, before)

    return run


def notes(path: str, case: str) -> list[dict[str, Any]]:
    lines = map(json.loads, Path(path).read_text().splitlines())
    return [line for line in lines if line.get("case") == case]


def differences(done: Result) -> list[str]:
    return [line.strip() for line in done.stdout.partition(" kind sambert:\n")[2].splitlines()]


@pytest.mark.parametrize("engine", ["cloud", "cosy"])
def test_nothing_differs_at_a_service_that_does_as_the_pages_say(run: Run, engine: str) -> None:
    done = run(engine)
    assert (done.exit_code, differences(done)) == (0, []), done.output
    assert [note["what"] for note in notes(f"{engine}-exchanges.jsonl", "cancelled")][-2:] == ["binary", "cancelled"]


def test_what_costs_or_lasts_is_recorded_when_it_is_asked_for(run: Run, service: Service) -> None:
    service.starts_per_s, service.idle_s = 3, 0.2
    done = run("cloud", "--cases", "throttled,silent,idle")
    assert (done.exit_code, differences(done)) == (0, []), done.output
    service.starts_per_s = 0
    long = run("cloud", "--cases", "too-long", "--spend", "11000", "-o", "long.jsonl")
    assert (long.exit_code, differences(long)) == (0, []), long.output


def test_the_unknowns_of_the_wire_are_on_record(run: Run) -> None:
    run("cloud")
    file = "cloud-exchanges.jsonl"
    assert [note["what"] for note in notes(file, "plain") if note["direction"] == "closed"] == ["1000"]
    (first, *_) = [note for note in notes(file, "wav") if note["what"] == "binary"]
    assert bytes.fromhex(first["first"]).startswith(b"RIFF\xff\xff\xff\xffWAVE")
    assert [note["what"] for note in notes(file, "two")].count("head") == 2  # one request, one answer
    refused = [note for note in notes(file, "wrong-key") if note["direction"] == "received"]
    assert [refused[0]["json"]["status"], refused[1]["json"]["code"]] == [401, "InvalidApiKey"]
    failed = [note["json"]["header"] for note in notes(file, "unknown-voice") if note["what"] == "text"]
    assert failed[-1]["error_code"] == "ModelNotFound"


def test_neither_key_nor_workspace_is_in_the_file_or_the_output(run: Run, service: Service) -> None:
    service.usual = Act("failed", "started", code="AccessDenied", said=f"key {KEY} of workspace llm-ours-77")
    done = run("cloud", "--cases", "plain,wrong-key")
    written = Path("cloud-exchanges.jsonl").read_text()
    for secret in (KEY, "llm-ours-77", "127.0.0.1"):
        assert secret not in written
        assert secret not in done.output
    assert "key *** of workspace ***" in written


def test_new_events_headers_codes_and_ends_show(run: Run, service: Service) -> None:
    new = Door(503, "ServiceUnavailable", (("X-New-Header", "1"),))
    service.acts += [Act(strange=True, frame_bytes=100_000), Act("failed", "first", "Throttling.New"), Act("close")]
    service.doors += [Door(), Door(), Door(), new]
    done = run("cloud", "--cases", "plain,times,ssml,wav")
    told = differences(done)
    assert done.exit_code == 1
    assert "plain: message audio-enhanced is unknown" in told
    assert any(line.startswith("times: ended as throttled, expected well") for line in told)
    assert "ssml: closed with 1011, known are 1000, cancelled" in told
    assert any(line.startswith("ssml: ended as engine_fault, expected well") for line in told)
    assert "wav: header x-new-header is unknown" in told


def test_a_field_of_another_type_shows_then_and_later(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in, "_billed", lambda task: "3")
    done = run("cloud", "--cases", "plain")
    assert differences(done) == ["plain: task-finished: payload.usage.characters is string, known as integer"]
    monkeypatch.delenv("DASHSCOPE_API_KEY")
    compared = run("--compare", "cloud-exchanges.jsonl")
    assert (compared.exit_code, compared.stdout) == (1, done.stdout)


def test_a_service_that_takes_one_task_a_connection_shows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    several = Service._run

    async def one(*args: Any) -> bool:
        return await several(*args) and False

    monkeypatch.setattr(Service, "_run", one)
    done = run("cloud", "--cases", "two")
    assert any("the second task was not taken on the connection of the first" in line for line in differences(done))


def test_characters_are_counted_as_the_service_charges_them(run: Run) -> None:
    def chars(engine: str, name: str) -> str:
        lines = run(engine, "--list").stdout.splitlines()
        return next(line.split()[1] for line in lines if line.split()[0] == name)

    assert [chars("cloud", name) for name in ("plain", "unspeakable", "too-long")] == ["3", "1", "10,002"]
    assert [chars("cosy", name) for name in ("plain", "unspeakable")] == ["5", "1"]
