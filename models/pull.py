"""What a model's files are on the hubs, and all of them here: surveyed, room made sure of, fetched into one folder.

Knows nothing about what becomes of the files, nor about engines: sources are whatever has the fields below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Protocol

import httpx

from models.download import PART, RECORD, download, here_bytes, is_whole
from models.hub import Connection, Hub, HubError, Patience, RemoteFile, Unreachable
from models.room import free_bytes, standing, told_bytes

#: hears a file's place, how many of its bytes are here, and how many it has
Heard = Callable[[str, int, int], None]


class Wanted(Protocol):
    """A path or pattern in a repository, and where it goes: a name, a folder with a `/` at the end, or its own path."""

    @property
    def path(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def optional(self) -> bool: ...


class Source(Protocol):
    """A repository, by its id on each hub that has it; beside `files` it has a field for each hub's name."""

    @property
    def files(self) -> Sequence[Wanted]: ...
    @property
    def huggingface(self) -> str: ...
    @property
    def modelscope(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Fetch:
    """A file to be fetched: from where, and to which path below the download folder."""

    hub: Hub
    repository: str
    url: str
    remote: RemoteFile
    place: str


class Lines:
    """A connection to each hub, made when it is needed; all share one client."""

    def __init__(self, client: httpx.Client, patience: Patience) -> None:
        self._client, self._patience = client, patience

    def to(self, hub: Hub) -> Connection:
        return Connection(hub, self._client, self._patience)


def survey(
    sources: Sequence[Source], hubs: Sequence[Hub], others: Sequence[Hub], revision: str, lines: Lines
) -> list[Fetch]:
    """Every file that the sources want, each repository from the first of `hubs` that lists it and has all of it.

    A repository that is on none of `hubs` is looked for on `others`; one of which an earlier source brings all files
    is not asked. `revision` is one of the first source's repository, the model's own; the others are taken at their
    newest. Raises HubError with each hub's reason.
    """
    found: dict[str, Fetch] = {}
    down: dict[str, str] = {}  # hubs that could not be reached, and why: they are not waited for again
    for number, source in enumerate(sources):
        lacking = [one for one in source.files if _meant(one, one.path) not in found]
        able = [hub for hub in hubs if _id(source, hub)] or [hub for hub in others if _id(source, hub)]
        if lacking:
            for fetch in _survey_one(source, able, revision if number == 0 else "", lines, down):
                found.setdefault(fetch.place, fetch)
    return list(found.values())


def _id(source: Source, hub: Hub) -> str:
    repository: str = getattr(source, hub.name)
    return repository


def _survey_one(source: Source, hubs: Sequence[Hub], revision: str, lines: Lines, down: dict[str, str]) -> list[Fetch]:
    reasons: list[str] = []
    for hub in hubs:
        if hub.name in down:
            reasons.append(down[hub.name])
            continue
        repository, at = _id(source, hub), revision or hub.revision
        try:
            listed = hub.list(lines.to(hub), repository, at)
            return [
                Fetch(hub, repository, hub.address(repository, at, remote.path), remote, place)
                for remote, place in _select(source.files, listed, f"{repository} on {hub.title} at {at}")
            ]
        except HubError as error:
            if isinstance(error, Unreachable):
                down[hub.name] = str(error)
            reasons.append(str(error))
    raise HubError("; ".join(reasons))


def _select(files: Sequence[Wanted], listed: Sequence[RemoteFile], where: str) -> Iterator[tuple[RemoteFile, str]]:
    for wanted in files:
        matching = [one for one in listed if fnmatchcase(one.path, wanted.path)]
        if not matching and not wanted.optional:
            raise HubError(f"{where} has no {wanted.path}: is the revision right?")
        for one in matching:
            yield one, _place(wanted, one, where)


def _place(wanted: Wanted, remote: RemoteFile, where: str) -> str:
    """Where it goes, as a path that stays below the download folder. Raises HubError for one that would not."""
    place = _meant(wanted, remote.path)
    parts = PurePosixPath(place).parts
    if not parts or place.startswith("/") or ".." in parts or any(char in place for char in "\\\0:"):
        raise HubError(f"{where} names a file {remote.path!r}, which would not stay in the download folder: refused")
    return str(PurePosixPath(place))


def _meant(wanted: Wanted, path: str) -> str:
    """Where the recipe wants a file that has this path in its repository."""
    return wanted.place + path if wanted.place.endswith("/") else wanted.place or path


def missing(fetches: Sequence[Fetch], folder: Path, heard: Heard) -> list[Fetch]:
    """Those of them that are not whole below `folder`; what is there is read to be sure."""
    here = [one for one in fetches if (folder / one.place).is_file()]
    whole, done, found = sum(one.remote.size_bytes for one in here), 0, []
    for one in here:
        heard("reading what is here", done, whole)
        if is_whole(folder / one.place, one.remote):
            found.append(one.place)
        done += one.remote.size_bytes
    return [one for one in fetches if one.place not in found]


def check_room(fetches: Sequence[Fetch], folder: Path, bundle_bytes: int) -> None:
    """Raises HubError when the disk has no room for what is left to fetch and for the bundle that is made of it."""
    left = sum(one.remote.size_bytes - here_bytes(folder / one.place, one.remote) for one in fetches)
    if left + bundle_bytes > (free := free_bytes(folder)):
        bundle = f" and about {told_bytes(bundle_bytes)} for the bundle" if bundle_bytes else ""
        raise HubError(
            f"{standing(folder)} has room for {told_bytes(free)}, and {told_bytes(left)} are to be fetched{bundle}: "
            "make room (`voxgate models prune` may help), or name another data_dir in gateway.yaml"
        )


def fetch_all(fetches: Sequence[Fetch], wanted: Sequence[Fetch], folder: Path, lines: Lines, heard: Heard) -> None:
    """Fetch into `folder` and leave nothing there but `wanted`. Raises HubError and OSError; the parts stay then."""
    _drop_strays(folder, {one.place for one in wanted})
    for one in fetches:
        here = _heard_of(one, heard)
        download(lines.to(one.hub), one.repository, one.url, one.remote, folder / one.place, here)
        here(one.remote.size_bytes)


def _heard_of(fetch: Fetch, heard: Heard) -> Callable[[int], None]:
    return lambda done: heard(fetch.place, done, fetch.remote.size_bytes)


def _drop_strays(folder: Path, places: set[str]) -> None:
    """Take away what an earlier download left that is no part of this one: an export would read it too."""
    kept = {place + ending for place in places for ending in ("", PART, RECORD)}
    for path in folder.rglob("*"):
        if not path.is_dir() and path.relative_to(folder).as_posix() not in kept:
            path.unlink()
