"""SIGHUP on a running gateway: it reads its configuration again, in all its processes, unless its terminal is gone."""

from __future__ import annotations

import os
import pty
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.packaging.processes import DEADLINE_S, VOXGATE, Gateway, surroundings
from tests.packaging.test_serve import POLICIES, slow_configuration

pytestmark = pytest.mark.timeout(120)


def rule_of(gateway: Gateway) -> str:
    with gateway.speech("beep") as reply:
        reply.read()
        return str(reply.headers["x-voxgate-rule"])


def family(gateway: Gateway) -> set[int]:
    """The gateway's processes."""
    first = psutil.Process(gateway.process.pid)
    return {first.pid, *(one.pid for one in first.children())}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hangup_is_a_reload_in_every_process(tmp_path: Path, workers: int) -> None:
    directory = slow_configuration(tmp_path, real_time_factor=0)
    with Gateway("--config", directory, "--workers", str(workers), home=tmp_path) as gateway:
        gateway.wait_until(lambda: gateway.log.count("is ready after") >= workers, "every process is ready")
        processes = family(gateway)
        policies = Path(directory) / "policies.yaml"
        policies.write_text("version: 1\nrules: [")
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_until(lambda: gateway.log.count("policies.yaml:2:9: not YAML") == workers, "it is refused")
        assert rule_of(gateway) == "everything"
        policies.write_text(POLICIES.replace("everything", "other"))
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_until(lambda: gateway.log.count("reloaded policies.yaml") == workers, "it is reloaded")
        assert {rule_of(gateway) for _ in range(4)} == {"other"}
        assert family(gateway) == processes
        assert gateway.stop() == 0


def test_a_hangup_is_a_reload_also_when_no_file_has_changed(tmp_path: Path) -> None:
    directory = slow_configuration(tmp_path, real_time_factor=0)
    with Gateway("--config", directory, home=tmp_path) as gateway:
        for count in (1, 2):
            gateway.process.send_signal(signal.SIGHUP)
            line = f'voxgate_reloads_total{{result="succeeded"}} {count}'
            gateway.wait_until(lambda line=line: line in gateway.get("/metrics").read().decode(), line)
        assert gateway.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_gateway_whose_terminal_is_closed_ends_well(tmp_path: Path, workers: int) -> None:
    directory = slow_configuration(tmp_path, real_time_factor=0)
    log = tmp_path / "serve.log"
    pid, terminal = pty.fork()
    if pid == 0:  # with a terminal of its own, as in a window
        os.chdir(tmp_path)
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 2)
        command = [*VOXGATE, "serve", "--port", "0", "--config", directory, "--workers", str(workers)]
        os.execve(command[0], command, surroundings(tmp_path))
    ended: list[int] = []

    def wait_until(holds: Callable[[], object]) -> None:
        until = time.monotonic() + DEADLINE_S
        while not holds():
            found, status = os.waitpid(pid, os.WNOHANG) if not ended else (0, 0)
            if found:
                ended.append(os.waitstatus_to_exitcode(status))
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.02)

    try:
        wait_until(lambda: log.exists() and log.read_text().count("is ready after") >= workers)
        (Path(directory) / "policies.yaml").write_text("version: 1\nrules: [")
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: log.read_text().count("refused: ") >= workers)
        assert not ended
        os.close(terminal)
        wait_until(lambda: ended)
        assert ended == [0]
    finally:
        if not ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
