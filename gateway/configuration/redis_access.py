"""What it takes to be let in by the Redis of gateway.yaml, and what of it is missing on this machine."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from gateway.configuration.redis_url import read_redis_url
from gateway.configuration.settings import Redis
from gateway.configuration.yaml import Document


def note_redis_findings(document: Document, settings: Redis, environ: Mapping[str, str]) -> None:
    """Note a password that is not there, and certificates that cannot be read. The first is a warning: speech needs
    no Redis."""
    if not settings.url:
        return
    name = settings.password_env
    if name and not environ.get(name):
        text = f"the environment variable {name} is not set: Redis will be spoken to without a password"
        document.problem(("redis", "password_env"), text, warning=True)
    if settings.ca_file is None:
        return
    if not read_redis_url(settings.url).tls:
        text = "is used only for a url that begins with rediss://: change one of the two"
        document.problem(("redis", "ca_file"), text, warning=True)
        return
    try:
        ssl.create_default_context(cafile=settings.ca_file)
    except ssl.SSLError:
        document.problem(("redis", "ca_file"), "holds no certificates: it must be a file in PEM form")
    except OSError as error:
        document.problem(("redis", "ca_file"), f"cannot be read ({error.strerror}): check path and permissions")
