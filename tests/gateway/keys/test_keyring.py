"""Who is behind a key."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.keys.caller import Caller
from gateway.keys.keyring import Key, Keyring, digest_of, new_key
from gateway.request import ClientRequest

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def ring(**keys: bytes) -> Keyring:
    return Keyring({name: Key(Caller(name), digest_of(key)) for name, key in keys.items()})


def test_a_key_is_found_by_itself_alone() -> None:
    keys = ring(app=b"vg_one", other=b"vg_two")
    found = keys.find(b"vg_two")
    assert found is not None
    assert found.caller.name == "other"
    for wrong in (b"", b"vg_", b"vg_tw", b"vg_two ", b"VG_TWO", digest_of(b"vg_two"), bytes(32)):
        assert keys.find(wrong) is None


def test_nobody_is_behind_the_digest_of_nobody() -> None:
    # the entry that stands in for a key that is not there has a digest too, and must never be given out
    assert Keyring().find(b"anything") is None


def test_every_key_is_new_long_and_known_by_its_beginning() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    for key in made:
        assert key.startswith("vg_")
        assert len(key) >= len("vg_") + 43  # 32 bytes in base64
        assert key.isascii()


@pytest.mark.parametrize(("seconds", "state"), [(None, "active"), (1, "active"), (0, "expired"), (-1, "expired")])
def test_a_key_expires_at_its_moment(seconds: int | None, state: str) -> None:
    expires = None if seconds is None else NOW + timedelta(seconds=seconds)
    key = Key(Caller("app", expires=expires), bytes(32))
    assert key.state(NOW) == state
    assert Key(key.caller, key.digest, revoked=True).state(NOW) == "revoked"


def test_a_door_that_was_closed_once_stays_closed() -> None:
    assert not Keyring().on
    keys = ring(app=b"vg_one")
    assert keys.on
    assert keys.renewed(Keyring()).on
    assert keys.renewed(Keyring()).renewed(Keyring()).find(b"vg_one") is None


def test_a_request_becomes_that_of_its_caller() -> None:
    request = ClientRequest(input="one", tags=frozenset({"mine"}))
    assert Caller().ask(request) is request
    caller = Caller("app", voices=frozenset({"v"}), engines=frozenset({"e"}), tags=frozenset({"web"}), tenant="t")
    assert caller.ask(request) == replace(
        request,
        key="app",
        tenant="t",
        tags=frozenset({"mine", "web"}),
        allowed_voices=frozenset({"v"}),
        allowed_engines=frozenset({"e"}),
    )
