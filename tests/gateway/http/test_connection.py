"""What happens on the wire: clients that leave, transfers that are broken off, old protocols, slow readers."""

import http.client
import json
import logging
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gateway.http import capacity
from gateway.http import connection as connection_module
from gateway.telemetry.logs import facts_of

from .conftest import Gateway

ENDLESS = "{kind: probe, does: endless}"
STALLING = "{kind: probe, does: stalls}"
SILENT = "{kind: probe, does: silent}"


def ask(connection: socket.socket, version: str = "1.1", **fields: object) -> None:
    body = json.dumps({"input": "one two three", "response_format": "pcm", **fields}).encode()
    head = f"POST /v1/speech HTTP/{version}\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)


def read_all(connection: socket.socket) -> bytes:
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def read_head(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(4096)
        assert piece, received
        received += piece
    return received


def only_engine(gateway: Gateway) -> dict[str, object]:
    engine: dict[str, object] = gateway.client.get("/v1/engines").json()["engines"]["only"]
    return engine


def eventually(gateway: Gateway, holds: Callable[[], bool]) -> bool:
    """Ask again until it holds; each question is a round trip, which lets the gateway's loop go on."""
    until = time.monotonic() + 20
    while not (answer := holds()) and time.monotonic() < until:
        gateway.client.get("/livez")
    return answer


def test_a_head_that_does_not_come_ends_the_connection(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "HEAD_WITHIN_S", 0.1)
    for begun in (b"", b"GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: "):
        with gateway.connection() as connection:
            connection.sendall(begun)
            assert connection.recv(1024) == b""


def test_the_head_of_a_second_request_has_its_time_too(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "HEAD_WITHIN_S", 0.1)
    with gateway.connection() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HTTP/1.1\r\nx-slow: ")
        assert b"200 OK" in read_all(connection)


def test_a_request_whose_head_has_come_is_not_hurried(
    with_engine: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "HEAD_WITHIN_S", 0.05)
    gateway = with_engine("{kind: fault, of: {kind: tone}, mode: slow, delay_s: 0.3}")
    with gateway.connection() as connection:
        ask(connection)
        assert b"200 OK" in read_head(connection)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_takes_nothing_any_more_is_dropped(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(connection_module, "TAKE_WITHIN_S", 0.3)
    with gateway.connection() as connection:
        ask(connection, input="one two three four five " * 400, stream=stream, cache="bypass")
        read_head(connection)
        ours, served = connection.getsockname(), gateway.server.server_state.connections
        assert any(one.client == ours for one in list(served))  # type: ignore[union-attr]
        assert eventually(gateway, lambda: all(one.client != ours for one in list(served)))  # type: ignore[union-attr]


def test_a_client_that_leaves_before_the_first_byte_stops_the_engine(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine(SILENT)
    with gateway.connection() as connection:
        ask(connection)
        assert gateway.probe.begun.wait(20)
        assert not gateway.probe.closed.is_set()
        assert only_engine(gateway)["busy"] == 1
    assert gateway.probe.closed.wait(20)
    assert eventually(gateway, lambda: only_engine(gateway)["busy"] == 0)


def test_a_client_that_leaves_in_the_middle_stops_the_engine(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine(STALLING, on_interruption="abort")
    with gateway.connection() as connection:
        ask(connection)
        head = read_head(connection)
        assert not gateway.probe.closed.is_set()
    assert gateway.probe.closed.wait(20)
    assert eventually(gateway, lambda: only_engine(gateway)["busy"] == 0)
    request_id = head.partition(b"x-request-id: ")[2][:32].decode()

    def state() -> str:
        answer: str = gateway.client.get(f"/v1/speech/{request_id}").json()["state"]
        return answer

    assert eventually(gateway, lambda: state() != "running")
    assert state() == "cancelled"


def test_a_client_that_reset_the_connection_counts_as_gone(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine(SILENT)
    with gateway.connection() as connection:
        ask(connection)
        assert gateway.probe.begun.wait(20)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert gateway.probe.closed.wait(20)


def test_an_engine_is_not_blamed_for_clients_that_leave(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine(SILENT)
    for _ in range(8):
        gateway.probe.begun.clear()
        gateway.probe.closed.clear()
        with gateway.connection() as connection:
            ask(connection)
            assert gateway.probe.begun.wait(20)
        assert gateway.probe.closed.wait(20)
    assert only_engine(gateway)["state"] == "up"


def test_bytes_of_a_next_request_are_not_taken_for_a_departure(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine("{kind: tone, first_audio_ms: 50}")
    with gateway.connection() as connection:
        ask(connection)
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.endswith(b'{"status":"ok"}')


def test_a_speech_that_breaks_off_is_seen_to_be_incomplete(
    with_engine: Callable[..., Gateway], errors_logged: pytest.LogCaptureFixture
) -> None:
    gateway = with_engine("{kind: probe, does: cut}", on_interruption="abort", retries=0)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    connection.request("POST", "/v1/speech", json.dumps({"input": "one two", "response_format": "pcm"}))
    response = connection.getresponse()
    assert response.status == 200
    with pytest.raises(http.client.IncompleteRead) as caught:
        response.read()
    assert caught.value.partial
    connection.close()

    request_id = response.headers["x-request-id"]
    outcome = gateway.client.get(f"/v1/speech/{request_id}").json()
    assert outcome["state"] == "interrupted"
    assert outcome["complete"] is False
    assert outcome["error"]["code"] == "interrupted"
    assert outcome["bytes"] > 0
    warnings = [one for one in errors_logged.records if one.levelno == logging.WARNING]
    (facts,) = [facts_of(one) for one in warnings if facts_of(one).get("request_id") == request_id]
    assert (facts["engine"], "the probe breaks off" in str(facts["reason"])) == ("only", True)
    assert "Traceback" not in errors_logged.text
    assert "without completing" not in errors_logged.text


def test_a_speech_that_breaks_off_has_no_last_chunk(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine("{kind: probe, does: cut}", on_interruption="abort", retries=0)
    with gateway.connection() as connection:
        ask(connection)
        answer = read_all(connection)  # ends because the server closes the connection
    assert b"transfer-encoding: chunked" in answer
    assert not answer.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(("version", "stream"), [("1.1", False), ("1.0", True)])
def test_what_breaks_off_before_anything_was_sent_has_a_status(
    with_engine: Callable[..., Gateway], version: str, stream: bool
) -> None:
    gateway = with_engine("{kind: probe, does: cut}", on_interruption="abort", retries=0)
    with gateway.connection() as connection:
        ask(connection, version=version, stream=stream)
        assert read_head(connection).startswith(b"HTTP/1.1 502")


def test_an_http_1_0_client_gets_a_length(gateway: Gateway) -> None:
    with gateway.connection() as connection:
        ask(connection, version="1.0", input="an old proxy asks")
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
    assert int(length.partition(b" ")[2]) == len(body) > 0


def test_a_reader_who_is_too_slow_holds_the_engine_back(
    with_engine: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.flight.flight.KEPT_BYTES", 100_000)
    gateway = with_engine(ENDLESS, on_interruption="abort")
    with gateway.connection() as connection:
        # the kernel holds less than what the engine may give before it is cut for never ending
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        ask(connection, sample_rate=48000)
        read_head(connection)

        def at_rest() -> bool:
            before: int = gateway.probe.chunks
            for _ in range(50):
                gateway.client.get("/livez")
            return before == gateway.probe.chunks

        assert eventually(gateway, at_rest)  # buffers are full; the engine waits for the reader
        made = gateway.probe.chunks
        assert made * 48000 < 64_000_000
        reader = threading.Thread(target=lambda: [connection.recv(1 << 20) for _ in range(200)])
        reader.start()
        assert eventually(gateway, lambda: gateway.probe.chunks > made)
        reader.join(20)
    assert gateway.probe.closed.wait(20)


def test_the_body_is_not_asked_for_when_its_length_is_over_the_limit(gateway: Gateway) -> None:
    with gateway.connection() as connection:
        connection.sendall(
            b"POST /v1/speech HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2000000\r\n\r\n"
        )
        assert read_head(connection).startswith(b"HTTP/1.1 413")


def test_a_client_that_leaves_while_sending_its_body_is_nothing_to_complain_about(
    gateway: Gateway, errors_logged: pytest.LogCaptureFixture
) -> None:
    with gateway.connection() as connection:
        connection.sendall(b'POST /v1/speech HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"input":')
        gateway.client.get("/livez")
    for _ in range(20):
        gateway.client.get("/livez")
    assert not [one for one in errors_logged.records if one.levelno >= logging.WARNING]


def test_a_body_may_come_in_pieces(gateway: Gateway) -> None:
    def pieces() -> Iterator[bytes]:
        for byte in b'{"input": "in pieces"}':
            yield bytes([byte])

    assert gateway.client.post("/v1/speech", content=pieces()).status_code == 200


def test_bytes_that_are_no_http_are_refused(gateway: Gateway) -> None:
    with gateway.connection() as connection:
        connection.sendall(b"hello\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 400")


def test_a_body_that_never_ends_is_given_up(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.body.BODY_WITHIN_S", 0.2)
    with gateway.connection() as connection:
        connection.sendall(b"POST /v1/speech HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_beyond_what_one_process_works_on_requests_are_told_so_at_once_and_it_stays_alive(
    with_engine: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "MOST_AT_ONCE", 2)
    gateway = with_engine(SILENT)
    with gateway.connection() as one, gateway.connection() as two:
        for number, connection in enumerate((one, two)):
            ask(connection, input=f"text {number}")
        assert eventually(gateway, lambda: gateway.runtime.in_flight == 2)
        refused = gateway.speech()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "busy")
        assert refused.headers["retry-after"] == "1"
        assert gateway.client.get("/livez").status_code == 200
    assert eventually(gateway, lambda: gateway.runtime.in_flight == 0)


def test_as_many_files_are_taken_as_there_may_be() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert capacity.most_at_once() == 192
        capacity.take_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, capacity.ENOUGH_FILES), hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
