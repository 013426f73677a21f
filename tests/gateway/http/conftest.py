"""A real gateway on a real socket: uvicorn in a thread, engines inside it, and a probe that tells what they saw."""

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import uvicorn
import uvloop

from engines.contract import AudioChunk, EngineInfo, EngineKind, Instance, Options, SpeechRequest, Voice
from engines.errors import EngineFault
from engines.registry import Registry
from gateway import hooks
from gateway.configuration.load import load_config
from gateway.http.app import create_app
from gateway.http.connection import Connection
from gateway.runtime import Runtime

GATEWAY = "version: 1\ndata_dir: {data}\n"
ENGINES = "version: 1\nengines:\n  tone: {kind: tone, slots: 4}\n"
VOICES = """version: 1
default: narrator
voices:
  narrator: {languages: [zh, en], gender: female, engines: {tone: low}}
  旁白: {languages: [zh], engines: {tone: 中文女}}
aliases: {alloy: narrator}
"""
POLICIES = """version: 1
models: {tts-1: auto, gpt-4o-mini-tts: auto}
rules:
  - {name: everything, use: [tone]}
"""


@dataclass
class Probe:
    """What the engine of kind `probe` was asked for, told across threads."""

    begun: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)
    chunks: int = 0


class ProbeOptions(Options):
    """`silent` gives no audio, `stalls` one second, both without an end; `endless` never stops giving it; `cut` fails
    after the first second."""

    does: str


class ProbeEngine:
    def __init__(self, probe: Probe, options: ProbeOptions) -> None:
        self.info = EngineInfo(
            voices=(Voice("probe", ("en",), 24000),), any_voice=True, any_language=True, slots=2, version="1"
        )
        self._probe, self._does = probe, options.does

    async def start(self) -> None: ...
    async def check(self) -> None: ...
    async def close(self) -> None: ...

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        self._probe.begun.set()
        try:
            if self._does == "silent":
                await asyncio.Event().wait()
            while True:
                await asyncio.sleep(0)
                self._probe.chunks += 1
                yield AudioChunk(bytes(48000), 24000)
                if self._does == "cut":
                    raise EngineFault("the probe breaks off")
                if self._does == "stalls":
                    await asyncio.Event().wait()
        finally:
            self._probe.closed.set()


@dataclass
class Gateway:
    """One running gateway."""

    port: int
    runtime: Runtime
    probe: Probe
    loop: asyncio.AbstractEventLoop
    client: httpx.Client
    server: uvicorn.Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            yield connection

    def speech(self, **fields: object) -> httpx.Response:
        return self.client.post("/v1/speech", json={"input": "one two three", **fields})


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@contextmanager
def running(directory: Path, kinds: Iterable[EngineKind] = (), *, port: int = 0, **files: str) -> Iterator[Gateway]:
    """A gateway with the YAML of `gateway`, `engines`, `voices`, `policies`, or the defaults above, and more kinds.

    `port`: the one to listen on, where something must know it before; 0: any free one.
    """
    config_dir, probe = directory / "config", Probe()
    config_dir.mkdir(parents=True)
    defaults = {"gateway": GATEWAY, "engines": ENGINES, "voices": VOICES, "policies": POLICIES}
    for name, text in (defaults | files).items():
        (config_dir / f"{name}.yaml").write_text(text.replace("{data}", str(directory / "data")), encoding="utf-8")

    def create(instance: Instance, options: ProbeOptions) -> ProbeEngine:
        return ProbeEngine(probe, options)

    registry = Registry.load([hooks])
    registry.kinds["probe"] = EngineKind("probe", ProbeOptions, create, "for tests", "", isolation="inline")
    registry.kinds |= {kind.name: kind for kind in kinds}
    config = load_config(config_dir, registry, {})
    parts: list[tuple[Runtime, _Server, asyncio.AbstractEventLoop]] = []
    built, failure = threading.Event(), list[BaseException]()

    with socket.create_server(("127.0.0.1", port)) as listening:

        async def serve() -> None:
            runtime = Runtime.build(config, registry, look_every_s=0.05)
            settings = uvicorn.Config(
                create_app(runtime),
                http=Connection,
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=bool(config.settings.listen.trusted_proxies),
                forwarded_allow_ips=list(config.settings.listen.trusted_proxies),
                timeout_graceful_shutdown=1,
            )
            parts.append((runtime, _Server(settings), asyncio.get_running_loop()))
            built.set()
            await parts[0][1].serve(sockets=[listening])

        def run() -> None:
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(serve())
            except BaseException as error:
                failure.append(error)
                built.set()

        thread = threading.Thread(target=run, name="gateway")
        thread.start()
        try:
            assert built.wait(20)
            assert not failure, failure
            runtime, server, loop = parts[0]
            assert server.up.wait(20)
            bound = listening.getsockname()[1]
            with httpx.Client(base_url=f"http://127.0.0.1:{bound}", timeout=20) as client:
                yield Gateway(bound, runtime, probe, loop, client, server)
        finally:
            if parts:
                parts[0][1].should_exit = True
            thread.join(20)
    assert not thread.is_alive()
    assert not failure, failure


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """A factory: `server(engines="…yaml…", …)` gives a running gateway, closed at the test's end."""
    with ExitStack() as stack:
        count = 0

        def start(**files: str) -> Gateway:
            nonlocal count
            count += 1
            return stack.enter_context(running(tmp_path / str(count), **files))

        yield start


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway with the engine `tone`, shared by tests that leave nothing behind but cached clips."""
    with running(tmp_path_factory.mktemp("gateway")) as one:
        yield one


@pytest.fixture
def with_engine(server: Callable[..., Gateway]) -> Callable[..., Gateway]:
    """A gateway whose rules use one engine, given as its YAML: `with_engine("{kind: probe, does: silent}")`."""

    def start(entry: str, **rule: object) -> Gateway:
        terms = "".join(f", {name}: {value}" for name, value in rule.items())
        return server(
            engines=f"version: 1\nengines:\n  only: {entry}\n",
            voices="version: 1\ndefault: v\nvoices:\n  v: {engines: {only: probe}}\n",
            policies=f"version: 1\nrules:\n  - {{name: all, use: [only]{terms}}}\n",
        )

    return start


@pytest.fixture
def errors_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog
