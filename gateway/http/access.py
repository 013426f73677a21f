"""Who asks, and what they may see.

                          no key needed for          details of engines, /metrics, /v1/admin
    `auth: none`          everybody                  an admin key, or a program on this machine
    `auto`, no keys       programs on this machine   the same
    `auto` with keys      nobody                     an admin key
    `keys`                nobody                     an admin key

A program on this machine is one whose request nobody passed on: a proxy beside the gateway connects from this machine
too, and the whole world may be behind it. One that says for whom it asks is believed that far, whether or not it is
among `listen.trusted_proxies`: an address elsewhere in `x-forwarded-for` is enough to be from elsewhere. A proxy that
says nothing cannot be told from a program here; whoever puts one in front needs keys.

Knows nothing about how keys are stored.
"""

import ipaddress
import logging
from typing import Final

from litestar.types import HTTPScope, Scope

from gateway.clock import Clock
from gateway.configuration.load import Config
from gateway.http.body import header
from gateway.keys.caller import Caller
from gateway.refusals import Forbidden, Unauthorized

logger = logging.getLogger("voxgate.http")

#: where proxies say for whom they ask
_ADDRESSES: Final = frozenset((b"x-forwarded-for", b"x-real-ip"))
_PASSED_ON: Final = _ADDRESSES | {b"forwarded"}


def identify(scope: HTTPScope | Scope, config: Config, clock: Clock) -> Caller:
    """Who asks for what is not everybody's to ask. Raises Unauthorized, which tells nothing about keys there are."""
    if not config.needs_keys:
        if config.settings.auth == "none" or is_local(scope):
            return config.keys.anybody
        raise Unauthorized(
            "there are no API keys yet, and without one only programs on the gateway's own machine may ask: its "
            "operator makes one by `voxgate keys add NAME`, or writes `auth: none` in gateway.yaml to let everybody in"
        )
    presented = presented_key(scope)
    if presented is None:
        raise Unauthorized("an API key is needed: send it in the header `Authorization: Bearer KEY`")
    caller = _holder(presented, config, clock)
    if caller is None:
        raise Unauthorized("this API key is not valid")
    return caller


def sees_details(scope: HTTPScope | Scope, config: Config, clock: Clock) -> bool:
    """May whoever asks see details of engines: with an admin key, or on this machine while no key is needed."""
    presented = presented_key(scope)
    caller = None if presented is None else _holder(presented, config, clock)
    return (caller is not None and caller.admin) or (not config.needs_keys and is_local(scope))


def require_admin(scope: HTTPScope | Scope, config: Config, clock: Clock) -> None:
    """Let pass who may see details of engines. Raises Unauthorized for who sent no valid key, and Forbidden."""
    if not sees_details(scope, config, clock):
        identify(scope, config, clock)
        raise Forbidden("this needs an admin key: the gateway's operator makes one by `voxgate keys add NAME --admin`")


def presented_key(scope: HTTPScope | Scope) -> bytes | None:
    """The key that was sent; None when there is none."""
    value = header(scope, b"authorization")
    if value is None:
        return None
    scheme, _, key = value.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else None


def is_local(scope: HTTPScope | Scope) -> bool:
    """Does the request come from a program on this machine. Behind a trusted proxy, the address is the one it names."""
    client = scope.get("client")  # none: a unix socket
    if client and client[0] != "127.0.0.1" and not _is_loopback(client[0]):  # the usual one without a look at it
        return False
    return not any(name in _PASSED_ON and not _names_loopback(name, value) for name, value in scope["headers"])


def _holder(presented: bytes, config: Config, clock: Clock) -> Caller | None:
    """Whose key it is, unless it has expired or was revoked; then the log says so, and the client hears no more."""
    key = config.keys.find(presented)
    if key is None:
        return None
    if (state := key.state(clock.now())) != "active":
        logger.info("somebody sent the key %r, which is %s", key.caller.name, state)
        return None
    return key.caller


def _names_loopback(name: bytes, value: bytes) -> bool:
    """Does a proxy's header name none but this machine."""
    return name in _ADDRESSES and all(_is_loopback(one.strip()) for one in value.decode("latin-1").split(","))


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    # as a socket that takes both kinds of addresses writes one of the older kind
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
