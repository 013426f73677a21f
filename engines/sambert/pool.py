"""Connections to Model Studio, kept for the next task.

Imports `websockets` through the driver: import this module when an engine starts. Knows nothing of voices, quotas or
the gateway.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping

from engines.remote.exchange import Tap
from engines.sambert.protocol import Event, Task
from engines.sambert.times import Times


class Pool:
    """Runs tasks, each on a connection of its own, and keeps connections for `times.idle_s` seconds.

    `headers` is asked before each task, so that a key may change: a connection that was made with other headers is not
    used again. It may raise SpeechError. For one event loop.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Callable[[], Mapping[str, str]],
        times: Times | None = None,
        tap: Tap | None = None,
    ) -> None:
        self._endpoint, self._headers, self._times, self._tap = endpoint, headers, times or Times(), tap

    async def run(self, task: Task) -> AsyncGenerator[Event, None]:
        """Started, then Audio and Sentence as they come, then Finished. Raises SpeechError.

        Closing the generator before its end closes the connection: the service knows no other way to cancel.
        """
        raise NotImplementedError
        yield

    async def close(self) -> None:
        """Close all connections; what still speaks is broken off. Idempotent."""
