"""served.jsonl as processes write it: all lines whole whatever happens to the disk, and `simulate` reads them."""

from __future__ import annotations

import json
import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.packaging.processes import Gateway, voxgate

pytestmark = pytest.mark.timeout(120)

SENTINEL = "Xylophone"
#: 3 kB in a line
TAGS = [f"{number:04}" + "标" * 60 for number in range(16)]
POLICIES = "version: 1\nrules:\n  - {name: everything, use: [tone]}\n"


def configuration(home: Path, served_log: str) -> str:
    directory = home / "config"
    directory.mkdir()
    files = {
        "gateway": f"version: 1\ndata_dir: {home / 'data'}\nserved_log: {served_log}\n",
        "engines": "version: 1\nengines:\n  tone: {kind: tone}\n  other: {kind: tone, cost_per_1k_chars: 2}\n",
        "voices": "version: 1\ndefault: narrator\nvoices:\n  narrator: {languages: [en]}\n",
        "policies": POLICIES,
    }
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    return str(directory)


def ask(gateway: Gateway, count: int) -> list[str]:
    """Send so many requests, one after the other; returns their ids."""
    connection, ids = HTTPConnection(urlsplit(gateway.url).netloc, timeout=40), []
    for number in range(count):
        body = json.dumps({"input": f"{SENTINEL} {number % 10}", "tags": TAGS})
        connection.request("POST", "/v1/speech", body, {"content-type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200
        ids.append(reply.headers["x-request-id"])
    connection.close()
    return ids


def test_two_processes_lose_and_cut_no_line_while_they_rotate_and_simulate_reads_them_all(tmp_path: Path) -> None:
    config = configuration(tmp_path, "{max_mb: 1, keep: 50}")
    with Gateway("--config", config, "--workers", "2", home=tmp_path) as gateway, ThreadPoolExecutor(6) as pool:
        ids = [one for some in pool.map(ask, [gateway] * 6, [200] * 6) for one in some]
        assert gateway.stop() == 0
    files = sorted((tmp_path / "data").glob("served.jsonl*"))
    assert len(files) >= 4
    assert max(file.stat().st_size for file in files) <= 1_000_000
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    text = "".join(file.read_text() for file in files)
    assert sorted(json.loads(line)["id"] for line in text.splitlines()) == sorted(ids)
    assert SENTINEL not in text

    new = tmp_path / "new.yaml"
    new.write_text(POLICIES.replace("[tone]", "[other, tone]"))
    told = voxgate(
        *("simulate", "--json", "--config", config, "--policies", str(new), "--assume", "other=rtf:0,first_audio:0"),
        *map(str, files),
        home=tmp_path,
    )
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert (found["requests"], found["log"]["unreadable"]) == (len(ids), 0)
    assert found["changes"]["percent"] == 100.0
    assert found["fidelity"]["percent"] == 100.0
    assert found["recorded"]["cost"] == found["baseline"]["cost"] == 0
    assert found["candidate"]["cost"] > 0


def test_on_a_full_disk_requests_are_served_and_lines_come_again_when_there_is_room(tmp_path: Path) -> None:
    log = tmp_path / "data" / "served.jsonl"
    with Gateway("--config", configuration(tmp_path, "{}"), home=tmp_path) as gateway:
        log.write_bytes(b"x" * 500_000 + b"\n")  # more than whatever else the gateway writes
        log.chmod(0o600)
        full = (log.stat().st_size + 4000, resource.RLIM_INFINITY)
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, full)
        lost = ask(gateway, 5)
        gateway.wait_until(lambda: "requests are served without a line" in gateway.log, "that the disk is full")
        lost += ask(gateway, 5)
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        kept: list[str] = []
        gateway.wait_until(lambda: kept.extend(ask(gateway, 1)) or "is written again" in gateway.log, "that it is not")
        assert gateway.stop() == 0
        assert gateway.log.count("requests are served without a line") == 1
    found = [json.loads(line)["id"] for line in log.read_text().splitlines()[1:]]
    assert found == (lost + kept)[-len(found) :]
    assert f"the lines of {len(lost) + len(kept) - len(found)} requests are lost" in gateway.log
