"""`voxgate serve`: the gateway itself. Finds out what would go wrong before it starts, and says so in a line."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NoReturn

import click
import uvicorn
from litestar import Litestar
from uvicorn.supervisors import Multiprocess

from engines.registry import Registry
from gateway.cli.hangup import is_ignored, on_hangup, spare_beginners
from gateway.cli.listening import address, bind, is_loopback
from gateway.cli.options import config_option, configured
from gateway.clock import SystemClock
from gateway.commons.host import Host
from gateway.configuration.load import Config, find_directory
from gateway.configuration.problems import ConfigError
from gateway.configuration.settings import Log
from gateway.http.app import create_app
from gateway.http.capacity import take_files
from gateway.http.connection import Connection
from gateway.keys.keyring import active
from gateway.reload import LOOK_EVERY_S
from gateway.runtime import Runtime
from gateway.shared import hosted
from gateway.telemetry import tracing
from gateway.telemetry.logs import write_logs
from gateway.telemetry.processes import VARIABLE as METRICS
from gateway.telemetry.processes import shared_folder

logger = logging.getLogger("voxgate.serve")

#: how the processes of `--workers` learn which configuration they serve
DIRECTORY = "VOXGATE_CONFIG"
#: and where the first of them holds what they share
COMMONS = "VOXGATE_COMMONS"


@click.command()
@config_option
@click.option("--host", help="Address to listen on; default: `listen.host` of gateway.yaml.")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port, 0: any free one; default: `listen.port`.")
@click.option("--workers", type=click.IntRange(1), help="Gateway processes that share the port.")
def command(directory: Path | None, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve speech over HTTP."""
    log(Log())
    spare_beginners()
    directory = find_directory(directory, os.environ)
    registry, config = configured(directory)
    log(config.settings.log)
    take_files()
    listen = config.settings.listen
    host, port, workers = host or listen.host, listen.port if port is None else port, workers or listen.workers
    refuse_an_open_door(host, config)
    sock = bind(host, port)
    runtime = Runtime.build(config, registry)
    runtime.make_folders()
    tell(config)
    if workers == 1:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end_well)
        Announcing(server(reloadable(runtime), config), runtime, address(sock)).run(sockets=[sock])
        return
    os.environ[DIRECTORY] = str(directory.absolute())
    several = server("gateway.cli.serve:application", config, factory=True, workers=workers)
    with shared_folder(config.settings.data_dir / "run") as folder, hosting(config):
        os.environ[METRICS] = str(folder)
        announce(f"voxgate {version('voxgate')} listens on {address(sock)} with {workers} processes", config)
        Several(several, sockets=[sock]).run()


@contextmanager
def hosting(config: Config) -> Iterator[None]:
    """Hold what the processes that are started meanwhile share, unless they share a Redis."""
    if config.settings.redis.url:
        yield
        return
    with TemporaryDirectory(prefix="voxgate-") as folder, ExitStack() as stack:
        path = Path(folder) / "commons"  # a socket's name must be short: not in data_dir
        try:
            stack.enter_context(Host(path, hosted(config.settings, SystemClock())))
        except OSError as error:
            raise click.ClickException(
                f"cannot make a socket for the processes in {folder} ({error.strerror or error}): "
                "set TMPDIR to a folder with a shorter name on a local disk"
            ) from error
        os.environ[COMMONS] = str(path)
        yield


def end_well(number: int, frame: FrameType | None) -> NoReturn:
    """Exit with status 0. The server raises the signal that stopped it once more, after it has finished its streams."""
    raise SystemExit(0)


def application() -> Litestar:
    """The application of one of several processes."""
    log(Log())
    spare_beginners()
    threading.Thread(target=leave_with_the_parent, name="leave-with-the-parent", daemon=True).start()
    registry, config = configured_in_the_end(Path(os.environ[DIRECTORY]))
    log(config.settings.log)
    commons = os.environ.get(COMMONS)
    return reloadable(Runtime.build(config, registry, commons=Path(commons) if commons else None))


def configured_in_the_end(directory: Path) -> tuple[Registry, Config]:
    """As `configured`; waits while there are mistakes in the files, since the other processes serve on without them.

    To end instead would be of no use: the first process would start another one, again and again.
    """
    told = ""
    while True:
        try:
            return configured(directory)
        except ConfigError as error:
            if told != (told := str(error)):
                logger.error("a new process waits until the configuration is mended: %s", told)
            time.sleep(LOOK_EVERY_S)


def reloadable(runtime: Runtime) -> Litestar:
    """The application, which reads its configuration again at SIGHUP once it has started."""
    app = create_app(runtime)

    async def listen() -> None:
        if not is_ignored():
            heard = on_hangup(runtime.reloader.ask, end=lambda: os.kill(os.getpid(), signal.SIGTERM))
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, heard)

    app.on_startup += [listen, spare_collections]
    return app


def spare_collections() -> None:
    """Leave what was made at the start, some 60,000 objects that stay, out of every collection of garbage.

    Going through them stops the event loop for 25 ms, each time that there is a quarter more. And look for garbage less
    often than after 700 objects, which a few dozen requests hold while they run: a sixth of the CPU of a hit. But with
    so many more at once that a look at the young ones takes 10 ms, others would wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(3_000, 3)


class Several(Multiprocess):
    """Passes SIGHUP on to its processes; otherwise they would be replaced by new ones."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        ignored = is_ignored()
        super().__init__(config, sockets)
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._heard = on_hangup(self._pass_on, end=self.should_exit.set)

    def handle_hup(self) -> None:
        self._heard()

    def _pass_on(self) -> None:
        for process in self.processes:
            if process.pid is not None and process.is_ready(timeout=1):  # else it reads the configuration soon enough
                os.kill(process.pid, signal.SIGHUP)

    def keep_subprocess_alive(self) -> None:
        """As uvicorn does, which tells of it where nobody listens."""
        before = list(self.processes)
        super().keep_subprocess_alive()
        for old, new in zip(before, self.processes, strict=True):
            if new is not old:
                logger.warning("process %s ended (status %s); %s takes its place", old.pid, old.exitcode, new.pid)


def leave_with_the_parent() -> None:
    """Stop as by SIGTERM when the first process is gone, also when it was killed: else the port stays taken."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def server(app: Litestar | str, config: Config, **more: object) -> uvicorn.Config:
    """What uvicorn is told; `more` are its own options."""
    trusted = config.settings.listen.trusted_proxies
    return uvicorn.Config(
        app,
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted),
        forwarded_allow_ips=list(trusted),
        timeout_graceful_shutdown=math.ceil(config.settings.drain_s),
        **more,  # type: ignore[arg-type]
    )


class Announcing(uvicorn.Server):
    """Says where it listens and who can speak, as soon as it does."""

    def __init__(self, config: uvicorn.Config, runtime: Runtime, address: str) -> None:
        super().__init__(config)
        self._runtime, self._address = runtime, address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        config, where = self._runtime.config, self._address
        announce(f"voxgate {version('voxgate')} listens on {where} (docs: {where}/docs)", config)
        for name, state in self._runtime.board.snapshot().engines.items():
            words = [state.state.replace("_", " "), state.reason]
            said = "ready" if state.state == "up" else ": ".join(dict.fromkeys(word for word in words if word))
            announce(f"  engine {name} is {said}", config)


def announce(line: str, config: Config) -> None:
    """To whoever started it, or, where the log is for programs, as a line of it: there addresses lack their scheme."""
    if config.settings.log.format == "json":
        logger.info("%s", line.strip().replace("http://", ""))
    else:
        click.echo(line, err=True)


def tell(config: Config) -> None:
    """Warnings of the configuration, what it asks for in vain, and that nobody can come in."""
    for warning in config.warnings:
        announce(str(warning), config)
    if lacking := tracing.advice(config.settings.tracing, os.environ):
        announce(lacking, config)
    if config.needs_keys and not active(config.keys.keys.values(), datetime.now(UTC)):
        advice = "`voxgate keys add NAME` makes one, without a restart"
        announce(f"no API key is valid, so that every request for speech is refused: {advice}", config)


def refuse_an_open_door(host: str, config: Config) -> None:
    """Nobody but this machine may speak for free unless the operator has written that down. Raises ClickException."""
    if config.settings.auth == "auto" and not config.needs_keys and not is_loopback(host):
        raise click.ClickException(
            f"{host} can be reached from other machines and there are no API keys: make one with `voxgate keys add "
            "NAME`, or listen on 127.0.0.1, or write `auth: none` in gateway.yaml (or set VOXGATE_AUTH=none) to let "
            "everybody in"
        )


def log(settings: Log) -> None:
    """Everything to stderr, as the configuration says; what the server says of itself, as far as it is news."""
    write_logs(settings)
    server_log = logging.getLogger("uvicorn.error")
    server_log.setLevel(logging.WARNING)  # its start-up lines say what ours say
    server_log.addFilter(is_no_cancellation)


def is_no_cancellation(record: logging.LogRecord) -> bool:
    """Is it something else than the trace of a request that the drain cut short. A line of its own says how many."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
