"""Where a gateway listens: the socket, its address, and whether other machines can reach it. Knows nothing of HTTP."""

from __future__ import annotations

import ipaddress
import socket

import click


def is_loopback(host: str) -> bool:
    """Do only this machine's own programs reach `host`. A name counts when all its addresses do."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


def bind(host: str, port: int) -> socket.socket:
    """A bound socket. Raises ClickException with the reason and what to do."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}: {error.strerror or error}") from None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(where)
        sock.listen(2048)
    except OSError as error:
        sock.close()
        advice = "stop the other program or choose another with --port" if error.errno == 98 else "choose another"
        raise click.ClickException(f"cannot listen on {host} port {port}: {error.strerror}; {advice}") from None
    sock.set_inheritable(True)
    return sock


def address(sock: socket.socket) -> str:
    """Where a bound socket is reached, as a URL."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
