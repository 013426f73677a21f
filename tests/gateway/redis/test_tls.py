"""A Redis behind TLS: trusted by the certificate in redis.ca_file alone, and by the name in the url.

TLS ends in a small proxy before the server, because not every redis-server at hand was built with it.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.redis.store import Store
from tests.redis_at_hand import RedisServer

MakeStore = Callable[..., Store]


@dataclass(frozen=True)
class Authority:
    """A certificate authority, and a server's certificate for `localhost` from it."""

    ca_file: Path
    certificate: Path
    key: Path


def make_authority(folder: Path) -> Authority:
    openssl = shutil.which("openssl") or pytest.fail("no openssl is found: apt-get install openssl", pytrace=False)
    folder.mkdir()
    made = Authority(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]
    ca_key = folder / "ca.key"
    ca = ["-subj", "/CN=tests", "-addext", "keyUsage=critical,keyCertSign", "-keyout", str(ca_key)]
    server = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(made.key)]
    signed = ["-CA", str(made.ca_file), "-CAkey", str(ca_key), "-addext", "basicConstraints=CA:FALSE"]
    for how, out in [(ca, made.ca_file), (server + signed, made.certificate)]:
        subprocess.run([openssl, "req", "-x509", *curve, *how, "-out", str(out)], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture
async def tls_port(authority: Authority, shared_redis: RedisServer) -> AsyncGenerator[int, None]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.certificate, authority.key)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_behind = await asyncio.open_connection("127.0.0.1", shared_redis.port)
        await asyncio.gather(pump(reader, to_behind), pump(behind, writer), return_exceptions=True)

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_trusted_certificate_lets_redis_be_used(
    authority: Authority, tls_port: int, make_store: MakeStore
) -> None:
    store = make_store(f"rediss://localhost:{tls_port}/0", ca_file=authority.ca_file)
    await store.start()
    assert (store.state, store.reason) == ("up", "")
    await store.call(lambda ask: ask("SET", "k", "v"))
    assert await store.call(lambda ask: ask("GET", "k")) == b"v"


async def test_a_certificate_of_another_authority_or_name_does_not(
    authority: Authority, tls_port: int, make_store: MakeStore, tmp_path: Path
) -> None:
    other = make_authority(tmp_path / "other")
    for url, ca_file in [
        (f"rediss://localhost:{tls_port}", other.ca_file),
        (f"rediss://localhost:{tls_port}", None),
        (f"rediss://127.0.0.1:{tls_port}", authority.ca_file),
    ]:
        store = make_store(url, ca_file=ca_file)
        await store.start()
        assert store.state == "down"
        assert store.reason.startswith("its certificate is not trusted: ")
        assert str(tls_port) not in store.reason


async def test_a_server_that_speaks_no_tls_is_told_as_that(make_store: MakeStore) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"-ERR unknown command\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        store = make_store(f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await store.start()
    assert store.state == "down"
    assert store.reason.startswith("no TLS with it: ")
