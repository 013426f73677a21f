"""Exchanges with Model Studio that are worth a record, for `voxgate engines record`.

The public pages leave open what these show: close codes, sizes of frames, the header of a streamed wav file, the codes
for an unknown voice and for too long a text, where throttling comes. Imports websockets when an exchange is had.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from engines.contract import Instance, Markup, SpeechRequest
from engines.errors import EngineFault, SpeechError
from engines.remote.exchange import Direction, Exchange, Tap
from engines.sambert.options import SambertOptions
from engines.sambert.pieces import MOST_CHARS
from engines.sambert.protocol import Audio, Task
from engines.sambert.task import task_of
from engines.sambert.times import Times

if TYPE_CHECKING:
    from engines.sambert.connection import Connection
    from engines.sambert.pool import Pool

Run = Callable[[Tap], Awaitable[None]]

_SHORT, _LONGER = "你好。", "今天天气很好，我们一起去公园散步，好不好？"
_SSML = f"<speak>{_SHORT}</speak>"
_TOO_LONG = _SHORT * (MOST_CHARS // len(_SHORT) + 1)
_NO_VOICE, _NO_KEY = "nobody", "sk-" + "0" * 32
#: seconds after which the service hangs up, as published: on a connection without a next task, and on a silent one
_IDLE_S, _SILENT_S = 60.0, 23.0
#: that it is given beside them; and, to hang up after it has refused a task
_PATIENCE_S, _FAILED_S = 30.0, 2.0
#: tasks that are started together beside those that the account may start in a second
_MORE_STARTS = 5


def exchanges(instance: Instance, options: SambertOptions) -> Sequence[Exchange]:
    """Those with the family of voices that the options name."""
    caller = _Caller(options)
    usual = [
        ("plain", "a short text, without times", caller.speaks(_SHORT, word_timestamp_enabled=False), _SHORT),
        ("times", "the times of words and phonemes", caller.speaks(_SHORT, **caller.all_times), _SHORT),
        ("ssml", "SSML, whose tags are free", caller.speaks(_SSML, "ssml"), _SHORT),
        ("wav", "a wav file instead of samples", caller.speaks(_SHORT, format="wav"), _SHORT),
        ("two", "two tasks, one after the other, on one connection", caller.speak_twice, _SHORT * 2),
        ("cancelled", "the connection is closed at the first audio", caller.cancel, _LONGER),
    ]
    refused = [
        ("unknown-voice", "a voice that nobody has", caller.speaks_as_nobody(), _SHORT),
        ("wrong-parameter", "a sample rate of 1 Hz", caller.speaks(_SHORT, sample_rate=1), _SHORT),
        ("unspeakable", "an emoji alone", caller.speaks("😀"), "😀"),
    ]
    return [
        *(Exchange(name, summary, run, chars=caller.charged(text)) for name, summary, run, text in usual),
        *(Exchange(name, summary, run, ("unsupported",), caller.charged(text)) for name, summary, run, text in refused),
        Exchange("wrong-key", "a key that nobody has", caller.speaks_with(_NO_KEY), ("unavailable",)),
        *_unusual(caller, options),
    ]


def _unusual(caller: _Caller, options: SambertOptions) -> Iterator[Exchange]:
    """Those that take long, cost much, or take starts away from whoever else speaks by this account."""
    silent_s, idle_s = _SILENT_S + _PATIENCE_S, _IDLE_S + _PATIENCE_S
    yield Exchange("silent", "nothing is said", caller.say_nothing, within_s=silent_s, usual=False)
    chars = caller.charged(_SHORT)
    yield Exchange("idle", "no second task follows", caller.stay, chars=chars, within_s=idle_s, usual=False)
    starts = options.task_starts_per_s + _MORE_STARTS
    run, chars = caller.bursts(starts), caller.charged(_SHORT * starts)
    yield Exchange("throttled", f"{starts} tasks at once", run, ("throttled",), chars, usual=False)
    if not options.is_duplex:
        run, chars = caller.speaks(_TOO_LONG), caller.charged(_TOO_LONG)
        yield Exchange("too-long", "more than a task may have", run, ("unsupported",), chars, usual=False)


class _Caller:
    """Has exchanges with the service, as an engine of these options has them. Its methods raise SpeechErrors."""

    def __init__(self, options: SambertOptions) -> None:
        voices = [voice for voice in options.all_voices if "zh" in voice.languages] or options.all_voices
        self._options, self._voice = options, next((one for one in voices if one.timestamps), voices[0])

    def charged(self, text: str) -> int:
        """Characters that a text costs: one for CosyVoice costs two if it is a Han character."""
        return len(text) + (len(re.findall(r"[\u3400-\u9fff]", text)) if self._options.is_duplex else 0)

    @property
    def all_times(self) -> Mapping[str, bool]:
        of = ("word",) if self._options.is_duplex else ("word", "phoneme")
        return {f"{one}_timestamp_enabled": True for one in of}

    def speaks(self, text: str, markup: Markup = "plain", /, **parameters: object) -> Run:
        return partial(self._speak, self._task(text, markup, **parameters))

    def speaks_with(self, key: str) -> Run:
        return partial(self._speak, self._task(_SHORT), key=key)

    def speaks_as_nobody(self) -> Run:
        """With Sambert a voice is a model."""
        task = self._task(_SHORT, voice=_NO_VOICE) if self._options.is_duplex else self._task(_SHORT)
        return partial(self._speak, task if task.duplex else replace(task, model=f"sambert-{_NO_VOICE}-v1"))

    def bursts(self, starts: int) -> Run:
        return partial(self._burst, starts)

    def _task(self, text: str, markup: Markup = "plain", /, **parameters: object) -> Task:
        task = task_of(self._options, self._voice, SpeechRequest(text, "zh", markup=markup), text)
        return replace(task, parameters={**task.parameters, **parameters})

    async def _speak(self, task: Task, tap: Tap, key: str = "") -> None:
        """Without the pool, which would hang up first where the service has failed: its own close code is not known."""
        watch = _Watch(tap)
        connection = await self._open(watch, key)
        try:
            await connection.begin(task)
            while not connection.finished:
                await connection.hear()
        except SpeechError:
            with suppress(TimeoutError):
                await asyncio.wait_for(watch.closed.wait(), _FAILED_S)
            raise
        finally:
            await connection.close()

    async def speak_twice(self, tap: Tap) -> None:
        """Raises EngineFault where the second task needed a connection of its own."""
        watch = _Watch(tap)
        async with self._pool(watch) as pool:
            for _ in range(2):
                await _run(pool, self._task(_SHORT))
        if watch.connections > 1:
            raise EngineFault("the second task was not taken on the connection of the first")

    async def cancel(self, tap: Tap) -> None:
        async with self._pool(tap) as pool, aclosing(pool.run(self._task(_LONGER))) as events:
            async for event in events:
                if isinstance(event, Audio):
                    return

    async def stay(self, tap: Tap) -> None:
        """Until the service hangs up on a connection that has no second task."""
        watch = _Watch(tap)
        async with self._pool(watch) as pool:
            await _run(pool, self._task(_SHORT))
            await watch.closed.wait()

    async def say_nothing(self, tap: Tap) -> None:
        """Until the service hangs up on a connection that has no task at all."""
        watch = _Watch(tap)
        connection = await self._open(watch)
        try:
            await watch.closed.wait()
        finally:
            await connection.close()

    async def _burst(self, starts: int, tap: Tap) -> None:
        """So many tasks at once. Raises the first error that one of them meets."""
        async with self._pool(tap) as pool:
            tasks = (_run(pool, self._task(_SHORT)) for _ in range(starts))
            for error in await asyncio.gather(*tasks, return_exceptions=True):
                if error is not None:
                    raise error

    async def _open(self, tap: Tap, key: str = "") -> Connection:
        from engines.sambert.connection import open_connection

        endpoint = self._options.service_url()
        tls = ssl.create_default_context() if endpoint.startswith("wss:") else None
        return await open_connection(endpoint, self._headers(key), self._times(), tls, tap)

    @asynccontextmanager
    async def _pool(self, tap: Tap) -> AsyncGenerator[Pool, None]:
        from engines.sambert.pool import Pool

        pool = Pool(self._options.service_url(), self._headers, self._times(), tap)
        try:
            yield pool
        finally:
            await pool.close()

    def _headers(self, key: str = "") -> dict[str, str]:
        return self._options.headers() | {"Authorization": f"Bearer {key or self._options.key_places().find().text}"}

    def _times(self) -> Times:
        """The options' bounds; but a connection stays for as long as the service lets it."""
        options = self._options
        longer_s = _IDLE_S + 2 * _PATIENCE_S
        return Times(options.connect_s, options.start_s, options.first_audio_s, options.gap_s, idle_s=longer_s)


class _Watch:
    """A tap in front of another one, which sees connections come and go."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self.connections = 0
        self.closed = asyncio.Event()

    def note(self, direction: Direction, what: str, data: str | bytes) -> None:
        self.connections += (direction, what) == ("sent", "head")
        self._tap.note(direction, what, data)
        if direction == "closed":
            self.closed.set()


async def _run(pool: Pool, task: Task) -> None:
    async with aclosing(pool.run(task)) as events:
        async for _ in events:
            pass
