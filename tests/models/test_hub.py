"""Hubs: what a repository lists, who is told the token, and what is said when there is no answer or a refusal."""

from __future__ import annotations

import hashlib
import socket

import pytest

from models.hub import HUBS, Denied, Hub, HubError, HuggingFace, ModelScope, Unreachable, make_client
from models.pull import Lines
from tests.models.stand_in import Fault, StandIn

WEIGHTS, CONFIG = b"weights" * 100, b'{"a": 1}'


@pytest.fixture
def server(server: StandIn) -> StandIn:
    server.repositories["owner/model"] = {"net.bin": WEIGHTS, "deep/config.json": CONFIG}
    return server


def listed(hub: Hub, lines: Lines, revision: str = "") -> dict[str, tuple[int, str, str]]:
    files = hub.list(lines.to(hub), "owner/model", revision or hub.revision)
    return {one.path: (one.size_bytes, one.sha256, one.git_sha1) for one in files}


def test_hugging_face_lists_sizes_and_digests(server: StandIn, lines: Lines) -> None:
    git = hashlib.sha1(b"blob 8\0" + CONFIG).hexdigest()
    assert listed(HuggingFace.of(server.environ()), lines) == {
        "net.bin": (700, hashlib.sha256(WEIGHTS).hexdigest(), ""),
        "deep/config.json": (8, "", git),
    }


def test_modelscope_lists_sizes_and_digests(server: StandIn, lines: Lines) -> None:
    assert listed(ModelScope.of(server.environ()), lines) == {
        "net.bin": (700, hashlib.sha256(WEIGHTS).hexdigest(), ""),
        "deep/config.json": (8, hashlib.sha256(CONFIG).hexdigest(), ""),
    }
    assert server.asked[0].query == {"Revision": "master", "Recursive": "true"}


def test_a_long_list_is_read_to_its_last_page_from_the_hub_that_was_named(server: StandIn, lines: Lines) -> None:
    """Mirrors hand out links to the hub that they mirror."""
    server.repositories["owner/model"] = {f"{number}.bin": b"x" for number in range(25)}
    server.page_size, server.link_host = 10, "https://huggingface.invalid"
    assert len(listed(HuggingFace.of(server.environ()), lines)) == 25
    assert [one.query.get("cursor") for one in server.asked] == [None, "10", "20"]


@pytest.mark.parametrize("hub", HUBS)
def test_addresses_are_quoted(hub: type[Hub]) -> None:
    address = hub.of({}).address("owner/model", "refs/pr/1", "a folder/naïve#1.bin")
    assert address.startswith(f"{hub.home}/")
    assert " " not in address
    assert "#" not in address
    assert "refs%2Fpr%2F1" in address


@pytest.mark.parametrize(
    "endpoint", ["huggingface.co", "ftp://host", "https://", "https://h:port", "https://u:secret@h"]
)
def test_an_endpoint_that_is_none_is_said_to_be_so(endpoint: str) -> None:
    with pytest.raises(HubError, match=r"HF_ENDPOINT is .*https://HOST") as caught:
        HuggingFace.of({"HF_ENDPOINT": endpoint})
    assert "secret" not in str(caught.value)


def test_the_token_is_shown_to_the_hub_alone(server: StandIn, lines: Lines) -> None:
    server.token = "hf_secret"
    hub = HuggingFace.of(server.environ(HF_TOKEN="hf_secret"))
    assert listed(hub, lines)
    with lines.to(hub).open(hub.address("owner/model", "main", "net.bin"), "owner/model") as response:
        assert response.read() == WEIGHTS
    assert [one.server for one in server.asked] == ["hub", "hub", "store"]
    assert [one.headers.get("authorization") for one in server.asked] == ["Bearer hf_secret", "Bearer hf_secret", None]
    assert "hf_secret" not in repr(hub)


def test_a_token_is_not_sent_where_others_could_read_it() -> None:
    with pytest.raises(HubError, match="readable on the way") as caught:
        HuggingFace.of({"HF_ENDPOINT": "http://mirror.example", "HF_TOKEN": "hf_secret"})
    assert "hf_secret" not in str(caught.value)
    assert HuggingFace.of({"HF_ENDPOINT": "http://mirror.example"}).token == ""
    assert ModelScope.of({"MODELSCOPE_ENDPOINT": "http://10.0.0.5", "MODELSCOPE_API_TOKEN": "t"}).headers() == {
        "Authorization": "Bearer t",
        "Cookie": "m_session_id=t",
    }


def test_a_token_that_is_needed_is_asked_for(server: StandIn, lines: Lines) -> None:
    server.token = "right"
    with pytest.raises(Denied, match=r"401 for owner/model: .*set HF_TOKEN"):
        listed(HuggingFace.of(server.environ()), lines)
    with pytest.raises(Denied, match="token in HF_TOKEN is not taken") as caught:
        listed(HuggingFace.of(server.environ(HF_TOKEN="wrong-one")), lines)
    assert "wrong-one" not in str(caught.value)
    with pytest.raises(Denied, match="set MODELSCOPE_API_TOKEN"):
        listed(ModelScope.of(server.environ()), lines)


def test_a_licence_that_the_hub_wants_accepted_is_named_with_its_page(server: StandIn, lines: Lines) -> None:
    server.gated = True
    with pytest.raises(Denied, match=rf"403 .*accept its licence on {server.url}/owner/model and set HF_TOKEN"):
        listed(HuggingFace.of(server.environ()), lines)
    with pytest.raises(Denied, match=r"with the account whose token is in HF_TOKEN"):
        listed(HuggingFace.of(server.environ(HF_TOKEN="t")), lines)


def test_what_is_not_there_is_told_at_once(server: StandIn, lines: Lines, waits: list[float]) -> None:
    with pytest.raises(Denied, match="no such revision"):
        listed(HuggingFace.of(server.environ()), lines, "v9")
    server.repositories.clear()
    for hub in HUBS:
        with pytest.raises(Denied, match=r"404 for owner/model: look for it on http.*--hub"):
            listed(hub.of(server.environ()), lines)
    assert waits == []


def test_a_busy_hub_is_asked_again_when_it_says(server: StandIn, lines: Lines, waits: list[float]) -> None:
    server.faults["list"] = [Fault(status=429, headers={"Retry-After": "7"}), Fault(status=503)]
    assert listed(HuggingFace.of(server.environ()), lines)
    assert waits == [7.0, 2.0]


def test_a_busy_hub_is_given_up_after_some_tries(server: StandIn, lines: Lines, waits: list[float]) -> None:
    server.faults["list"] = [Fault(status=503)] * 9
    with pytest.raises(Unreachable, match=r"answers 503 .*HF_ENDPOINT"):
        listed(HuggingFace.of(server.environ()), lines)
    assert waits == [1.0, 2.0]


def test_a_long_retry_after_does_not_hold_a_command_for_hours(
    server: StandIn, lines: Lines, waits: list[float]
) -> None:
    server.faults["list"] = [Fault(status=429, headers={"Retry-After": "86400"})]
    listed(HuggingFace.of(server.environ()), lines)
    assert waits == [60.0]


def test_a_hub_that_cannot_be_reached_is_named_with_the_way_around(lines: Lines, waits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(
        Unreachable, match=rf"ModelScope at 127\.0\.0\.1:{port} cannot be reached .*MODELSCOPE_ENDPOINT"
    ):
        listed(ModelScope.of({"MODELSCOPE_ENDPOINT": f"http://127.0.0.1:{port}"}), lines)
    assert len(waits) == 2


@pytest.mark.parametrize("hub", HUBS)
def test_an_endpoint_that_is_no_hub_is_said_to_be_so(server: StandIn, lines: Lines, hub: type[Hub]) -> None:
    server.faults["list"] = [Fault(status=200)]
    with pytest.raises(HubError, match="is it a hub"):
        listed(hub.of(server.environ()), lines)


def test_a_proxy_that_is_none_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://proxy")
    with pytest.raises(HubError, match="proxy"):
        make_client()
