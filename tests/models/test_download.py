"""One file from a hub: cut, stalled, wrong, changed or refused, it is whole in the end or said not to be."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

import models.download
from models.download import download, is_whole
from models.hub import Denied, HubError, HuggingFace, ModelScope, RemoteFile, Unreachable
from models.pull import Lines
from tests.models.stand_in import Fault, StandIn

WEIGHTS = random.Random(1).randbytes(300_000)
#: from Hugging Face's store, from Hugging Face itself, from ModelScope
FILES = [(HuggingFace, "net.bin"), (HuggingFace, "net.json"), (ModelScope, "net.bin")]

Fetch = Callable[..., Path]


@pytest.fixture
def server(server: StandIn) -> StandIn:
    server.repositories["owner/model"] = {"net.bin": WEIGHTS, "net.json": WEIGHTS, "empty.bin": b"", "empty.json": b""}
    return server


@pytest.fixture
def heard() -> list[int]:
    return []


@pytest.fixture
def fetch(server: StandIn, lines: Lines, tmp_path: Path, heard: list[int]) -> Fetch:
    """Fetches a file of the stand-in, as it is listed, and gives its path."""

    def fetch(hub_type: type[HuggingFace | ModelScope], path: str, undigested: bool = False) -> Path:
        hub = hub_type.of(server.environ())
        (remote,) = [one for one in hub.list(lines.to(hub), "owner/model", hub.revision) if one.path == path]
        if undigested:
            remote = RemoteFile(remote.path, remote.size_bytes)
        url = hub.address("owner/model", hub.revision, path)
        download(lines.to(hub), "owner/model", url, remote, tmp_path / path, heard.append)
        return tmp_path / path

    return fetch


def parts(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if ".part" in one.name)


@pytest.mark.parametrize(("hub", "path"), FILES)
def test_a_file_arrives_whole(fetch: Fetch, server: StandIn, heard: list[int], hub: type, path: str) -> None:
    file = fetch(hub, path)
    assert file.read_bytes() == WEIGHTS
    assert parts(file.parent) == []
    assert heard == sorted(heard)
    assert heard[-1] == len(WEIGHTS)


@pytest.mark.parametrize("path", ["empty.bin", "empty.json"])
def test_an_empty_file_is_one_too(fetch: Fetch, path: str) -> None:
    assert fetch(HuggingFace, path).read_bytes() == b""


@pytest.mark.parametrize(("hub", "path"), FILES)
def test_after_a_cut_the_rest_is_fetched(
    fetch: Fetch, server: StandIn, waits: list[float], hub: type, path: str
) -> None:
    server.faults[path] = [Fault(cut_after=100_000), Fault(cut_after=50_000)]
    assert fetch(hub, path).read_bytes() == WEIGHTS
    assert server.ranges(path) == ["", "bytes=100000-", "bytes=150000-"]
    assert server.sent_bytes(path) == len(WEIGHTS)
    assert waits == [1.0, 2.0]


def test_an_answer_that_ends_properly_half_way_is_a_cut_too(fetch: Fetch, server: StandIn) -> None:
    server.faults["net.bin"] = [Fault(early=True)]
    assert fetch(HuggingFace, "net.bin").read_bytes() == WEIGHTS
    assert server.ranges("net.bin") == ["", "bytes=150000-"]


def test_what_is_cut_again_and_again_is_given_up_and_gone_on_with_later(fetch: Fetch, server: StandIn) -> None:
    server.faults["net.bin"] = [Fault(cut_after=10_000)] * 3
    with pytest.raises(Unreachable, match=r"net\.bin: .* cut off .*; 30000 of its 300000 bytes are kept"):
        fetch(HuggingFace, "net.bin")
    assert server.faults["net.bin"] == []
    assert fetch(HuggingFace, "net.bin").read_bytes() == WEIGHTS
    assert server.sent_bytes("net.bin") == len(WEIGHTS)


def test_a_poor_connection_is_not_given_up_while_much_comes(
    fetch: Fetch, server: StandIn, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.download, "HEADWAY_BYTES", 25_000)
    server.faults["net.bin"] = [Fault(cut_after=30_000)] * 9
    assert fetch(HuggingFace, "net.bin").read_bytes() == WEIGHTS
    assert waits == [1.0] * 9


def test_a_hub_without_ranges_that_always_cuts_is_given_up(
    fetch: Fetch, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.download, "HEADWAY_BYTES", 25_000)
    server.faults["net.bin"] = [Fault(cut_after=60_000, no_ranges=True)] * 9
    with pytest.raises(Unreachable):
        fetch(HuggingFace, "net.bin")
    assert len(server.ranges("net.bin")) == 3  # the first brought something, the next ones nothing more


def test_a_connection_that_stalls_counts_as_cut(
    fetch: Fetch, server: StandIn, client: httpx.Client, waits: list[float]
) -> None:
    client.timeout = httpx.Timeout(5, read=0.1)
    server.faults["net.bin"] = [Fault(hold_after=100_000)]
    assert fetch(HuggingFace, "net.bin").read_bytes() == WEIGHTS
    assert server.ranges("net.bin") == ["", "bytes=100000-"]


def test_a_hub_that_ignores_ranges_sends_it_all_again(fetch: Fetch, server: StandIn, heard: list[int]) -> None:
    server.faults["net.bin"] = [Fault(cut_after=100_000), Fault(no_ranges=True)]
    assert fetch(HuggingFace, "net.bin").read_bytes() == WEIGHTS
    assert server.sent_bytes("net.bin") == 100_000 + len(WEIGHTS)
    assert heard[-1] == len(WEIGHTS)


def test_a_store_whose_address_has_run_out_is_asked_for_a_new_one(fetch: Fetch, server: StandIn) -> None:
    server.faults["net.bin"] = [Fault(cut_after=100_000), Fault(status=403)]
    assert fetch(HuggingFace, "net.bin").read_bytes() == WEIGHTS
    hub = [one for one in server.asked if one.server == "hub" and one.file == "net.bin"]
    assert len(hub) == 3


def test_a_hub_that_refuses_is_not_asked_again(fetch: Fetch, server: StandIn, waits: list[float]) -> None:
    server.faults["net.json"] = [Fault(status=403, headers={"X-Error-Code": "GatedRepo"})]
    with pytest.raises(Denied, match="accept its licence"):
        fetch(HuggingFace, "net.json")
    assert waits == []


@pytest.mark.parametrize(("hub", "path"), FILES)
def test_wrong_bytes_are_deleted_and_fetched_once_more(fetch: Fetch, server: StandIn, hub: type, path: str) -> None:
    server.faults[path] = [Fault(wrong=True)]
    assert fetch(hub, path).read_bytes() == WEIGHTS
    assert server.ranges(path) == ["", ""]


@pytest.mark.parametrize(("hub", "path"), FILES)
@pytest.mark.parametrize("fault", [Fault(wrong=True), Fault(shorter=True)])
def test_wrong_bytes_twice_are_said_and_not_kept(
    fetch: Fetch, server: StandIn, tmp_path: Path, hub: type, path: str, fault: Fault
) -> None:
    server.faults[path] = [fault, fault]
    with pytest.raises(HubError, match=rf"{path} of owner/model came twice with wrong bytes"):
        fetch(hub, path)
    assert list(tmp_path.iterdir()) == []


def test_a_part_with_wrong_bytes_does_not_spoil_the_file(fetch: Fetch, server: StandIn, tmp_path: Path) -> None:
    """A disk that lost power may keep a part's length and not its content."""
    server.faults["net.bin"] = [Fault(cut_after=10_000)] * 3
    with pytest.raises(Unreachable):
        fetch(HuggingFace, "net.bin")
    part = tmp_path / "net.bin.part"
    part.write_bytes(bytes(part.stat().st_size))
    assert fetch(HuggingFace, "net.bin").read_bytes() == WEIGHTS


def test_a_part_of_another_file_is_started_over(fetch: Fetch, server: StandIn) -> None:
    server.faults["net.bin"] = [Fault(cut_after=10_000)] * 3
    with pytest.raises(Unreachable):
        fetch(HuggingFace, "net.bin")
    changed = WEIGHTS[::-1]
    server.repositories["owner/model"]["net.bin"] = changed
    assert fetch(HuggingFace, "net.bin").read_bytes() == changed
    assert server.ranges("net.bin")[3:] == [""]


@pytest.mark.parametrize("record", ["", "[]", "{}", "no json"])
def test_a_part_without_a_record_that_can_be_read_is_started_over(
    fetch: Fetch, server: StandIn, tmp_path: Path, record: str
) -> None:
    (tmp_path / "net.bin.part").write_bytes(b"something")
    (tmp_path / "net.bin.part.json").write_text(record)
    assert fetch(HuggingFace, "net.bin").read_bytes() == WEIGHTS
    assert server.ranges("net.bin") == [""]


def test_the_other_hub_goes_on_with_a_part_of_the_same_digest(fetch: Fetch, server: StandIn) -> None:
    server.faults["net.bin"] = [Fault(cut_after=10_000)] * 3
    with pytest.raises(Unreachable):
        fetch(HuggingFace, "net.bin")
    assert fetch(ModelScope, "net.bin").read_bytes() == WEIGHTS
    assert server.sent_bytes("net.bin") == len(WEIGHTS)


@pytest.mark.parametrize("etag", ["", '"another"'])
def test_without_a_digest_a_part_is_gone_on_with_only_under_the_same_etag(
    fetch: Fetch, server: StandIn, tmp_path: Path, etag: str
) -> None:
    server.faults["net.bin"] = [Fault(cut_after=10_000)] * 3
    with pytest.raises(Unreachable):
        fetch(ModelScope, "net.bin", undigested=True)
    server.etag = etag
    assert fetch(ModelScope, "net.bin", undigested=True).read_bytes() == WEIGHTS
    # with another ETag the answer to the range is not taken, and the whole is asked for
    assert server.ranges("net.bin")[3:] == (["bytes=30000-"] if not etag else ["bytes=30000-", ""])


def test_another_part_than_was_asked_for_is_not_taken(fetch: Fetch, server: StandIn) -> None:
    server.faults["net.bin"] = [Fault(cut_after=100_000), Fault(sooner=10)]
    assert fetch(ModelScope, "net.bin", undigested=True).read_bytes() == WEIGHTS
    assert server.ranges("net.bin") == ["", "bytes=100000-", ""]


def test_what_is_there_is_known_by_its_digest(server: StandIn, lines: Lines, tmp_path: Path) -> None:
    for hub_type, path in FILES:
        hub = hub_type.of(server.environ())
        (remote,) = [one for one in hub.list(lines.to(hub), "owner/model", hub.revision) if one.path == path]
        file = tmp_path / path
        assert not is_whole(file, remote)
        file.write_bytes(WEIGHTS)
        assert is_whole(file, remote)
        file.write_bytes(WEIGHTS[::-1])
        assert not is_whole(file, remote)
        assert not is_whole(file, RemoteFile(path, len(WEIGHTS)))
        file.unlink()
