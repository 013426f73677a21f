"""How long each step of a task at Model Studio may take.

Knows nothing about sockets or about what is said on them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """Bounds in seconds; none of them counts time in which nobody asks for more audio.

    `idle_s` is how long a connection is kept for the next task: the service closes one after 60 s without a task, and a
    task that is sent in that moment is lost.
    """

    connect_s: float = 5.0  # name, TCP, TLS and handshake
    start_s: float = 5.0  # from run-task to task-started
    first_audio_s: float = 10.0  # from there to the first audio
    gap_s: float = 10.0  # between two frames
    whole_s: float = 30.0  # of all waiting for one task, with
    whole_s_per_char: float = 0.1  # so much more for each character of its text
    idle_s: float = 45.0
    close_s: float = 0.1  # for the answer to our close frame

    def whole(self, chars: int) -> float:
        """Seconds that a task of so many characters may be waited for."""
        return self.whole_s + chars * self.whole_s_per_char
