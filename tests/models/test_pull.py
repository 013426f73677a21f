"""A download: which files, from which hub, into which place, and whether there is room."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

import models.pull
from engines.contract import HubFile, HubSource
from models.hub import Denied, Hub, HubError, HuggingFace, ModelScope
from models.pull import Fetch, Lines, check_room, fetch_all, missing, survey
from models.room import SPARE_BYTES
from tests.models.stand_in import Fault, StandIn

MAIN = HubSource(
    (HubFile("net.bin"), HubFile("parts/*"), HubFile("extra/*", optional=True)),
    huggingface="a/main",
    modelscope="b/main",
)
CODEC = HubSource(
    (HubFile("codec/model.bin", "cache/codec.bin"), HubFile("config.json", "cache/")), huggingface="a/aux"
)


@pytest.fixture
def server(server: StandIn) -> StandIn:
    files = {"net.bin": b"net" * 1000, "parts/1.bin": b"one", "parts/deep/2.bin": b"two", "readme.md": b"no"}
    server.repositories |= {"a/main": files, "b/main": files}
    server.repositories["a/aux"] = {"codec/model.bin": b"codec", "config.json": b"{}"}
    return server


def hubs(server: StandIn, **more: str) -> list[Hub]:
    return [HuggingFace.of(server.environ(**more)), ModelScope.of(server.environ(**more))]


def heard(place: str, done: int, whole: int) -> None:
    """Progress, of which these tests make nothing."""


def places(fetches: list[Fetch]) -> dict[str, str]:
    """Place -> hub."""
    return {one.place: one.hub.name for one in fetches}


def test_files_are_chosen_by_pattern_and_put_in_their_places(server: StandIn, lines: Lines) -> None:
    both = hubs(server)
    assert places(survey([MAIN, CODEC], both, both, "", lines)) == {
        "net.bin": "huggingface",
        "parts/1.bin": "huggingface",
        "parts/deep/2.bin": "huggingface",
        "cache/codec.bin": "huggingface",
        "cache/config.json": "huggingface",
    }


def test_optional_files_are_taken_where_there_are_some(server: StandIn, lines: Lines) -> None:
    server.repositories["a/main"]["extra/more.bin"] = b"more"
    both = hubs(server)
    assert "extra/more.bin" in places(survey([MAIN], both, both, "", lines))


def test_a_hub_that_cannot_be_reached_is_asked_once_and_the_other_taken(
    server: StandIn, lines: Lines, waits: list[float]
) -> None:
    away, there = HuggingFace("http://127.0.0.1:9"), ModelScope.of(server.environ())
    found = survey([MAIN, HubSource((HubFile("net.bin", "again.bin"),), "a/x", "b/main")], [away, there], [], "", lines)
    assert set(places(found).values()) == {"modelscope"}
    assert len(waits) == 2


def test_a_repository_that_one_hub_lacks_is_taken_from_the_other(server: StandIn, lines: Lines) -> None:
    del server.repositories["a/main"]
    both = hubs(server)
    found = places(survey([MAIN, CODEC], both, both, "", lines))
    assert found["net.bin"] == "modelscope"
    assert found["cache/codec.bin"] == "huggingface"


def test_the_hub_that_was_asked_for_is_not_left_but_for_what_it_never_has(server: StandIn, lines: Lines) -> None:
    both = hubs(server)
    assert places(survey([MAIN, CODEC], both[1:], both, "", lines)) == {
        "net.bin": "modelscope",
        "parts/1.bin": "modelscope",
        "parts/deep/2.bin": "modelscope",
        "cache/codec.bin": "huggingface",
        "cache/config.json": "huggingface",
    }
    del server.repositories["b/main"]
    with pytest.raises(HubError, match="ModelScope answers 404"):
        survey([MAIN, CODEC], both[1:], both, "", lines)


def test_when_no_hub_gives_it_each_ones_reason_is_told(server: StandIn, lines: Lines) -> None:
    server.repositories.clear()
    both = hubs(server)
    with pytest.raises(HubError, match=r"Hugging Face answers 404 .*; ModelScope answers 404"):
        survey([MAIN], both, both, "", lines)


def test_a_file_that_is_wanted_and_not_there_is_named(server: StandIn, lines: Lines) -> None:
    del server.repositories["a/main"]["net.bin"]
    only = hubs(server)[:1]
    with pytest.raises(HubError, match=r"a/main on Hugging Face at main has no net\.bin"):
        survey([MAIN], only, only, "", lines)
    # ModelScope lists nothing at all for a revision that it does not know
    other = hubs(server)[1:]
    with pytest.raises(HubError, match=r"b/main on ModelScope at v7 has no net\.bin: is the revision right"):
        survey([MAIN], other, other, "v7", lines)


def test_a_revision_is_the_models_own(server: StandIn, lines: Lines) -> None:
    only = hubs(server)[:1]
    with pytest.raises(HubError, match="revision"):
        survey([MAIN, CODEC], only, only, "v7", lines)
    assert survey([MAIN, CODEC], only, only, "main", lines)


@pytest.mark.parametrize(
    "path", ["parts/../../../etc/passwd", "parts/..", "parts/..\\..\\x", "parts/a\0b", "parts/C:/x"]
)
def test_a_path_that_would_leave_the_folder_is_refused(server: StandIn, lines: Lines, path: str) -> None:
    server.extra = [{"type": "file", "path": path, "size": 3, "oid": "0" * 40}]
    only = hubs(server)[:1]
    with pytest.raises(HubError, match="would not stay in the download folder"):
        survey([MAIN], only, only, "", lines)


def test_an_absolute_path_is_refused(server: StandIn, lines: Lines) -> None:
    server.extra = [{"type": "file", "path": "/etc/cron.d/x", "size": 3, "oid": "0" * 40}]
    only = hubs(server)[:1]
    with pytest.raises(HubError, match="would not stay"):
        survey([HubSource((HubFile("*"),), "a/aux")], only, only, "", lines)


def test_a_repository_that_has_all_files_needs_no_other(server: StandIn, lines: Lines) -> None:
    """A mirror may keep in one repository what the recipe knows from several."""
    only = hubs(server)[:1]
    server.repositories["a/main"]["cache/codec.bin"] = b"its own"
    whole = HubSource((HubFile("cache/*", optional=True),), "a/main")
    wanted = {one.place: one.repository for one in survey([whole, CODEC], only, only, "", lines)}
    assert wanted == {"cache/codec.bin": "a/main", "cache/config.json": "a/aux"}
    server.repositories["a/main"]["cache/config.json"] = b"[]"
    del server.repositories["a/aux"]
    assert len(survey([whole, CODEC], only, only, "", lines)) == 2


def test_all_files_arrive_and_what_is_no_part_of_it_goes(server: StandIn, lines: Lines, tmp_path: Path) -> None:
    only, folder = hubs(server)[:1], tmp_path / "download"
    (folder / "old").mkdir(parents=True)
    (folder / "old" / "stale.bin").write_bytes(b"of an earlier revision")
    wanted = survey([MAIN, CODEC], only, only, "", lines)
    fetch_all(missing(wanted, folder, heard), wanted, folder, lines, heard)
    files = {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}
    assert files == {
        "net.bin": b"net" * 1000,
        "parts/1.bin": b"one",
        "parts/deep/2.bin": b"two",
        "cache/codec.bin": b"codec",
        "cache/config.json": b"{}",
    }


def test_what_is_whole_is_not_fetched_again(server: StandIn, lines: Lines, tmp_path: Path) -> None:
    only = hubs(server)[:1]
    server.faults["parts/deep/2.bin"] = [Fault(status=404)]
    wanted = survey([MAIN], only, only, "", lines)
    with pytest.raises(Denied):
        fetch_all(missing(wanted, tmp_path, heard), wanted, tmp_path, lines, heard)
    assert [one.place for one in missing(wanted, tmp_path, heard)] == ["parts/deep/2.bin"]
    server.asked.clear()
    fetch_all(missing(wanted, tmp_path, heard), wanted, tmp_path, lines, heard)
    assert {one.file for one in server.asked} == {"parts/deep/2.bin"}
    assert missing(wanted, tmp_path, heard) == []


def test_room_is_made_sure_of_before(
    server: StandIn, lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = hubs(server)[:1]
    wanted = survey([MAIN], only, only, "", lines)
    folder = tmp_path / "not" / "there" / "yet"
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, SPARE_BYTES + 3006))
    check_room(wanted, folder, 0)
    with pytest.raises(
        HubError, match=rf"{tmp_path} has room for 3\.0 kB, and 3\.0 kB are .* about 10 bytes for the bundle"
    ):
        check_room(wanted, folder, 10)
    # what is here of it needs no more room
    folder.mkdir(parents=True)
    (folder / "net.bin.part").write_bytes(b"n" * 100)
    check_room(wanted, folder, 100)
    assert models.pull.missing(wanted, folder, heard) == wanted
