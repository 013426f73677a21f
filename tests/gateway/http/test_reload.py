"""Reload over real sockets: whoever speaks hears the end of it, and every reply is of one configuration."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
import pytest

from engines.testing import count_beeps
from gateway.keys.keyring import digest_of
from tests.gateway.http.conftest import ENGINES, POLICIES, VOICES, Gateway

StartGateway = Callable[..., Gateway]
RATE_HZ = 24000
TEXT = "One two three. Four five six seven. Eight nine ten eleven. Twelve."
WORDS = 12


def eventually(holds: Callable[[], object]) -> None:
    """Poll; the bound is only there to fail instead of hanging."""
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.005)


class Files:
    """The configuration's files as Kubernetes mounts them: links that are all swapped by one rename."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self.directory, self._count = gateway, gateway.runtime.config.directory, 0
        self._texts = {path.name: path.read_text() for path in self.directory.glob("*.yaml")}
        self._publish()
        for name in self._texts:
            (self.directory / f"{name}.link").symlink_to(f"..data/{name}")
            (self.directory / f"{name}.link").rename(self.directory / name)

    def publish(self, **texts: str) -> None:
        """Swap these files, and wait until what they say was looked at."""
        reloader = self._gateway.runtime.reloader
        before = reloader.succeeded + reloader.refused
        self._texts |= {f"{name}.yaml": text for name, text in texts.items()}
        self._publish()
        eventually(lambda: reloader.succeeded + reloader.refused > before)

    def _publish(self) -> None:
        self._count += 1
        folder = self.directory / f"..{self._count}"
        folder.mkdir()
        for name, text in self._texts.items():
            (folder / name).write_text(text)
        (self.directory / "..tmp").symlink_to(folder.name)
        (self.directory / "..tmp").rename(self.directory / "..data")


class Crowd:
    """Clients that speak all the time until they are told to stop; what they heard."""

    def __init__(self, gateway: Gateway, **fields: object) -> None:
        self._url, self._fields = gateway.url, fields
        self._enough = threading.Event()
        self.replies: list[tuple[Mapping[str, str], bytes]] = []
        self.failures: list[str] = []

    @contextmanager
    def speaking(self, clients: int = 6) -> Iterator[None]:
        with ThreadPoolExecutor(clients) as pool:
            running = [pool.submit(self._speak) for _ in range(clients)]
            try:
                yield
            finally:
                self._enough.set()
            for one in running:
                one.result()
        assert self.failures == []

    def wait_for_more(self, replies: int = 8) -> None:
        """Until so many requests more have been answered: more than are under way, so that one is new."""
        wanted = len(self.replies) + replies
        eventually(lambda: self.failures or len(self.replies) >= wanted)

    def _speak(self) -> None:
        fields = {"input": TEXT, "response_format": "pcm", "sample_rate": RATE_HZ, "cache": "bypass", **self._fields}
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._enough.is_set():
                try:
                    response = client.post("/v1/speech", json=fields)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    return
                if response.status_code != 200:
                    self.failures.append(response.text)
                    return
                self.replies.append((response.headers, response.content))


def beep_ms(version: int) -> int:
    return 40 + 20 * version


def seconds(version: int) -> float:
    return WORDS * (beep_ms(version) + 40) / 1000


def tone(version: int = 1, **options: object) -> str:
    said = {"kind": "tone", "beep_ms": beep_ms(version), "chunk_ms": 20, "real_time_factor": 0.1} | options
    return "{" + ", ".join(f"{name}: {value}" for name, value in said.items()) + "}"


def whole(version: int) -> dict[str, str]:
    """Files in which every name tells the version."""
    return {
        "engines": f"version: 1\nengines:\n  engine{version}: {tone(version)}\n",
        "voices": f"version: 1\ndefault: n\nvoices:\n  n: {{engines: {{engine{version}: voice{version}}}}}\n",
        "policies": f"version: 1\nrules:\n  - {{name: rule{version}, use: [engine{version}]}}\n",
    }


def test_under_load_every_reply_is_whole_and_of_one_configuration(server: StartGateway) -> None:
    gateway = server(**whole(0))
    files, crowd = Files(gateway), Crowd(gateway)
    with crowd.speaking():
        for version in range(1, 10):
            crowd.wait_for_more()
            files.publish(**whole(version))
        crowd.wait_for_more()
    assert gateway.runtime.reloader.refused == 0
    heard = set()
    for headers, pcm in crowd.replies:
        version = int(headers["x-voxgate-rule"].removeprefix("rule"))
        heard.add(version)
        assert headers["x-voxgate-engine"] == f"engine{version}"
        assert headers["x-voxgate-voice"] == f"voice{version}"
        assert len(pcm) / 2 / RATE_HZ == pytest.approx(seconds(version), abs=0.001)
    assert heard == set(range(10))
    assert set(gateway.runtime.fleet.members) == {"engine9"}


def one_engine(entry: str, voice: str = "v") -> dict[str, str]:
    return {
        "engines": f"version: 1\nengines:\n  only: {entry}\n",
        "voices": f"version: 1\ndefault: n\nvoices:\n  n: {{engines: {{only: {voice}}}}}\n",
        "policies": "version: 1\nrules:\n  - {name: all, use: [only]}\n",
    }


@pytest.mark.parametrize("isolation", ["inline", "process"])
def test_a_changed_engine_is_swapped_under_load_without_a_failed_request(server: StartGateway, isolation: str) -> None:
    gateway = server(**one_engine(tone(0, isolation=isolation)))
    eventually(lambda: gateway.client.get("/readyz").status_code == 200)
    files, crowd, processes = Files(gateway), Crowd(gateway), set()
    with crowd.speaking():
        crowd.wait_for_more()
        for version in range(1, 4):
            old = gateway.runtime.fleet.members["only"]
            processes.add(getattr(old.guarded.engine, "pid", None))
            files.publish(**one_engine(tone(version, isolation=isolation)))
            eventually(lambda old=old: gateway.runtime.fleet.members["only"] is not old)  # type: ignore[misc]
            crowd.wait_for_more()
            eventually(old.deserted.is_set)
    lengths = {round(len(pcm) / 2 / RATE_HZ, 3) for _, pcm in crowd.replies}
    assert lengths == {round(seconds(version), 3) for version in range(4)}
    if isolation == "process":
        assert len(processes) == 3
        eventually(lambda: not any(psutil.pid_exists(pid) for pid in processes if pid))


def test_espeak_is_swapped_for_another_worker(server: StartGateway) -> None:
    engine = "{{kind: espeak, slots: {}}}"
    gateway = server(**one_engine(engine.format(1), "en-us"))
    eventually(lambda: gateway.client.get("/readyz").status_code == 200)
    files, crowd = Files(gateway), Crowd(gateway)
    old = gateway.runtime.fleet.members["only"]
    pid = getattr(old.guarded.engine, "pid", None)
    assert pid
    with crowd.speaking(2):
        crowd.wait_for_more()
        files.publish(**one_engine(engine.format(2), "en-us"))
        eventually(lambda: gateway.runtime.fleet.members["only"] is not old)
        crowd.wait_for_more()
    assert gateway.runtime.board.snapshot().engines["only"].slots == 2
    eventually(lambda: not psutil.pid_exists(pid))


def test_an_engine_that_was_removed_finishes_what_it_speaks(server: StartGateway) -> None:
    gateway = server(engines=ENGINES + f"  goes: {tone(3, real_time_factor=0.5, isolation='process')}\n")
    eventually(lambda: "up" in str(gateway.client.get("/v1/engines").json()["engines"]["goes"]))
    files = Files(gateway)
    member = gateway.runtime.fleet.members["goes"]
    pid = getattr(member.guarded.engine, "pid", None)
    fields = {"input": TEXT, "model": "goes", "response_format": "pcm", "sample_rate": RATE_HZ}
    with gateway.client.stream("POST", "/v1/speech", json=fields) as reply:
        pieces = reply.iter_raw()
        pcm = next(pieces)
        files.publish(engines=ENGINES)
        assert "goes" not in gateway.client.get("/v1/engines").json()["engines"]
        assert gateway.speech(model="goes").status_code == 404
        assert psutil.pid_exists(pid or 0)
        pcm += b"".join(pieces)
    assert count_beeps(pcm, RATE_HZ) == WORDS
    assert len(pcm) / 2 / RATE_HZ == pytest.approx(seconds(3), abs=0.001)
    eventually(lambda: not psutil.pid_exists(pid or 0))


def test_a_paused_engine_gets_no_new_request_and_finishes_what_it_speaks(server: StartGateway) -> None:
    both = f"version: 1\nengines:\n  first: {tone(0, real_time_factor=0.3)}\n  second: {tone(1)}\n"
    policies = "version: 1\npaused: [{}]\nrules:\n  - {{name: all, use: [first, second]}}\n"
    voices = "version: 1\ndefault: n\nvoices:\n  n: {engines: {first: v, second: v}}\n"
    gateway = server(engines=both, voices=voices, policies=policies.format(""))
    files, crowd = Files(gateway), Crowd(gateway)
    fields = {"input": TEXT, "response_format": "pcm", "sample_rate": RATE_HZ}
    with crowd.speaking():
        with gateway.client.stream("POST", "/v1/speech", json=fields) as reply:
            pieces = reply.iter_raw()
            pcm = next(pieces)
            files.publish(policies=policies.format("first"))
            for _ in range(3):
                response = gateway.speech(cache="bypass")
                assert response.headers["x-voxgate-engine"] == "second"
                assert "x-voxgate-degraded" not in response.headers  # it was not to be expected
            pcm += b"".join(pieces)
        assert reply.headers["x-voxgate-engine"] == "first"
        assert len(pcm) / 2 / RATE_HZ == pytest.approx(seconds(0), abs=0.001)
        crowd.wait_for_more()
    assert {headers["x-voxgate-engine"] for headers, _ in crowd.replies} == {"first", "second"}


def test_a_paused_engine_is_shown_as_such_and_alone_makes_nobody_ready(server: StartGateway) -> None:
    gateway = server(policies=POLICIES + "paused: [tone]\n")
    assert gateway.client.get("/v1/engines").json()["engines"]["tone"]["state"] == "paused"
    ready = gateway.client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["engines"]["tone"] == {"state": "paused", "reason": "paused in policies.yaml"}
    Files(gateway).publish(policies=POLICIES)
    assert gateway.client.get("/readyz").status_code == 200


def test_a_bad_edit_keeps_what_was_and_shows(server: StartGateway) -> None:
    gateway = server()
    files = Files(gateway)
    files.publish(policies="version: 1\nrules:\n  - {name: other, use: [nobody]}\n")
    assert gateway.speech().headers["x-voxgate-rule"] == "everything"
    config = gateway.client.get("/readyz").json()["config"]
    assert (config["ok"], config["restart_pending"]) == (False, [])
    assert [one for one in config["problems"] if "policies.yaml:3:25 rules[0].use[0]: unknown engine" in one]
    files.publish(policies=POLICIES)
    assert gateway.client.get("/readyz").json()["config"]["ok"] is True


def test_a_successor_that_cannot_start_shows_and_the_old_engine_goes_on(server: StartGateway) -> None:
    gateway = server(**one_engine(tone()))
    files = Files(gateway)
    files.publish(**one_engine("{kind: tone, isolation: process, start_timeout_s: 0.001}"))

    def shown() -> dict[str, Any]:
        engines: dict[str, dict[str, Any]] = gateway.client.get("/readyz").json()["engines"]
        return engines["only"]

    eventually(lambda: shown()["successor"]["state"] == "down")
    assert shown()["state"] == "up"
    assert "start_timeout_s" in shown()["successor"]["reason"]
    assert gateway.speech().status_code == 200
    files.publish(**one_engine(tone()))
    assert "successor" not in shown()


def test_a_restart_that_is_needed_shows(server: StartGateway) -> None:
    gateway = server()
    files, text = Files(gateway), (gateway.runtime.config.directory / "gateway.yaml").read_text()
    files.publish(gateway=f"{text}input: {{max_chars: 5}}\n")
    assert gateway.client.get("/readyz").json()["config"]["restart_pending"] == ["input.max_chars"]
    assert gateway.speech().status_code == 200
    files.publish(gateway=text)
    assert gateway.client.get("/readyz").json()["config"]["restart_pending"] == []


def test_the_admins_reload_says_what_it_did(server: StartGateway) -> None:
    gateway = server()
    directory = gateway.runtime.config.directory
    (directory / "policies.yaml").write_text(POLICIES.replace("everything", "other"))
    (directory / "engines.yaml").write_text(ENGINES + "  more: {kind: tone}\n")
    done = gateway.client.post("/v1/admin/reload")
    assert done.status_code == 200
    assert done.json()["ok"] is True
    assert done.json()["changed"] == ["engines.yaml", "policies.yaml"]
    assert done.json()["engines"] == {"added": ["more"], "replaced": [], "adjusted": [], "removed": []}
    assert gateway.speech().headers["x-voxgate-rule"] == "other"
    assert gateway.client.post("/v1/admin/reload").json()["changed"] == []


def test_the_admins_reload_refuses_with_every_problem(server: StartGateway) -> None:
    gateway = server()
    directory = gateway.runtime.config.directory
    (directory / "policies.yaml").write_text("version: 1\nrules:\n  - {name: x, use: [nobody]}\n")
    (directory / "voices.yaml").write_text(VOICES.replace("default: narrator", "default: who"))
    refused = gateway.client.post("/v1/admin/reload")
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["code"] == "configuration_refused"
    places = [(one["file"].rsplit("/", 1)[1], one["line"], one["path"]) for one in error["problems"]]
    assert places == [("voices.yaml", 2, "default"), ("policies.yaml", 3, "rules[0].use[0]")]
    assert gateway.speech().status_code == 200


def test_a_revoked_key_is_refused_from_then_on_whatever_else_is_broken(server: StartGateway) -> None:
    def keys(more: str = "") -> str:
        return (
            f"version: 1\nkeys:\n  app: {{sha256: {digest_of(b'vg_app').hex()}{more}}}\n"
            f"  boss: {{sha256: {digest_of(b'vg_boss').hex()}, admin: true}}\n"
        )

    gateway = server(keys=keys())
    files = Files(gateway)
    app, boss = {"authorization": "Bearer vg_app"}, {"authorization": "Bearer vg_boss"}

    def status(headers: dict[str, str]) -> int:
        return gateway.client.post("/v1/speech", json={"input": "one two three"}, headers=headers).status_code

    assert (status(app), status(boss)) == (200, 200)
    assert gateway.client.post("/v1/admin/reload", headers=app).status_code == 403
    assert gateway.client.post("/v1/admin/reload").status_code == 401
    files.publish(policies="version: 1\nrules: [", keys=keys(", revoked: 2026-11-20T12:00:00Z"))
    assert (status(app), status(boss)) == (401, 200)
    assert gateway.client.post("/v1/admin/reload", headers=boss).status_code == 400
