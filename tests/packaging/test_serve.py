"""`voxgate serve` as people run it: a process that is told things by options, files and signals."""

from __future__ import annotations

import signal
import socket
import threading
import urllib.error
import urllib.request
from http.client import IncompleteRead
from pathlib import Path

import pytest

from tests.packaging.processes import Gateway, engine_workers, voxgate, wait_for_no_workers

pytestmark = pytest.mark.timeout(120)

VOICES = "version: 1\ndefault: narrator\nvoices:\n  narrator: {languages: [zh, en], engines: {tone: low}}\n"
POLICIES = "version: 1\nrules:\n  - {name: everything, use: [tone]}\n"
#: a beep of 80 ms and a gap of 40 ms per word
WORD_S = 0.12


def slow_configuration(home: Path, real_time_factor: float = 1.0, **gateway: object) -> str:
    """A directory whose only engine takes as long as its audio lasts."""
    directory = home / "slow"
    directory.mkdir()
    engine = f"{{kind: tone, real_time_factor: {real_time_factor}}}"
    files = {
        "gateway": "version: 1\n" + "".join(f"{name}: {value}\n" for name, value in gateway.items()),
        "engines": f"version: 1\nengines:\n  tone: {engine}\n  espeak: {{kind: espeak, enabled: false}}\n",
        "voices": VOICES,
        "policies": POLICIES,
    }
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    return str(directory)


def one_line(stderr: bytes) -> str:
    """The only line there."""
    (line,) = stderr.decode().splitlines()
    return line


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = voxgate("serve", "--port", port, home=tmp_path)
    assert done.returncode == 1
    line = one_line(done.stderr)
    assert f"port {port}" in line
    assert "--port" in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_for_everybody_needs_a_word_about_keys(tmp_path: Path, host: str) -> None:
    done = voxgate("serve", "--port", "0", "--host", host, home=tmp_path)
    assert done.returncode == 1
    assert "VOXGATE_AUTH=none" in one_line(done.stderr)


def closed_configuration(home: Path, **gateway: object) -> str:
    """A directory with an engine that is quick, where keys can be kept."""
    return slow_configuration(home, 0.0, **gateway)


def key_called(name: str, directory: str, home: Path) -> str:
    done = voxgate("keys", "add", name, "--config", directory, home=home)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def status(gateway: Gateway, key: str) -> int:
    """Of a question that needs a key, on a connection of its own."""
    request = urllib.request.Request(f"{gateway.url}/v1/engines", headers={"authorization": f"Bearer {key}"})
    try:
        return int(urllib.request.urlopen(request, timeout=20).status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_an_address_for_everybody_is_taken_once_there_is_a_key(tmp_path: Path) -> None:
    directory = closed_configuration(tmp_path)
    key = key_called("app", directory, tmp_path)
    with Gateway("--config", directory, "--host", "0.0.0.0", home=tmp_path) as gateway:
        assert "no API key is valid" not in gateway.log
        assert (status(gateway, key), status(gateway, "vg_no")) == (200, 401)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_process_knows_of_a_key_that_is_made_or_revoked(tmp_path: Path, workers: str) -> None:
    directory = closed_configuration(tmp_path, auth="keys")
    with Gateway("--config", directory, "--workers", workers, home=tmp_path) as gateway:
        assert "no API key is valid" in gateway.log
        assert status(gateway, "vg_any") == 401
        key = key_called("app", directory, tmp_path)
        # several processes take turns at connections: twenty answers in a row are no accident
        gateway.wait_until(lambda: {status(gateway, key) for _ in range(20)} == {200}, "the key is known")
        voxgate("keys", "revoke", "app", "--config", directory, home=tmp_path)
        gateway.wait_until(lambda: {status(gateway, key) for _ in range(20)} == {401}, "the key is refused")


def test_an_address_that_is_not_ours_is_one_line(tmp_path: Path) -> None:
    done = voxgate("serve", "--port", "0", "--host", "192.0.2.1", home=tmp_path, VOXGATE_AUTH="none")
    assert done.returncode == 1
    assert "cannot listen on 192.0.2.1" in one_line(done.stderr)


def test_mistakes_in_files_are_all_told_with_their_places(tmp_path: Path) -> None:
    directory = slow_configuration(tmp_path, listen="{port: none}")
    (Path(directory) / "policies.yaml").write_text("version: 1\nrules: [{name: everything, use: [nobody]}]\n")
    done = voxgate("serve", "--port", "0", "--config", directory, home=tmp_path)
    assert done.returncode == 1
    first, second = (line for line in done.stderr.decode().splitlines() if "warning" not in line)
    assert first.startswith(f"{directory}/gateway.yaml:2:")
    assert second.startswith(f"{directory}/policies.yaml:2:")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_file_in_the_way_of_the_data_directory_is_one_line(tmp_path: Path, workers: str) -> None:
    (tmp_path / "data").write_text("in the way")
    done = voxgate("serve", "--port", "0", "--workers", workers, home=tmp_path)
    assert done.returncode == 1
    assert str(tmp_path / "data") in one_line(done.stderr)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_is_being_said_be_finished(tmp_path: Path, number: signal.Signals, workers: str) -> None:
    directory = slow_configuration(tmp_path)
    words = 30
    with Gateway("--config", directory, "--workers", workers, home=tmp_path) as gateway:
        reply = gateway.speech(" ".join(["beep"] * words), response_format="pcm", sample_rate=24000)
        begun = reply.read(1)
        gateway.process.send_signal(number)
        pcm = begun + reply.read()
        assert gateway.process.wait(40) == 0, gateway.log
        assert "Traceback" not in gateway.log
    assert len(pcm) / 2 / 24000 > 0.95 * words * WORD_S


def test_what_is_said_for_longer_than_the_drain_is_broken_off_and_the_gateway_ends(tmp_path: Path) -> None:
    directory = slow_configuration(tmp_path, drain_s=1)
    with Gateway("--config", directory, home=tmp_path) as gateway:
        reply = gateway.speech(" ".join(["beep"] * 1500), response_format="pcm")
        reply.read(1)
        assert gateway.stop() == 0, gateway.log
        assert "Traceback" not in gateway.log
        with pytest.raises((IncompleteRead, ConnectionError)):
            reply.read()


def test_several_processes_share_a_port_and_a_worker_which_ends_after_them(tmp_path: Path) -> None:
    with Gateway("--workers", "2", home=tmp_path) as gateway:
        callers = [threading.Thread(target=lambda: gateway.speech("Hello. 你好。").read()) for _ in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert len(engine_workers(tmp_path / "data")) == 1
        assert gateway.stop() == 0, gateway.log
    wait_for_no_workers(tmp_path / "data")


def test_a_killed_parent_takes_its_processes_and_their_workers_along(tmp_path: Path) -> None:
    with Gateway("--workers", "2", home=tmp_path) as gateway:
        host, port = gateway.url.removeprefix("http://").split(":")
        gateway.process.kill()
        gateway.process.wait()
    wait_for_no_workers(tmp_path / "data")
    socket.create_server((host, int(port))).close()


def test_a_worker_killed_while_it_speaks_is_replaced_and_the_speech_goes_on(tmp_path: Path) -> None:
    text = "This is a long story about nothing at all. " * 200
    with Gateway(home=tmp_path) as gateway:
        undisturbed = len(gateway.speech(text, response_format="pcm", cache="bypass").read())
        reply = gateway.speech(text, response_format="pcm", cache="bypass")
        begun = reply.read(1)
        (worker,) = engine_workers(tmp_path / "data")
        worker.kill()
        worker.wait(10)
        heard = len(begun + reply.read())
        # espeak-ng's output differs by half a per cent from time to time
        assert heard == pytest.approx(undisturbed, rel=0.01)
        assert engine_workers(tmp_path / "data") != [worker]
        assert gateway.process.poll() is None
        assert gateway.stop() == 0
