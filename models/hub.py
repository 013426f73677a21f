"""The two hubs from which models are fetched: what a repository holds, where each file is, and why one cannot be had.

Knows nothing about what is in the files, nor about engines; `models/download.py` brings them here. Protocols: Hugging
Face's tree and resolve routes (https://huggingface.co/docs/hub/api), ModelScope's `repo/files` and `repo`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import httpx

#: connecting, and waiting for the next bytes; a connection that stalls for longer counts as cut
CONNECT_S, READ_S = 10.0, 30.0
USER_AGENT = "voxgate"


class HubError(ValueError):
    """A file or list that cannot be had; the message says why and what to do."""


class Denied(HubError):
    """The hub answers, and says no: trying again helps nothing."""


class Unreachable(HubError):
    """The hub cannot be reached or is busy; it may be worth another try, after `wait_s` where the hub asks for it."""

    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as a hub lists it."""

    path: str  # inside the repository
    size_bytes: int
    sha256: str = ""  # empty: the hub tells none
    git_sha1: str = ""  # git's name of a file that stands in the repository itself: sha1("blob SIZE\0" + content)


@dataclass(frozen=True)
class Hub:
    """A hub at an address that the environment may move; what differs between hubs is in the classes below.

    The token goes to the hub itself, never to the host to which it redirects, and into no message.
    """

    endpoint: str
    token: str = field(default="", repr=False)

    name: ClassVar[str]  # on the command line
    title: ClassVar[str]
    home: ClassVar[str]  # its endpoint unless `endpoint_variable` names another
    endpoint_variable: ClassVar[str]
    token_variables: ClassVar[tuple[str, ...]]
    revision: ClassVar[str]  # of a repository, when none is named

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Hub:
        """The hub as environment variables describe it. Raises HubError for an endpoint that is none."""
        endpoint = (environ.get(cls.endpoint_variable) or cls.home).rstrip("/")
        try:
            url = httpx.URL(endpoint)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query:
            raise HubError(f"{cls.endpoint_variable} is no address of a hub: write https://HOST, without a user's name")
        token = next((environ[name] for name in cls.token_variables if environ.get(name)), "").strip()
        if token and url.scheme == "http" and not _near(url.host):
            raise HubError(
                f"{cls.endpoint_variable} is {endpoint}: a token would be readable on the way; "
                f"use https, or unset {cls.token_variables[0]}"
            )
        return cls(endpoint, token)

    def headers(self) -> dict[str, str]:
        """What the hub itself must be told to let this user in."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def page(self, repository: str) -> str:
        """Where people read about a repository."""
        return f"{self.endpoint}/{repository}"

    def address(self, repository: str, revision: str, path: str) -> str:
        """The URL of a file."""
        raise NotImplementedError

    def list(self, connection: Connection, repository: str, revision: str) -> list[RemoteFile]:
        """All files of a repository. Raises HubError."""
        raise NotImplementedError

    def denial(self, status: int, code: str, repository: str) -> str:
        """What to do about a refusal. `code` is the hub's own word for it, where it has one."""
        variable, page = self.token_variables[0], self.page(repository)
        if status == 401 and self.token:
            return f"the token in {variable} is not taken: make a new one that may read this repository"
        if status == 401:
            return f"there is no such repository that everybody may read: if it is private, set {variable}"
        if status == 403:
            whose = f"with the account whose token is in {variable}" if self.token else f"and set {variable}"
            return f"accept its licence on {page} {whose}"
        if code == "RevisionNotFound":
            return "it has no such revision: look for its branches and tags on that page"
        return f"look for it on {page}, or on the other hub with --hub"


class HuggingFace(Hub):
    """huggingface.co, or a mirror that speaks as it does."""

    name = "huggingface"
    title = "Hugging Face"
    home = "https://huggingface.co"
    endpoint_variable = "HF_ENDPOINT"
    token_variables = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    revision = "main"

    def address(self, repository: str, revision: str, path: str) -> str:
        return f"{self.endpoint}/{quote(repository)}/resolve/{quote(revision, safe='')}/{quote(path)}"

    def list(self, connection: Connection, repository: str, revision: str) -> list[RemoteFile]:
        files: list[RemoteFile] = []
        url = f"{self.endpoint}/api/models/{quote(repository)}/tree/{quote(revision, safe='')}"
        query = "recursive=1"
        while query:
            answer = connection.ask(f"{url}?{query}", repository)
            with _shape(self):
                if not isinstance(entries := answer.json(), list):
                    raise TypeError("no list")
                files += [self._file(entry) for entry in entries if entry["type"] == "file"]
            # A mirror's link may lead to the hub that it mirrors: only the cursor is taken from it.
            following = urlsplit(answer.links.get("next", {}).get("url", "")).query
            query = following if following != query else ""
        return files

    def _file(self, entry: dict[str, Any]) -> RemoteFile:
        if lfs := entry.get("lfs"):
            return RemoteFile(entry["path"], int(lfs["size"]), _hex(lfs["oid"], 64))
        return RemoteFile(entry["path"], int(entry["size"]), git_sha1=_hex(entry["oid"], 40))


class ModelScope(Hub):
    """modelscope.cn. Tokens of its older routes are cookies, so both forms are sent, as its own client does."""

    name = "modelscope"
    title = "ModelScope"
    home = "https://modelscope.cn"
    endpoint_variable = "MODELSCOPE_ENDPOINT"
    token_variables = ("MODELSCOPE_API_TOKEN",)
    revision = "master"

    def headers(self) -> dict[str, str]:
        return super().headers() | ({"Cookie": f"m_session_id={self.token}"} if self.token else {})

    def page(self, repository: str) -> str:
        return f"{self.endpoint}/models/{repository}"

    def address(self, repository: str, revision: str, path: str) -> str:
        where = f"{self.endpoint}/api/v1/models/{quote(repository)}/repo"
        return f"{where}?Revision={quote(revision, safe='')}&FilePath={quote(path, safe='')}"

    def list(self, connection: Connection, repository: str, revision: str) -> list[RemoteFile]:
        where = f"{self.endpoint}/api/v1/models/{quote(repository)}/repo/files"
        answer = connection.ask(f"{where}?Revision={quote(revision, safe='')}&Recursive=true", repository)
        with _shape(self):
            # an unknown revision is an empty list here, which the caller finds to lack what it wants
            entries = answer.json()["Data"]["Files"] or []
            return [
                RemoteFile(entry["Path"], int(entry["Size"]), _hex(entry.get("Sha256") or "", 64))
                for entry in entries
                if entry["Type"] != "tree"
            ]


#: in the order in which they are tried
HUBS: tuple[type[Hub], ...] = (HuggingFace, ModelScope)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often something is tried again that failed, and how long is waited before: 1 s, 2 s, 4 s, …"""

    tries: int
    sleep: Callable[[float], None]
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0

    def wait(self, failures: int, error: Unreachable) -> None:
        """Wait after the `failures`th failure in a row; raises `error` when that was the last try."""
        if failures >= self.tries:
            raise error
        self.sleep(min(max(self.first_wait_s * 2 ** (failures - 1), error.wait_s), self.longest_wait_s))


class Connection:
    """HTTP to one hub and to where it redirects. Certificates, proxies and their variables are httpx's."""

    def __init__(self, hub: Hub, client: httpx.Client, patience: Patience) -> None:
        self.hub = hub
        self.patience = patience
        self._client = client

    def ask(self, url: str, repository: str) -> httpx.Response:
        """A small answer, whole. Raises HubError when it cannot be had after some tries."""
        for failures in range(1, self.patience.tries + 1):
            try:
                with self.open(url, repository) as response:
                    response.read()
                    return response
            except Unreachable as error:
                self.patience.wait(failures, error)
        raise AssertionError("the last failure is raised")

    @contextlib.contextmanager
    def open(self, url: str, repository: str, more: Mapping[str, str] | None = None) -> Iterator[httpx.Response]:
        """An answer whose body is read by the caller, as bytes of the file itself. Raises Denied and Unreachable."""
        headers = {**self.hub.headers(), "Accept-Encoding": "identity", "User-Agent": USER_AGENT, **(more or {})}
        try:
            # httpx drops Authorization and Cookie where a redirect leaves the origin
            with self._client.stream("GET", url, headers=headers, follow_redirects=True) as response:
                self._judge(response, repository)
                yield response
        except httpx.RequestError as error:
            raise self._unreachable(error) from error

    def _judge(self, response: httpx.Response, repository: str) -> None:
        status, away = response.status_code, response.url.netloc != httpx.URL(self.hub.endpoint).netloc
        if response.is_success or status == 416:  # the range that was asked for is not there: the caller starts over
            return
        if status in (408, 425, 429) or status >= 500 or (away and status in (401, 403)):
            # a signed address of a store that has run out is one of the last two: the next try gets a new one
            busy = Unreachable(f"{self.hub.title} answers {status} for {repository}: try again later; {self.detour()}")
            with contextlib.suppress(ValueError):
                busy.wait_s = float(response.headers.get("retry-after", "0"))
            raise busy
        advice = self.hub.denial(status, response.headers.get("x-error-code", ""), repository)
        raise Denied(f"{self.hub.title} answers {status} for {repository}: {advice}")

    def _unreachable(self, error: httpx.RequestError) -> HubError:
        host = urlsplit(self.hub.endpoint).netloc
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return Denied(f"{host} shows no certificate that is trusted here: name your own with SSL_CERT_FILE")
            cause = cause.__cause__ or cause.__context__
        reason = " ".join(str(error).split()) or type(error).__name__
        never = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
        what = f"{self.hub.title} at {host} cannot be reached" if never else f"{self.hub.title} at {host} was cut off"
        return Unreachable(f"{what} ({reason}): {self.detour()}")

    def detour(self) -> str:
        return f"another address of it may be named with {self.hub.endpoint_variable}, or take the other hub with --hub"


def make_client() -> httpx.Client:
    """For all hubs: it keeps connections open. Raises HubError for a proxy variable that it does not understand."""
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    try:
        return httpx.Client(timeout=timeout, max_redirects=10)
    except ImportError as error:
        raise HubError(
            f"a SOCKS proxy is set, which needs another package: pip install 'httpx[socks]' ({error})"
        ) from None
    except ValueError as error:
        raise HubError(f"a proxy variable cannot be understood: {error}") from None


def _near(host: str) -> bool:
    """Is that this machine, or a private network."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost"


def _hex(digest: str, digits: int) -> str:
    """A digest as it is compared; empty for what is none of that length."""
    digest = digest.removeprefix("sha256:").lower()
    return digest if len(digest) == digits and set(digest) <= set("0123456789abcdef") else ""


@contextlib.contextmanager
def _shape(hub: Hub) -> Iterator[None]:
    """An answer of another shape than a hub's is said to be so."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise HubError(
            f"{hub.endpoint} answers with something else than a list of files ({type(error).__name__}): "
            f"is it a hub? Look at {hub.endpoint_variable}"
        ) from error
