"""A recorded request, asked once more: the same facts, and so the same decision."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.errors import SpeechError
from engines.registry import Registry
from gateway import hooks
from gateway.configuration.load import Config, load_config
from gateway.configuration.standing import idle_snapshot
from gateway.prepared import Preparing, with_draw
from gateway.record import Served
from gateway.request import ClientRequest
from gateway.served_log.line import Line, asked, board, line
from gateway.served_log.seal import Seal, hidden
from gateway.simulation.asks import Asks, looks_at_texts
from policies.decide import decide
from tests.gateway.simulation.records import BEGAN, policy

ROUTING = Path(__file__).parents[3] / "docs" / "examples" / "routing"
SEAL = Seal(bytes(32))


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(ROUTING, Registry.load([hooks]), {"VOXGATE_DATA": "/nonexistent"})


def recorded(request: ClientRequest, config: Config) -> Line:
    served = Served("the id", BEGAN)
    return line(served, asked(Preparing(config).prepare(request), SEAL), board(idle_snapshot(config)), None)


REQUESTS = [
    ClientRequest("One two three. 你好。"),
    ClientRequest("One two three.", voice="narrator", format="wav", stream=False),
    ClientRequest("One.", voice="tone:low", tags=frozenset({"urgent"}), deadline_ms=500, key="kiosk"),
    ClientRequest("One.", model="tone", allowed_engines=frozenset({"espeak", "tone"})),
    ClientRequest("<speak>One.</speak>", input_type="ssml", speed=2.0),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: one.input + one.voice + one.model)
def test_a_recorded_request_asks_what_the_request_itself_asked(request_: ClientRequest, config: Config) -> None:
    ask = with_draw(Preparing(config).prepare(request_).ask, "the id")
    again = Asks(config, {SEAL.name: SEAL})(recorded(request_, config))
    snapshot = idle_snapshot(config)
    assert decide(again, snapshot, config.policy) == decide(ask, snapshot, config.policy)
    assert again.audio_s == pytest.approx(ask.audio_s, abs=1e-4)
    for field in ask.__dataclass_fields__:
        if field != "audio_s":
            assert getattr(again, field) == getattr(ask, field), field


def test_without_the_secret_the_seal_stands_for_the_texts_hash(config: Config) -> None:
    one = recorded(REQUESTS[0], config)
    again = Asks(config, {})(one)
    assert again.text_hash == hidden(one.ask.text_hash) != Asks(config, {SEAL.name: SEAL})(one).text_hash


def test_a_voice_or_model_that_is_gone_is_refused_as_a_client_would_be(config: Config) -> None:
    asks = Asks(config, {})
    for request, name in ((ClientRequest("One.", voice="narrator"), "voice"), (ClientRequest("One."), "model")):
        one = recorded(request, config)
        changed = {field: getattr(one.ask, field) for field in one.ask.__struct_fields__} | {name: "gone"}
        gone = Line(
            **{field: getattr(one, field) for field in one.__struct_fields__} | {"ask": type(one.ask)(**changed)}
        )
        with pytest.raises(SpeechError, match="gone"):
            asks(gone)


def test_which_policies_look_at_texts() -> None:
    assert not looks_at_texts(policy())
    assert looks_at_texts(policy({"name": "1", "use": ["a"], "order": "spread"}))
    assert looks_at_texts(policy({"name": "1", "use": ["a"], "when": {"not": {"share": {"percent": 1, "by": "text"}}}}))
    assert not looks_at_texts(policy({"name": "1", "use": ["a"], "when": {"share": {"percent": 1, "by": "key"}}}))
