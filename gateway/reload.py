"""Notices that files of the configuration have changed, and puts into force what they say.

They are read a few times a second, and compared byte by byte. No inotify: a ConfigMap changes by a link two folders
up, editors rename another file into the place, NFS and many mounts of containers tell of nothing; and times of change
are too coarse, or too old on NFS, to be believed. A look at five small files takes a fraction of a millisecond, in a
thread.

A file that is being written says nothing yet: it counts once two looks agree. What then has an error in it is refused,
and told once; what is in force goes on. Knows nothing about what becomes of a configuration that is in force.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from pydantic import BaseModel

from engines.registry import Registry
from gateway.clock import Clock
from gateway.configuration.load import Config, Reading, read_config, read_sources
from gateway.configuration.problems import Problem
from gateway.configuration.yaml import Source
from gateway.fleet.fleet import Changes
from gateway.keys.keyring import active

logger = logging.getLogger("voxgate.reload")

#: seconds between two looks at the files; half of it once they have changed, so that a change takes less than a second
LOOK_EVERY_S = 0.4


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the files when they were last read. `changed` are those that were taken over then."""

    at: datetime
    changed: tuple[str, ...] = ()
    engines: Changes = field(default_factory=Changes)
    problems: tuple[Problem, ...] = ()  # errors, in files that were refused for them
    warnings: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


class Reloader:
    """Watches the files of `config` while it is open; `adopt` puts another configuration into force, at once.

    `succeeded` and `refused` count how often files were read with and without success, `last_ok` is when that was
    last a success, and `restart_pending` names what gateway.yaml says otherwise by now than at the start.
    """

    def __init__(
        self,
        config: Config,
        adopt: Callable[[Config], Changes],
        registry: Registry,
        clock: Clock,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._config, self._adopt, self._registry, self._clock = config, adopt, registry, clock
        self._look_every_s = look_every_s
        self._seen: Mapping[str, Source] = config.sources
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()
        self.last = Report(clock.now(), warnings=config.warnings)
        self.last_ok = self.loaded = self.last.at
        self.succeeded = self.refused = 0
        self.restart_pending: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        self._begin(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def reload(self) -> Report:
        """Read the files now, and take over what they say. One after the other, where several ask."""
        async with self._turn:
            return await self._take(await self._read())

    def ask(self) -> None:
        """The same, for who does not wait for it."""
        self._begin(self.reload())

    def _begin(self, work: Coroutine[object, object, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("the configuration could not be reloaded", exc_info=error)

    async def _watch(self) -> None:
        before = self._seen
        while True:
            await asyncio.sleep(self._look_every_s if before == self._seen else self._look_every_s / 2)
            sources = await self._read()
            if sources == before != self._seen:
                await self._take_settled(sources)
            before = sources

    async def _take_settled(self, sources: Mapping[str, Source]) -> None:
        async with self._turn:
            if sources == self._seen or sources != await self._read():
                return  # another look was quicker, or it changes again
            try:
                await self._take(sources)
            except Exception as error:
                self._seen = sources
                logger.exception("reading the configuration failed")
                text = f"could not be read: {type(error).__name__}; the log has more"
                self._account(
                    Report(self._clock.now(), problems=(Problem(str(self._config.directory), 1, 1, "", text),))
                )

    async def _read(self) -> dict[str, Source]:
        return await asyncio.to_thread(read_sources, self._config.directory)

    async def _take(self, sources: Mapping[str, Source]) -> Report:
        config = self._config
        reading = await asyncio.to_thread(
            read_config, config.directory, sources, self._registry, config.environ, config.settings.data_dir
        )
        self._seen = sources
        renewed = config.renewed(reading)
        changed = tuple(name for name, source in renewed.sources.items() if source != config.sources.get(name))
        engines = Changes()
        if changed:
            engines = self._adopt(renewed)
            self._config = renewed
        self._account(Report(self._clock.now(), changed, engines, reading.errors, reading.warnings))
        self._compare_settings(reading)
        return self.last

    def _account(self, report: Report) -> None:
        """Keep the report, and say what is new in it."""
        before, self.last = self.last, report
        for problem in report.problems:
            if problem not in before.problems:
                logger.error("refused: %s", problem)
        for warning in report.warnings:
            if warning not in before.warnings:
                logger.warning("%s", warning)
        if report.changed:
            self.loaded = report.at
            logger.info("reloaded %s%s", ", ".join(report.changed), _told(report.engines))
        keys = self._config.keys.keys.values()
        if "keys.yaml" in report.changed and self._config.needs_keys and not active(keys, report.at):
            logger.warning("there is no active key now: nobody may speak until `voxgate keys add NAME`")
        if report.ok:
            self.succeeded, self.last_ok = self.succeeded + 1, report.at
            if not before.ok and not report.changed:
                logger.info("the configuration is as it was, and in order")
        else:
            self.refused += 1

    def _compare_settings(self, reading: Reading) -> None:
        if reading.settings is None:
            return
        pending = tuple(_different(self._config.settings, reading.settings))
        if pending and pending != self.restart_pending:
            logger.warning("gateway.yaml is read at start only: restart the gateway to change %s", ", ".join(pending))
        self.restart_pending = pending


def _told(changes: Changes) -> str:
    """What became of the engines, as the end of a line."""
    parts = [
        (changes.added, "starts"),
        (changes.replaced, "is replaced once its successor is up"),
        (changes.adjusted, "is adjusted"),
        (changes.removed, "leaves when it has finished"),
    ]
    return "".join(f"; engine {name} {what}" for names, what in parts for name in names)


def _different(one: BaseModel, other: BaseModel, path: str = "") -> Iterator[str]:
    """The names of the fields in which two models differ, such as `cache.memory_mb`."""
    for name in type(one).model_fields:
        mine, theirs = getattr(one, name), getattr(other, name)
        if isinstance(mine, BaseModel) and isinstance(theirs, BaseModel):
            yield from _different(mine, theirs, f"{path}{name}.")
        elif mine != theirs:
            yield path + name
