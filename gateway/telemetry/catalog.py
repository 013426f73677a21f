"""Every metric: its name, what it counts, and by which labels. The table in docs/operations.md is made from this.

Base units only: seconds, bytes. What is a label is bounded by the configuration: engines, rules, formats, codes of
errors. Never a text, nor the name of a voice or a key: there may be thousands. Knows nothing about where values come
from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: how one number is made of those of several gateway processes
Across = Literal["sum", "min", "max"]

#: seconds: from a clip in memory to a whole book
REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
#: seconds: 8 is what an engine is given by default
FIRST_AUDIO_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 15.0, 30.0)
#: seconds of work for a second of audio: above 1, a listener hears gaps
REAL_TIME = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 5.0)
#: seconds in an engine's line
WAIT_S = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


@dataclass(frozen=True, slots=True)
class Counted:
    """Only grows. Its name ends in `_total`."""

    name: str
    about: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram with upper bounds of its buckets."""

    name: str
    about: str
    bounds: tuple[float, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gauged:
    """Read when somebody asks."""

    name: str
    about: str
    labels: tuple[str, ...] = ()
    across: Across = "sum"


Metric = Counted | Spread | Gauged

# --- requests ---

REQUESTS = Counted(
    "voxgate_requests_total",
    "Requests for speech that ended, by the rule that decided (empty: the request named an engine), outcome "
    "(complete, failed, interrupted, cancelled) and what the cache did (hit, miss, follow, bypass)",
    ("rule", "outcome", "cache", "format"),
)
REQUEST = Spread("voxgate_request_seconds", "Seconds from a request's arrival to its last byte", REQUEST_S, ("cache",))
IN_FLIGHT = Gauged("voxgate_requests_in_flight", "Requests for speech that are being worked on")
ERRORS = Counted("voxgate_errors_total", "Answers that were errors, on every path", ("status", "code"))
FIRST_AUDIO = Spread(
    "voxgate_first_audio_seconds",
    "Seconds from a request's arrival to its first encoded audio, by the engine that is heard first; clips from the "
    "cache left out",
    FIRST_AUDIO_S,
    ("engine",),
)
AUDIO = Counted(
    "voxgate_audio_seconds_total", "Seconds of speech given to clients, by the engine heard first", ("engine", "cache")
)
CHARACTERS = Counted("voxgate_characters_total", "Characters of text spoken, by the engine heard first", ("engine",))
UNDERRUNS = Counted(
    "voxgate_underruns_total",
    "Times that a player had nothing to play, one that starts at the first audio of a stream and plays in real time; "
    "gaps under 20 ms left out",
    ("engine",),
)
UNDERRUN = Counted("voxgate_underrun_seconds_total", "Seconds that such a player stood still", ("engine",))
TRUNCATED = Counted(
    "voxgate_truncated_total", "Speeches that broke off after audio had begun, by the engine heard first", ("engine",)
)
DEGRADED = Counted(
    "voxgate_degraded_total",
    "Requests for which a preferred engine was passed over for its state, or failed: that engine, the code of the "
    "skip or of the error, and the engine that is heard instead",
    ("engine", "reason", "instead"),
)
ATTEMPTS = Counted(
    "voxgate_attempts_total",
    "Tries of an engine at a clause, by how they ended: ok, an error's code, hedged (another was quicker) or left "
    "(nobody listened any more)",
    ("engine", "code"),
)
COST = Counted("voxgate_cost_total", "What speech cost, in the unit of cost_per_1k_chars", ("engine",))

# --- engines ---

CAN_SPEAK = Gauged("voxgate_can_speak", "1 when at least one engine can speak, else 0", across="max")
ENGINE_UP = Gauged(
    "voxgate_engine_up", "1 when the engine can speak, else 0; the worst of all processes", ("engine",), "min"
)
ENGINE_STATE = Gauged(
    "voxgate_engine_state", "How many gateway processes see the engine in this state", ("engine", "state")
)
BREAKER = Gauged(
    "voxgate_engine_breaker_open",
    "1 while the breaker keeps requests from the engine, or lets one find out how it is; else 0",
    ("engine",),
    "max",
)
ENGINE_BUSY = Gauged("voxgate_engine_busy", "Slots of the engine that speak now", ("engine",))
ENGINE_QUEUED = Gauged("voxgate_engine_queued", "Requests that wait for a slot of the engine", ("engine",))
ENGINE_SLOTS = Gauged("voxgate_engine_slots", "Requests that the engine speaks at once", ("engine",), "max")
ENGINE_QUEUE = Gauged("voxgate_engine_queue_limit", "Requests that may wait for the engine", ("engine",))
ENGINE_EXPECTED = Gauged(
    "voxgate_engine_expected_first_audio_seconds",
    "Recent average until the engine's first audio, without its line, as policies see it; absent when not measured",
    ("engine",),
    "max",
)
ENGINE_MEMORY = Gauged(
    "voxgate_engine_memory_bytes", "Resident memory of the engine's worker process", ("engine",), "max"
)
REAL_TIME_FACTOR = Spread(
    "voxgate_real_time_factor",
    "Seconds of an engine's work for a second of audio, a clause at a time; time in which nobody listens left out",
    REAL_TIME,
    ("engine",),
)
QUEUE_WAIT = Spread("voxgate_queue_wait_seconds", "Seconds until a try had a slot of its engine", WAIT_S, ("engine",))

# --- cache, limits, Redis, configuration ---

CACHE_BYTES = Gauged("voxgate_cache_bytes", "Bytes of clips held in memory")
CACHE_LIMIT = Gauged("voxgate_cache_limit_bytes", "Bytes of clips that may be held in memory")
REFUSED = Counted(
    "voxgate_limits_refused_total",
    "Requests turned away by a limit of their key: requests, characters, audio, in_flight",
    ("limit",),
)
REDIS_UP = Gauged("voxgate_redis_up", "1 when Redis answers, else 0; absent without redis.url", across="min")
REDIS_WRITABLE = Gauged(
    "voxgate_redis_writable",
    "1 when Redis takes what is written, 0 when it is full, read-only or gone; absent without redis.url",
    across="min",
)
REDIS_ERRORS = Counted("voxgate_redis_errors_total", "Calls of Redis that failed, or had no answer in time")
RELOADS = Counted("voxgate_reloads_total", "Reloads of the configuration, by result: succeeded or refused", ("result",))
RELOAD_OK = Gauged("voxgate_config_last_reload_ok", "0 when the newest edit was refused, else 1", across="min")
RESTART_PENDING = Gauged(
    "voxgate_config_restart_pending", "1 when gateway.yaml changed, which needs a restart", across="max"
)

# --- the process ---

LAG = Gauged(
    "voxgate_event_loop_lag_seconds", "The longest that anything waited for its turn, in the last minute", across="max"
)
PROCESSES = Gauged("voxgate_processes", "Gateway processes that answer for this port")
SERVED_LINES_LOST = Counted("voxgate_served_log_lost_total", "Requests whose line in served.jsonl could not be written")
LINES_LOST = Counted("voxgate_log_lines_dropped_total", "Log lines left out, because whoever reads them is too slow")
SPANS_LOST = Counted("voxgate_spans_dropped_total", "Traces of requests that could not be sent")
BUILD = Gauged("voxgate_build_info", "1, by version", ("version", "python"), "max")
MEMORY = Gauged("process_resident_memory_bytes", "Resident memory of all gateway processes")
CPU = Counted("process_cpu_seconds_total", "CPU seconds of all gateway processes")
OPEN_FDS = Gauged("process_open_fds", "Open file descriptors, of the process with the most", across="max")
MAX_FDS = Gauged("process_max_fds", "File descriptors that a process may open", across="min")
STARTED = Gauged("process_start_time_seconds", "When the youngest gateway process began, Unix time", across="max")

#: all of them, in the order above
METRICS: tuple[Metric, ...] = tuple(one for one in vars().copy().values() if isinstance(one, Counted | Spread | Gauged))
