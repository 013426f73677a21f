"""Models, voices, engines, plans, health."""

from collections.abc import Callable

import pytest

from gateway.configuration.standing import idle_snapshot
from policies.board_file import snapshot_from

from .conftest import Gateway


def test_models_are_auto_aliases_and_engines(gateway: Gateway) -> None:
    answer = gateway.client.get("/v1/models").json()
    assert answer["object"] == "list"
    assert [one["id"] for one in answer["data"]] == ["auto", "tts-1", "gpt-4o-mini-tts", "tone"]
    for one in answer["data"]:
        assert one["object"] == "model"
        assert isinstance(one["created"], int)
        assert gateway.client.get(f"/models/{one['id']}").json() == one


@pytest.mark.parametrize("path", ["/v1/voices", "/v1/audio/voices", "/voices", "/audio/voices"])
def test_voices_serve_every_client_s_shape(gateway: Gateway, path: str) -> None:
    answer = gateway.client.get(path).json()
    assert answer["object"] == "list"
    assert answer["data"] == answer["voices"]
    narrator, aside, alloy = answer["voices"]
    assert narrator == {
        "id": "narrator",
        "name": "narrator",
        "languages": ["zh", "en"],
        "gender": "female",
        "engines": ["tone"],
    }
    assert aside["id"] == "旁白"
    assert (alloy["id"], alloy["name"], alloy["alias_of"]) == ("alloy", "alloy", "narrator")


def test_engines_tell_their_state_and_load(gateway: Gateway) -> None:
    answer = gateway.client.get("/v1/engines").json()
    tone = answer["engines"]["tone"]
    assert (tone["state"], tone["busy"], tone["queued"], tone["slots"]) == ("up", 0, 0, 4)
    assert tone["about"]["kind"] == "tone"
    assert {"engines.tone", "engines.fault"} <= {one["name"] for one in answer["plugins"]}
    assert "now" in answer


def test_what_engines_tell_can_be_fed_to_explain(gateway: Gateway) -> None:
    runtime = gateway.runtime
    answer = gateway.client.get("/v1/engines").json()
    snapshot = snapshot_from(answer, idle_snapshot(runtime.config).engines)
    assert snapshot.engines["tone"].state == "up"
    assert snapshot.now.tzinfo is not None


def test_a_plan_is_explained_and_nothing_is_spoken(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine("{kind: probe, does: silent}")
    plan = gateway.client.post("/v1/plan", json={"input": "Hello there.", "speed": 1.5}).json()
    assert plan["rule"] == "all"
    assert [step["engine"] for step in plan["steps"]] == ["only"]
    assert plan["clauses"] == [{"text": "Hello there.", "language": "en"}]
    assert plan["skipped"] == []
    assert not gateway.probe.begun.is_set()


def test_readiness_is_about_engines_and_liveness_is_not(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine("{kind: tone}")
    ready = gateway.client.get("/readyz").json()
    assert (ready["ready"], ready["engines"]) == (True, {"only": {"state": "up", "reason": None}})
    gateway.loop.call_soon_threadsafe(gateway.runtime.board.row("only").set_state, "down", "for a test")
    response = gateway.client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["engines"] == {"only": {"state": "down", "reason": "for a test"}}
    assert response.json()["error"]["code"] == "not_ready"
    for path in ("/livez", "/healthz"):
        assert gateway.client.get(path).status_code == 200
        assert gateway.client.head(path).status_code == 200


def test_a_plugin_that_failed_to_load_is_shown(with_engine: Callable[..., Gateway]) -> None:
    from engines.registry import PluginState

    gateway = with_engine("{kind: tone}")
    gateway.runtime.registry.plugins.append(PluginState("broken", "other 1.0", error="failed to load: ImportError: x"))
    shown = gateway.client.get("/v1/engines").json()["plugins"][-1]
    assert shown == {"name": "broken", "source": "other 1.0", "kinds": [], "error": "failed to load: ImportError: x"}


def test_pages_of_named_origins_may_call_and_read_our_headers(server: Callable[..., Gateway]) -> None:
    gateway = server(gateway="version: 1\ndata_dir: {data}\ncors: {allow_origins: ['https://example.org']}\n")
    here, elsewhere = {"origin": "https://example.org"}, {"origin": "https://example.com"}
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    assert gateway.client.options("/v1/speech", headers=here | asked).headers["access-control-allow-origin"]
    for path in ("/v1/models", "/nothing"):
        response = gateway.client.get(path, headers=here)
        assert response.headers["access-control-allow-origin"] == "https://example.org"
        assert "x-voxgate-engine" in response.headers["access-control-expose-headers"]
        assert "access-control-allow-origin" not in gateway.client.get(path, headers=elsewhere).headers
