"""Why a server cannot be reached, in words for clients: without its address, and without the names of Python's classes.

Knows no protocol: what a library raises of its own is for the engine that uses it.
"""

from __future__ import annotations

import os
import re
import socket
import ssl

#: asyncio tells of several addresses of one name, each with its own text, in the text alone
_NUMBER = re.compile(r"\[Errno (-?\d+)\]")


def why(error: OSError | EOFError) -> str:
    """What ended a connection before there was an answer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted here"
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS as this machine does"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, EOFError):
        return "it closed the connection without an answer"
    numbers = {error.errno} if error.errno else {int(one) for one in _NUMBER.findall(str(error))}
    if len(numbers) == 1 and (number := numbers.pop()) > 0:
        return os.strerror(number).lower()
    return "the connection failed"
