"""`voxgate engines record`: a plugin's exchanges with a server over a socket, on file, compared, without a key."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway import cli
from tests.packaging.processes import DEADLINE_S, ROOT, VOXGATE, surroundings

KEY = "a-key-of-my-own-1234"
HEAD = ("received", "head", json.dumps({"status": 101, "headers": {"Server": "talker", "x-talker": "1"}}))
DONE = ("received", "text", json.dumps({"event": "done", "chars": 10}))
CLOSED = ("closed", "1000", "")

Run = Callable[..., Result]


class Server(socketserver.ThreadingTCPServer):
    """Answers each case with the lines of its script, and hangs up; without a script it says nothing."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        sound = ("received", "binary", bytes(range(100)).hex())
        self.scripts: dict[str, list[tuple[str, str, str]]] = {
            "plain": [HEAD, sound, DONE, CLOSED],
            "wrong-key": [HEAD, ("error", "unavailable", f"the key {KEY} is not known")],
            "long": [HEAD, ("error", "unsupported", "too long")],
        }
        self.asked: list[str] = []
        self.silent = threading.Event()  # a case without a script was asked for
        self.over = threading.Event()


class Answer(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        case = self.rfile.readline().decode().strip()
        self.server.asked.append(case)
        if case not in self.server.scripts:
            self.server.silent.set()
            self.server.over.wait(DEADLINE_S)
            return
        for line in self.server.scripts[case]:
            self.wfile.write(json.dumps(line).encode() + b"\n")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path: Path, server: Server) -> Path:
    """A directory to be in, with a configuration and the plugin."""
    info = tmp_path / "plugin" / "voxgate_talker-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: voxgate-talker\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[voxgate.engines]\ntalker = tests.gateway.cli.talker\n")
    port = server.server_address[1]
    files = {
        "gateway": "",
        "engines": f"engines:\n  far: {{kind: talker, port: {port}}}\n  near: {{kind: tone}}\n",
        "voices": "default: one\nvoices:\n  one: {languages: [en], engines: {near: tone}}\n",
        "policies": "rules:\n  - {name: all, use: [near]}\n",
    }
    (tmp_path / "config").mkdir()
    for name, text in files.items():
        (tmp_path / "config" / f"{name}.yaml").write_text(f"version: 1\n{text}")
    return tmp_path


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.syspath_prepend(home / "plugin")
    monkeypatch.chdir(home)
    monkeypatch.delenv("VOXGATE_CONFIG", raising=False)
    monkeypatch.setenv("TALKER_KEY", KEY)

    def run(*args: str) -> Result:
        before = signal.getsignal(signal.SIGTERM)
        try:
            return CliRunner().invoke(cli.voxgate, ["engines", "record", *args])
        finally:
            signal.signal(signal.SIGTERM, before)

    return run


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- what is recorded ---


def test_the_usual_exchanges_are_recorded_and_nothing_differs(run: Run, home: Path, server: Server) -> None:
    done = run("far")
    assert (done.exit_code, server.asked) == (0, ["plain", "wrong-key"]), done.output
    assert "2 exchanges; the account may be charged for up to 10 characters" in done.stderr
    assert "no difference" in done.stdout
    assert "plain      ended well; 101; done; 1 × audio of 100 bytes; closed with 1000" in done.stdout
    written = lines(home / "far-exchanges.jsonl")
    assert written[0]["engine"] == "far"
    assert written[0]["kind"] == "talker"
    assert written[-1] == {"whole": True}
    (sound,) = [line for line in written if line.get("what") == "binary"]
    assert (sound["bytes"], sound["first"]) == (100, bytes(range(64)).hex())
    assert [line["as"] for line in written if "ended" in line] == ["", "unavailable"]


def test_neither_keys_nor_accounts_are_in_the_file_or_the_output(run: Run, home: Path, server: Server) -> None:
    account = {"event": "done", "chars": 10, "account_id": 4711_0815, "said": f"for workspace-of-mine by {KEY}"}
    server.scripts["plain"].insert(1, ("received", "text", json.dumps(account)))
    done = run("far")
    file = home / "far-exchanges.jsonl"
    for secret in (KEY, "workspace-of-mine", "hidden-one", "47110815"):
        assert secret not in file.read_text()
        assert secret not in done.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (head, *_) = [line["json"] for line in lines(file) if line.get("what") == "head"]
    assert head["headers"] == {"authorization": "***", "x-workspace": "***"}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("received", "text", '{"event": "news"}'), "plain: message news is unknown"),
        (("received", "text", '{"event": "done", "chars": "10"}'), "plain: done: chars is string, known as integer"),
        (("received", "text", '{"event": "done"}'), "plain: done: chars is missing"),
        (("received", "text", '{"event": "done", "chars": 1, "cost": 2}'), "plain: done: cost is unknown (integer)"),
        (("received", "text", "[1]"), "plain: message (without a name) is unknown"),
        (("received", "text", "<html>"), "plain: a text that is no JSON: '<html>'"),
        (
            ("received", "head", '{"status": 101, "headers": {"X-New": "", "Date": ""}}'),
            "plain: header x-new is unknown",
        ),
        (("closed", "1011", ""), "plain: closed with 1011, known are 1000, cancelled, end"),
        (("error", "engine_fault", "it broke"), "plain: ended as engine_fault, expected well: it broke"),
    ],
)
def test_a_server_that_has_changed_shows(run: Run, server: Server, more: tuple[str, str, str], told: str) -> None:
    server.scripts["plain"].insert(-1, more)
    done = run("far", "--cases", "plain")
    assert done.exit_code == 1
    assert [line.strip() for line in done.stdout.partition("talker:\n")[2].splitlines()] == [told]


def test_a_difference_that_comes_often_is_told_once(run: Run, server: Server) -> None:
    server.scripts["plain"] += [("received", "text", '{"event": "news"}')] * 3
    assert "plain: message news is unknown (3 times)" in run("far", "--cases", "plain").stdout


def test_an_exchange_that_should_have_failed_and_one_that_takes_too_long_show(run: Run, server: Server) -> None:
    server.scripts["wrong-key"] = [HEAD, DONE, CLOSED]
    done = run("far", "--cases", "wrong-key,slow")
    assert "wrong-key: ended well, expected as unavailable" in done.stdout
    assert "slow: ended as timeout, expected well: not over within 0.05 s" in done.stdout


# --- what it costs ---


def test_what_costs_more_than_was_allowed_is_not_begun(run: Run, home: Path, server: Server) -> None:
    refused = run("far", "--cases", "plain,long")
    assert refused.exit_code == 1
    assert "5,010 characters: if that is well, say --spend 5010" in refused.stderr
    assert server.asked == []
    assert not (home / "far-exchanges.jsonl").exists()
    allowed = run("far", "--cases", "long,usual", "--spend", "5010")
    assert (allowed.exit_code, server.asked) == (0, ["plain", "wrong-key", "long"]), allowed.output


def test_what_can_be_recorded_is_listed_without_a_key(run: Run, server: Server, monkeypatch: Any) -> None:
    monkeypatch.delenv("TALKER_KEY")
    listed = run("far", "--list")
    assert listed.exit_code == 0
    assert [line.split()[:3] for line in listed.stdout.splitlines()[1:]] == [
        ["plain", "10", "yes"],
        ["wrong-key", "0", "yes"],
        ["long", "5,000", "no"],
        ["slow", "0", "no"],
    ]
    assert server.asked == []


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "say whose exchanges"),
        (["fra"], "there is no engine 'fra' in engines.yaml; near names: far"),
        (["near"], "near is of kind tone, which has no exchanges to record; these have: far"),
        (["far", "--cases", "plan"], "there is no exchange 'plan'; near names: plain"),
    ],
)
def test_what_cannot_be_recorded_is_told(run: Run, args: list[str], told: str) -> None:
    refused = run(*args)
    assert refused.exit_code != 0
    assert told in refused.stderr


def test_without_a_key_nothing_is_begun(run: Run, home: Path, server: Server, monkeypatch: Any) -> None:
    monkeypatch.delenv("TALKER_KEY")
    refused = run("far")
    assert "far is not configured: set TALKER_KEY" in refused.stderr
    assert server.asked == []
    assert not (home / "far-exchanges.jsonl").exists()


def test_a_recording_is_never_overwritten(run: Run, home: Path, server: Server) -> None:
    (home / "mine.jsonl").write_text("mine")
    refused = run("far", "-o", "mine.jsonl")
    assert refused.exit_code == 1
    assert "mine.jsonl is there already" in refused.stderr
    assert (server.asked, (home / "mine.jsonl").read_text()) == ([], "mine")


# --- compared later, and stopped ---


def test_a_recording_is_compared_later_without_key_server_or_configuration(
    run: Run, home: Path, server: Server, monkeypatch: Any
) -> None:
    server.scripts["plain"].insert(-1, ("received", "text", '{"event": "news"}'))
    recorded = run("far")
    monkeypatch.delenv("TALKER_KEY")
    server.scripts.clear()
    for file in (home / "config").iterdir():
        file.unlink()
    compared = run("--compare", "far-exchanges.jsonl")
    assert (compared.exit_code, compared.stdout) == (1, recorded.stdout)


def test_what_is_no_recording_is_told(run: Run, home: Path) -> None:
    (home / "other.jsonl").write_text('{"a": 1}\n')
    assert "other.jsonl, line 1: this is no recording" in run("--compare", "other.jsonl").stderr
    (home / "other.jsonl").write_text('{"recording": 1, "engine": "e", "kind": "gone", "at": ""}\n')
    assert "a recording of kind 'gone', of which nothing is known here" in run("--compare", "other.jsonl").stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_leaves_what_was_recorded(home: Path, server: Server, number: signal.Signals) -> None:
    environment = surroundings(home, TALKER_KEY=KEY, PYTHONPATH=os.pathsep.join([str(ROOT), str(home / "plugin")]))
    del server.scripts["wrong-key"]
    with subprocess.Popen(
        [*VOXGATE, "engines", "record", "far"], cwd=home, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert server.silent.wait(DEADLINE_S)
        process.send_signal(number)
        told = process.communicate(timeout=DEADLINE_S)[1]
    assert process.returncode == 130
    assert "stopped: far-exchanges.jsonl holds what was recorded until then" in told
    assert "Traceback" not in told
    written = lines(home / "far-exchanges.jsonl")
    assert [line["ended"] for line in written if "ended" in line] == ["plain"]
    assert written[-1] == {"whole": False}


def test_stopped_before_anything_was_heard_it_leaves_no_file(home: Path, server: Server) -> None:
    environment = surroundings(home, TALKER_KEY=KEY, PYTHONPATH=os.pathsep.join([str(ROOT), str(home / "plugin")]))
    server.scripts.clear()
    with subprocess.Popen(
        [*VOXGATE, "engines", "record", "far"], cwd=home, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert server.silent.wait(DEADLINE_S)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=DEADLINE_S)[1]
    assert (process.returncode, told.splitlines()[-1]) == (130, "stopped: nothing was recorded")
    assert not (home / "far-exchanges.jsonl").exists()


def test_where_nobody_is_there_it_ends_with_the_first_exchange_and_leaves_no_file(
    run: Run, home: Path, server: Server
) -> None:
    server.scripts["plain"] = [("error", "unavailable", "the server cannot be reached: connection refused")]
    done = run("far")
    assert (done.exit_code, server.asked) == (1, ["plain"])
    assert "nothing was recorded: the server cannot be reached: connection refused" in done.stderr
    assert not (home / "far-exchanges.jsonl").exists()
    server.server_close()
    assert "nothing was recorded: ConnectionRefusedError" in run("far").stderr
    assert not (home / "far-exchanges.jsonl").exists()


def test_a_server_that_goes_away_later_is_on_record(run: Run, home: Path, server: Server) -> None:
    server.scripts["wrong-key"] = [("error", "unavailable", "the server cannot be reached")]
    assert run("far", "--cases", "plain,wrong-key,long", "--spend", "9999").exit_code == 0
    assert server.asked == ["plain", "wrong-key", "long"]
    assert lines(home / "far-exchanges.jsonl")[-1] == {"whole": True}


def test_a_stopped_recording_is_compared_as_far_as_it_goes(run: Run, home: Path) -> None:
    run("far")
    file = home / "far-exchanges.jsonl"
    file.write_text("\n".join(file.read_text().splitlines()[:-2]) + '\n{"case": "wro')
    compared = run("--compare", str(file))
    assert (compared.exit_code, compared.stderr) == (0, "the recording was stopped before its end\n")
    assert "wrong-key  stopped; 101" in compared.stdout
