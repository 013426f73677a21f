"""What must not stand in a configuration file: secrets written out, and endpoints in the clear on a public network.

Works on what is written, before it is typed, so that a secret in a misspelled field is found too. Repeats no value.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from gateway.configuration.variables import without_references
from gateway.configuration.yaml import Document
from policies.strict import Loc

_SECRET_FIELD = re.compile(r"(^|_)(api_?key|password|passphrase|token|secret|authorization)$")
_ENV_FIELD = re.compile(r"_env$")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URL = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")
#: networks that only this machine or its owner's network can be; RFC 1918, 3927, 4193, 4291, 1122
_PRIVATE = [
    *map(ipaddress.ip_network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")),
    *map(ipaddress.ip_network, ("::1/128", "fc00::/7", "fe80::/10")),
]
#: names that public DNS never holds: RFC 6761 and 6762, ICANN's .internal, RFC 8375
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa")


def note_secrets(document: Document) -> None:
    """Note every literal secret in the document; its path counts as told, so that nothing else is said of it."""
    for path, place in list(document.places.items()):
        if place.raw is None:
            continue
        field = _field(path)
        written = without_references(place.raw)
        if _ENV_FIELD.search(field) and place.raw and not _ENV_NAME.fullmatch(place.raw):
            _refuse(document, path, "must be the name of an environment variable, not the secret itself")
        elif _SECRET_FIELD.search(field) and re.sub(r"(?i)\b(bearer|basic|token)\b", "", written).strip():
            advice = f"write `{field}_env: NAME` and put the secret into the environment variable NAME"
            if field.endswith("authorization"):
                advice = 'write "Bearer ${NAME}" and put the secret into the environment variable NAME'
            _refuse(document, path, f"a secret does not belong in a file: {advice}")
        elif _URL.match(place.raw) and _has_password(place.raw):
            _refuse(
                document,
                path,
                "a password in a URL does not belong in a file: write it as ${NAME} and put the secret into the "
                "environment variable NAME",
            )


def note_clear_endpoints(document: Document) -> None:
    """Note every http:// and ws:// endpoint that leaves the private network."""
    for path, place in list(document.places.items()):
        if place.raw is None or path in document.broken:
            continue
        value = document.value(path)
        if isinstance(value, str) and re.match(r"\s*(http|ws)://", value, re.IGNORECASE) and not is_private(value):
            secure = "https://" if value.strip().lower().startswith("http") else "wss://"
            document.problem(
                path, f"an unencrypted endpoint may only be on loopback or a private address: write {secure}"
            )


def is_private(url: str) -> bool:
    """Is the host of `url` this machine or on its owner's own network, as far as its name tells without DNS."""
    try:
        host = (urlsplit(url.strip()).hostname or "").lower()
    except ValueError:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        single_label = re.fullmatch(r"[a-z](?:[a-z0-9_-]*[a-z0-9])?", host)  # a container's or a LAN host's name
        return bool(single_label) or host.endswith(_PRIVATE_SUFFIXES)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in _PRIVATE if network.version == address.version)


def _field(path: Loc) -> str:
    """The field that the value at `path` belongs to; empty where people choose the names themselves."""
    if len(path) > 1 and path[-2] in ("aliases", "models", "engines"):
        return ""
    names = [part for part in path if isinstance(part, str)]
    return names[-1].lower().replace("-", "_") if names else ""


def _has_password(raw: str) -> bool:
    """Does user:password@ stand in the URL, as anything but a reference to the environment."""
    authority = re.split(r"[/?#]", raw.split("://", 1)[1], maxsplit=1)[0]
    user_info, at, _ = authority.rpartition("@")
    _, colon, password = user_info.partition(":")
    return bool(at and colon and without_references(password).strip())


def _refuse(document: Document, path: Loc, message: str) -> None:
    document.problem(path, message)
    document.broken.add(path)
