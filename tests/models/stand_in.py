"""A server on this machine that stands in for both hubs, and a second one for the store to which they redirect.

It can cut, stall, refuse and lie as told, once for each entry of `faults`, and notes what was asked and what was sent.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

#: files of the hub that end so stand in the repository itself: they have git's sha1, not a sha256, on Hugging Face
SMALL = (".json", ".yaml")


@dataclass(frozen=True)
class Fault:
    """How one answer for a file goes wrong."""

    status: int = 0  # answered instead of the file
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None  # bytes of the body, then the connection is closed
    hold_after: int | None = None  # bytes of the body, then nothing more comes until the server is told to stop
    wrong: bool = False  # as many bytes, but others
    no_ranges: bool = False  # the whole file, whatever was asked for
    shorter: bool = False  # a file of another size
    sooner: int = 0  # bytes before the ones asked for, where it begins and ends
    early: bool = False  # chunked, and ended properly, half way


@dataclass(frozen=True)
class Asked:
    """One request, and how many bytes of a file were sent for it."""

    server: str  # "hub" or "store"
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    sent: list[int] = field(default_factory=lambda: [0])

    @property
    def file(self) -> str:
        """The path inside the repository that it is about; empty for a list."""
        if self.server == "store":
            return self.path.split("/", 4)[4]
        if "/resolve/" in self.path:
            return self.path.split("/resolve/")[1].partition("/")[2]
        return self.query.get("FilePath", "")


class StandIn:
    """Both hubs, at `url`. `repositories` maps an id to its files."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)  # by path of the file, or "list" for a list
        self.asked: list[Asked] = []
        self.token = ""  # who does not show it is turned away
        self.gated = False
        self.page_size = 1000
        self.etag = ""  # instead of the file's own
        self.untrue: dict[str, bytes] = {}  # listed by what this content would have
        self.extra: list[dict[str, Any]] = []  # entries of Hugging Face's lists that are in no repository
        self.link_host = ""  # where Hugging Face's links to further pages lead
        self.held = threading.Event()  # set when an answer is being held
        self._stop = threading.Event()
        self._servers = {name: _Server(self, name) for name in ("hub", "store")}
        self.url, self.store_url = (self._servers[name].url for name in ("hub", "store"))

    def environ(self, **more: str) -> dict[str, str]:
        return {"HF_ENDPOINT": self.url, "MODELSCOPE_ENDPOINT": self.url, **more}

    def sent_bytes(self, file: str) -> int:
        """How much of a file was sent, by all answers together."""
        return sum(one.sent[0] for one in self.asked if one.file == file)

    def ranges(self, file: str) -> list[str]:
        """What was asked of a file, by each request that was answered with bytes of it or a fault."""
        where = "store" if any(one.server == "store" and one.file == file for one in self.asked) else "hub"
        return [one.headers.get("range", "") for one in self.asked if one.file == file and one.server == where]

    def close(self) -> None:
        self._stop.set()
        for server in self._servers.values():
            server.shutdown()
            server.server_close()


@contextmanager
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    try:
        yield server
    finally:
        server.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, state: StandIn, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state, self.name = state, name
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        state, parts = self.server.state, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.server.name, unquote(parts.path), query, headers)
        state.asked.append(asked)
        if self.server.name == "store":
            self._file(asked, *self._find(asked.path.split("/", 4)[2:]))
        elif state.token and headers.get("authorization") != f"Bearer {state.token}":
            self._say(401, {})
        elif state.gated:
            self._say(403, {}, **{"X-Error-Code": "GatedRepo"})
        elif asked.path.startswith("/api/models/"):
            self._tree(asked)
        elif asked.path.endswith("/repo/files"):
            self._files(asked)
        elif asked.path.endswith("/repo"):
            repository = asked.path.removeprefix("/api/v1/models/").removesuffix("/repo")
            self._file(asked, *self._find([*repository.split("/"), query["FilePath"]]))
        else:
            self._resolve(asked)

    def _find(self, parts: list[str]) -> tuple[str, bytes | None]:
        owner, name, file = parts
        return file, self.server.state.repositories.get(f"{owner}/{name}", {}).get(file)

    def _tree(self, asked: Asked) -> None:
        state, (repository, _, revision) = (
            self.server.state,
            asked.path.removeprefix("/api/models/").rpartition("/tree/"),
        )
        files = state.repositories.get(repository)
        if self._fault_of_list():
            return
        if files is None or revision != "main":
            self._say(404, {}, **{"X-Error-Code": "RepoNotFound" if files is None else "RevisionNotFound"})
            return
        entries: list[dict[str, Any]] = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "folder"}]
        for path, content in files.items():
            listed = state.untrue.get(path, content)
            git = hashlib.sha1(b"blob %d\0" % len(listed) + listed).hexdigest()
            entry: dict[str, Any] = {"type": "file", "oid": git, "size": len(listed), "path": path}
            if not path.endswith(SMALL):
                digest = hashlib.sha256(listed).hexdigest()
                entry |= {"oid": "f" * 40, "lfs": {"oid": digest, "size": len(listed), "pointerSize": 134}}
            entries.append(entry)
        entries += state.extra
        start = int(asked.query.get("cursor", "0"))
        headers = {}
        if (end := start + state.page_size) < len(entries):
            where = state.link_host or state.url
            headers["Link"] = f'<{where}{asked.path}?recursive=1&cursor={end}>; rel="next"'
        self._say(200, entries[start:end], **headers)

    def _files(self, asked: Asked) -> None:
        state, repository = self.server.state, asked.path.removeprefix("/api/v1/models/").removesuffix("/repo/files")
        files = state.repositories.get(repository)
        if self._fault_of_list():
            return
        if files is None:
            self._say(404, {"Code": 10010205001, "Message": "not found", "Success": False})
            return
        entries = [{"Path": "folder", "Size": 0, "Sha256": "", "Type": "tree", "IsLFS": False}]
        for path, content in files.items() if asked.query["Revision"] == "master" else ():
            digest = hashlib.sha256(state.untrue.get(path, content)).hexdigest()
            entries.append({"Path": path, "Size": len(content), "Sha256": digest, "Type": "blob", "IsLFS": True})
        self._say(200, {"Code": 200, "Data": {"Files": entries}, "Message": "", "Success": True})

    def _fault_of_list(self) -> bool:
        if faults := self.server.state.faults["list"]:
            fault = faults.pop(0)
            self._say(fault.status, {}, **fault.headers)
            return True
        return False

    def _resolve(self, asked: Asked) -> None:
        repository, _, rest = asked.path.removeprefix("/").partition("/resolve/")
        file, content = self._find([*repository.split("/"), rest.partition("/")[2]])
        if content is not None and not file.endswith(SMALL):
            self._say(302, {}, Location=f"{self.server.state.store_url}/store/{repository}/{file}?signature=secret")
        else:
            self._file(asked, file, content)

    def _file(self, asked: Asked, file: str, content: bytes | None) -> None:
        state = self.server.state
        fault = state.faults[file].pop(0) if state.faults[file] else Fault()
        if fault.status or content is None:
            self._say(fault.status or 404, {}, **fault.headers)
            return
        if fault.wrong:
            content = bytes(byte ^ 0xFF for byte in content)
        if fault.shorter:
            content = content[:-1]
        begin = 0
        asked_range = asked.headers.get("range", "")
        if asked_range and not fault.no_ranges:
            begin = int(asked_range.removeprefix("bytes=").removesuffix("-")) - fault.sooner
            if begin >= len(content):
                self._say(416, {}, **{"Content-Range": f"bytes */{len(content)}"})
                return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", state.etag or f'"{hashlib.md5(content).hexdigest()}"')
        body = content[begin : len(content) - fault.sooner]
        if fault.early:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            half = body[: len(body) // 2]
            asked.sent[0] = len(half)
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(half), half))
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        end = min(len(body), *(n for n in (fault.cut_after, fault.hold_after, len(body)) if n is not None))
        asked.sent[0] = end
        self.wfile.write(body[:end])
        if fault.hold_after is not None:
            self.wfile.flush()
            state.held.set()
            state._stop.wait()
        if end < len(body):
            self.close_connection = True

    def _say(self, status: int, answer: object, **headers: str) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
