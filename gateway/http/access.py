"""Who may see what. As long as there are no keys: details of engines are for this machine's own programs."""

import ipaddress

from litestar.types import HTTPScope, Scope


def sees_details(scope: HTTPScope | Scope) -> bool:
    """Does the request come from this machine. Behind a trusted proxy, the address is the one that it names."""
    client = scope.get("client")
    if not client:
        return True  # a unix socket
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
