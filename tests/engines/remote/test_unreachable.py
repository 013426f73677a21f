from __future__ import annotations

import errno
import socket
import ssl

import pytest

from engines.remote.unreachable import why
from tests.redis_at_hand import free_port


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "its name is not known"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.1', 443)"), "connection refused"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "connection reset by peer"),
        (OSError(errno.EHOSTUNREACH, "10.0.0.1"), "no route to host"),
        (OSError("Multiple exceptions: [Errno 111] ('::1', 1), [Errno 111] ('127.0.0.1', 1)"), "connection refused"),
        (OSError("Multiple exceptions: [Errno 111] ('::1', 1), [Errno 113] ('10.0.0.1', 1)"), "the connection failed"),
        (OSError("10.0.0.1 is no good"), "the connection failed"),
        (EOFError(), "it closed the connection without an answer"),
        (ssl.SSLCertVerificationError(1, "self-signed"), "its certificate is not trusted here"),
        (ssl.SSLError(1, "wrong version number"), "it does not speak TLS as this machine does"),
    ],
)
def test_it_is_told_in_words_without_an_address_or_a_class_of_python(error: OSError | EOFError, words: str) -> None:
    assert why(error) == words


def test_a_port_where_nobody_listens_refuses() -> None:
    with pytest.raises(OSError, match="refused") as caught:
        socket.create_connection(("127.0.0.1", free_port()))
    assert why(caught.value) == "connection refused"
