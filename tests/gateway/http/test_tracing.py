"""Spans as a collector gets them: a real one over HTTP, which reads what the exporter writes."""

from __future__ import annotations

import http.server
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.scrapes import values_in

from .conftest import GATEWAY, Gateway, running

Server = Callable[..., Gateway]

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENTINEL, KEY = "Zebulon", "vg_sentinel-key"


class Collector:
    """Answers with `status`, and keeps what it got."""

    def __init__(self) -> None:
        self.status = 200
        self.got: queue.Queue[tuple[str, bytes]] = queue.Queue()
        outer = self

        class Receiving(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.got.put((self.path, self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiving)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next(self) -> ExportTraceServiceRequest:
        path, body = self.got.get(timeout=20)
        assert path == "/v1/traces"
        return ExportTraceServiceRequest.FromString(body)


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.close()


def traced(server: Server, url: str, **files: str) -> Gateway:
    return server(gateway=f"{GATEWAY}tracing: {{otlp_endpoint: '{url}'}}\n", **files)


def spans(request: ExportTraceServiceRequest) -> list[Span]:
    return [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]


def attributes(of: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


def test_a_request_is_a_span_with_its_attempts_below_and_goes_on_in_the_trace_of_its_client(
    server: Server, collector: Collector
) -> None:
    gateway = traced(
        server,
        collector.url,
        engines="version: 1\nengines:\n  drill: {kind: fault, of: {kind: tone}, mode: refuse, isolation: inline}\n"
        "  spare: {kind: tone}\n",
        voices="version: 1\ndefault: v\nvoices:\n  v: {engines: {drill: v, spare: v}}\n",
        policies="version: 1\nrules:\n  - {name: both, use: [drill, spare], retries: 0}\n",
    )
    client = {"traceparent": f"00-{TRACE}-{PARENT}-01", "authorization": f"Bearer {KEY}"}
    answer = gateway.client.post("/v1/speech", json={"input": f"{SENTINEL} says"}, headers=client)
    told = collector.next()
    assert attributes(told.resource_spans[0].resource)["service.name"] == "voxgate"
    by_name: dict[str, list[Span]] = {}
    for span in spans(told):
        by_name.setdefault(span.name, []).append(span)
        assert span.trace_id.hex() == TRACE
    (speech,) = by_name["speech"]
    assert speech.parent_span_id.hex() == PARENT
    assert speech.kind == Span.SPAN_KIND_SERVER
    assert [event.name for event in speech.events] == ["first audio"]
    about = attributes(speech)
    assert about["voxgate.request_id"] == answer.headers["x-request-id"]
    assert (about["voxgate.rule"], about["voxgate.engine"], about["voxgate.outcome"]) == ("both", "spare", "complete")
    assert about["voxgate.degraded"] == "drill: unavailable"
    failed, spoken = by_name["attempt"]
    assert {span.parent_span_id for span in (failed, spoken)} == {speech.span_id}
    assert (failed.status.message, spoken.status.message) == ("unavailable", "")
    assert attributes(failed)["voxgate.engine"] == "drill"
    assert attributes(spoken)["voxgate.audio_s"] == pytest.approx(about["voxgate.audio_s"], abs=0.001)
    for child in (failed, spoken):
        assert speech.start_time_unix_nano <= child.start_time_unix_nano <= child.end_time_unix_nano
        assert child.end_time_unix_nano <= speech.end_time_unix_nano
    for secret in (SENTINEL, KEY, "127.0.0.1"):
        assert secret.encode() not in told.SerializeToString()


def test_a_request_without_a_trace_begins_one_and_one_that_is_not_sampled_stays_out(
    server: Server, collector: Collector
) -> None:
    gateway = traced(server, collector.url)
    gateway.client.post("/v1/speech", json={"input": "one"}, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    gateway.client.post("/v1/speech", json={"input": "one"}, headers={"traceparent": "nonsense"})
    (span,) = [span for span in spans(collector.next()) if span.name == "speech"]
    assert span.parent_span_id == b""
    assert span.trace_id.hex() != TRACE
    assert attributes(span)["voxgate.cache"] == "hit"


def test_a_collector_that_is_gone_costs_traces_and_no_speech(
    server: Server, collector: Collector, errors_logged: pytest.LogCaptureFixture
) -> None:
    gateway = traced(server, collector.url)
    collector.status = 400
    assert gateway.speech().status_code == 200
    collector.next()
    while values_in(gateway.client.get("/metrics").text)("voxgate_spans_dropped_total") < 1:
        pass  # the test's own time limit bounds it
    collector.status = 200
    assert gateway.speech().status_code == 200
    collector.next()
    while "arrive again" not in errors_logged.text:
        pass
    told = [one.getMessage() for one in errors_logged.records if one.name.startswith(("voxgate.tracing", "opentel"))]
    assert told == ["traces are lost: no answer from the collector", "traces arrive again"]


def test_spans_that_wait_are_sent_when_the_gateway_ends(collector: Collector, tmp_path: Path) -> None:
    text = f"{GATEWAY}tracing: {{otlp_endpoint: '{collector.url}/v1/traces'}}\n"
    with running(tmp_path, gateway=text) as gateway:
        gateway.speech()
    assert [span.name for span in spans(collector.next())] == ["attempt", "speech"]


def test_without_a_collector_there_is_no_tracing(gateway: Gateway) -> None:
    assert not any(thread.name == "tracing" for thread in threading.enumerate())
    assert gateway.speech().status_code == 200
