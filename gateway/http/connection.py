"""One connection as the server has it, with an end to what a client may leave undone.

The server itself waits for ever: for the rest of a request's head, and for a client that does not read. Each such
connection holds a file and whatever was made for it, and when the files are used up, nobody gets in, not even to ask
`/livez`. Bodies have a time of their own in `gateway.http.body`. Knows nothing about what is asked and answered.
"""

import asyncio
from asyncio import TimerHandle

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

#: seconds in which a request's head must have come, from the connection or from its first byte
HEAD_WITHIN_S = 20.0
#: seconds in which a client must take something of what waits for it
TAKE_WITHIN_S = 60.0
#: whole requests that may wait behind the one that is answered; with more of them nothing is read until its end
MOST_WAITING = 16


class Connection(HttpToolsProtocol):
    """Closed when a head stays away, dropped when nothing is taken of what was sent.

    When it is lost, every request on it hears so. The server itself stops reading once a next request is there, so that
    it would not even see it, and tells the newest one alone: the one that is answered would be made for nobody.
    """

    _head: TimerHandle | None = None
    _taking: TimerHandle | None = None
    _before_the_newest: tuple[RequestResponseCycle, ...] = ()

    # --- the head of a request ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        before = self.cycle
        super().on_headers_complete()
        if not self.pipeline:
            self._before_the_newest = ()
        else:
            self._before_the_newest += (before,)
            if len(self.pipeline) <= MOST_WAITING:
                self.flow.resume_reading()

    def _await_head(self) -> None:
        self._head = self.loop.call_later(HEAD_WITHIN_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    # --- what the client does not take ---

    def pause_writing(self) -> None:
        super().pause_writing()
        self._see_that_it_takes()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._see_no_more()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()  # closes, once all is sent
        self._see_that_it_takes()

    def _see_that_it_takes(self) -> None:
        self._see_no_more()
        waiting_bytes = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(TAKE_WITHIN_S, self._see, waiting_bytes)

    def _see(self, before_bytes: int) -> None:
        waiting_bytes = self.transport.get_write_buffer_size()
        if waiting_bytes < before_bytes:
            self._see_that_it_takes()
        else:
            self.transport.abort()

    def _see_no_more(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._see_no_more()
        for cycle in self._before_the_newest:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)
