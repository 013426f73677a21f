"""Spans of each finished request, sent by OTLP over HTTP; an extra, and off unless a collector is named.

A span is made from the record of a request when it has ended, with the times that stand there, in a thread: nothing of
it is on a request's way. Records that wait for the thread are bounded. A collector that does not answer costs traces,
never speech. Knows nothing about HTTP but the headers by which a client's own trace goes on.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from gateway.configuration.settings import Tracing as Settings
from gateway.record import Attempt, Served
from gateway.telemetry.access import facts

if TYPE_CHECKING:  # an extra
    from opentelemetry.trace import Span

logger = logging.getLogger("voxgate.tracing")

#: what names a collector where gateway.yaml does not: OpenTelemetry's own variables
VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
#: the headers of the current request in which its client's trace goes on: W3C Trace Context
CARRIER: ContextVar[Mapping[str, str] | None] = ContextVar("carrier", default=None)
#: records that may wait to be sent, and spans that are sent at once
WAITING, SENT_AT_ONCE = 2048, 512
#: seconds in which records are gathered, and that the last ones may take when the gateway ends
GATHER_S, LAST_S = 1.0, 2.0

_ADVICE = (
    "a collector of traces is named, but the libraries are not installed: `scripts/install otel` in a checkout,"
    " else `pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http` beside voxgate"
)


def is_wanted(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Is a collector named."""
    return bool(settings.otlp_endpoint or any(environ.get(name) for name in VARIABLES))


def advice(settings: Settings, environ: Mapping[str, str]) -> str:
    """What to do when a collector is named in vain; empty when all is well."""
    return _ADVICE if is_wanted(settings, environ) and not is_installed() else ""


def is_installed() -> bool:
    """Are the libraries of the extra there."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


class Tracing:
    """A thread that sends what `served` is told. `lost`: requests whose spans nobody will see."""

    def __init__(self, settings: Settings, version: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        # it would tell of each try, with the collector's address; we tell once
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        base = settings.otlp_endpoint.rstrip("/").removesuffix("/v1/traces")
        self._exporter = OTLPSpanExporter(f"{base}/v1/traces" if base else None)
        ours = Resource({"service.name": "voxgate", "service.version": version})
        provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        self._ended = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self._ended))
        self._tracer = provider.get_tracer("voxgate", version)
        self.lost = 0
        self._failing = False
        self._waiting: queue.Queue[tuple[Served, Mapping[str, str] | None]] = queue.Queue(WAITING)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tracing", daemon=True)
        self._thread.start()

    def served(self, served: Served) -> None:
        """One finished request, in the context in which it was worked on."""
        try:
            self._waiting.put_nowait((served, CARRIER.get()))
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Send what waits, for a little while; blocks."""
        self._over.set()
        self._thread.join(LAST_S)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    # --- the thread ---

    def _work(self) -> None:
        over = False
        while not over:
            over = self._over.wait(GATHER_S)
            waiting = [self._waiting.get() for _ in range(self._waiting.qsize())]
            try:
                for served, carrier in waiting:
                    self._make(served, carrier)
                failed = not self._send()
            except Exception:
                logger.exception("spans cannot be made")
                failed = True
            self._ended.clear()
            if failed:
                self.lost += len(waiting)
            if waiting and failed != self._failing:
                self._failing = failed
                logger.warning("traces are lost: no answer from the collector" if failed else "traces arrive again")

    def _send(self) -> bool:
        """Send the spans that have ended; whether all of them arrived."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        ended = self._ended.get_finished_spans()
        parts = [ended[at : at + SENT_AT_ONCE] for at in range(0, len(ended), SENT_AT_ONCE)]
        return all(self._exporter.export(part) is SpanExportResult.SUCCESS for part in parts)

    def _make(self, served: Served, carrier: Mapping[str, str] | None) -> None:
        """A span for the request, and below it one for each attempt."""
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        began_s = served.received.timestamp()
        client = TraceContextTextMapPropagator().extract(carrier or {})
        about = {f"voxgate.{name}": value for name, value in facts(served).items() if value not in ("", None)}
        span = self._tracer.start_span("speech", client, SpanKind.SERVER, about, start_time=_ns(began_s))
        if served.first_audio_s is not None:
            span.add_event("first audio", timestamp=_ns(began_s + served.first_audio_s))
        within = set_span_in_context(span)
        for one in served.attempts:
            child = self._tracer.start_span(
                "attempt", within, SpanKind.CLIENT, _attempt_facts(one), start_time=_ns(began_s + one.started_s)
            )
            ended_s = one.ended_s if one.ended_s is not None else served.total_s or one.started_s
            _end(child, one.error, began_s + ended_s)
        _end(span, served.error, began_s + (served.total_s or 0.0))


def _attempt_facts(attempt: Attempt) -> dict[str, Any]:
    told = {
        "engine": attempt.engine,
        "voice": attempt.voice,
        "clause": attempt.clause,
        "first_audio_s": attempt.first_audio_s,
        "audio_s": attempt.audio_s,
        "error": attempt.error,
    }
    return {f"voxgate.{name}": value for name, value in told.items() if value not in ("", None)}


def _end(span: Span, error: str, at_s: float) -> None:
    """Not the message of an error: it is an engine's own, and may quote what it was given."""
    from opentelemetry.trace import Status, StatusCode

    if error:
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(_ns(at_s))


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
