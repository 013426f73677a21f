"""Who is let in, and who sees what: with keys, without, on this machine and from elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from gateway.clock import SystemClock
from gateway.http.access import is_local
from gateway.keys.keyring import digest_of

from .conftest import Gateway, running

OPEN = "version: 1\ndata_dir: {data}\n"
#: whom the tests' requests come from, if they do not say so: 127.0.0.1, which is a proxy here
PROXIED = OPEN + "listen: {trusted_proxies: [127.0.0.1]}\n"
ELSEWHERE = {"x-forwarded-for": "203.0.113.9"}


def sha(key: str) -> str:
    return digest_of(key.encode()).hex()


def keys(**entries: str) -> str:
    """keys.yaml with a key for each name: the key of `app` is `vg_app`, and what it may is the entry."""
    lines = [f"  {name}: {{sha256: {sha(f'vg_{name}')}, {entry}}}\n" for name, entry in entries.items()]
    return f"version: 1\nkeys:\n{''.join(lines)}" if lines else "version: 1\n"


KEYS = keys(
    app="",
    other="",
    chief="admin: true",
    gone="revoked: 2026-01-01T00:00:00Z",
    old="expires: 2026-01-01T00:00:00Z",
    gone_chief="admin: true, revoked: 2026-01-01T00:00:00Z",
)


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer vg_{name}"}


def until(holds: Callable[[], bool]) -> None:
    """Wait for what will be so in a moment."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- the table: path by path, for everybody ---

PUBLIC = ["/livez", "/healthz", "/docs", "/docs/openapi.json", "/v1/models", "/v1/models/auto", "/v1/voices", "/voices"]
PUBLIC += ["/v1/audio/voices"]
KEYED = [
    "POST /v1/speech",
    "POST /audio/speech",
    "POST /v1/plan",
    "GET /v1/engines",
    "GET /engines",
    "GET /v1/speech/1",
]
ADMIN = ["GET /metrics", "POST /v1/admin/reload", "POST /admin/reload"]

#: gateway, who asks -> status of what needs a key, status of what needs an admin key, whether details are shown
WHO: dict[tuple[str, str], tuple[dict[str, str], int, int, bool]] = {
    ("keys", "nobody"): ({}, 401, 401, False),
    ("keys", "a key"): (bearer("app"), 200, 403, False),
    ("keys", "an admin key"): (bearer("chief"), 200, 200, True),
    ("keys", "an admin key elsewhere"): (bearer("chief") | ELSEWHERE, 200, 200, True),
    ("keys", "an unknown key"): (bearer("nobody"), 401, 401, False),
    ("keys", "an expired key"): (bearer("old"), 401, 401, False),
    ("keys", "a revoked key"): (bearer("gone"), 401, 401, False),
    ("keys", "a revoked admin key"): (bearer("gone_chief"), 401, 401, False),
    ("keys", "a password"): ({"authorization": "Basic dmdfYXBwOg=="}, 401, 401, False),
    ("open", "this machine"): ({}, 200, 200, True),
    ("open", "this machine, any key"): (bearer("whatever"), 200, 200, True),
    ("open", "elsewhere by a proxy that is not trusted"): (ELSEWHERE, 401, 401, False),
    ("open", "elsewhere, any key"): (ELSEWHERE | bearer("whatever"), 401, 401, False),
    ("proxied", "this machine"): ({}, 200, 200, True),
    ("proxied", "this machine by the proxy"): ({"x-forwarded-for": "127.0.0.1"}, 200, 200, True),
    ("proxied", "elsewhere by a trusted proxy"): (ELSEWHERE, 401, 401, False),
    ("none", "this machine"): ({}, 200, 200, True),
    ("none", "elsewhere"): (ELSEWHERE, 200, 403, False),
    ("none", "elsewhere, a key"): (ELSEWHERE | bearer("app"), 200, 403, False),
    ("none", "elsewhere, an unknown key"): (ELSEWHERE | bearer("nobody"), 200, 403, False),
    ("none", "elsewhere, an admin key"): (ELSEWHERE | bearer("chief"), 200, 200, True),
    ("none", "elsewhere, a revoked admin key"): (ELSEWHERE | bearer("gone_chief"), 200, 403, False),
    ("keys, and none", "this machine"): ({}, 401, 401, False),
    ("keys, and none", "any key"): (bearer("whatever"), 401, 401, False),
}
GATEWAYS: dict[str, dict[str, str]] = {
    "keys": {"gateway": OPEN, "keys": KEYS},
    "open": {"gateway": OPEN},
    "proxied": {"gateway": PROXIED},
    "none": {"gateway": OPEN + "auth: none\n", "keys": KEYS},
    "keys, and none": {"gateway": OPEN + "auth: keys\n"},
}


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Gateway]]:
    """A gateway by its name above, started once."""
    started: dict[str, Gateway] = {}
    with ExitStack() as stack:

        def get(name: str) -> Gateway:
            if name not in started:
                started[name] = stack.enter_context(running(tmp_path_factory.mktemp("gateway"), **GATEWAYS[name]))
            return started[name]

        yield get


def ask(gateway: Gateway, request: str, headers: dict[str, str]) -> httpx.Response:
    method, _, path = request.partition(" ")
    body = {"json": {"input": "one two"}} if method == "POST" else {}
    return gateway.client.request(method, path, headers=headers, **body)  # type: ignore[arg-type]


@pytest.mark.parametrize("who", WHO, ids=": ".join)
def test_who_may_what(gateways: Callable[[str], Gateway], who: tuple[str, str]) -> None:
    gateway = gateways(who[0])
    headers, keyed, admin, details = WHO[who]
    for path in PUBLIC:
        assert ask(gateway, f"GET {path}", headers).status_code == 200, path
    for request in KEYED:
        response = ask(gateway, request, headers)
        # nothing is known of the request 1, and who may not ask does not even hear that
        assert response.status_code == (404 if keyed == 200 and request.endswith("/1") else keyed), request
    for request in ADMIN:
        assert ask(gateway, request, headers).status_code == admin, request
    ready = ask(gateway, "GET /readyz", headers)
    assert ready.status_code == 200
    assert set(ready.json()) == ({"ready", "engines", "config"} if details else {"ready"})
    if keyed == 200:
        engines = ask(gateway, "GET /v1/engines", headers).json()
        assert ("plugins" in engines, "reason" in engines["engines"]["tone"]) == (details, details)


# --- what a refusal tells ---


def test_a_refusal_has_openai_s_shape_and_says_nothing_about_keys(gateways: Callable[[str], Gateway]) -> None:
    gateway = gateways("keys")
    told = set()
    for name in ("nobody", "old", "gone"):
        response = gateway.client.post("/v1/speech", json={"input": "one"}, headers=bearer(name))
        error = response.json()["error"]
        assert error.pop("request_id") == response.headers["x-request-id"]
        assert response.headers["www-authenticate"] == "Bearer"
        assert "x-should-retry" not in response.headers
        assert f"vg_{name}" not in response.text
        told.add(tuple(error.items()))
    expected = {"message": "this API key is not valid", "type": "authentication_error", "param": None}
    assert told == {tuple((expected | {"code": "invalid_api_key"}).items())}
    missing = gateway.client.post("/v1/speech", json={"input": "one"}).json()["error"]
    assert missing["code"] == "invalid_api_key"
    assert "Authorization: Bearer" in missing["message"]


def test_without_any_key_the_operator_is_told_what_to_do(gateways: Callable[[str], Gateway]) -> None:
    message = ask(gateways("open"), "POST /v1/speech", ELSEWHERE).json()["error"]["message"]
    assert "`voxgate keys add NAME`" in message
    assert "`auth: none`" in message


def test_a_key_that_is_no_admin_s_is_told_that(gateways: Callable[[str], Gateway]) -> None:
    error = ask(gateways("keys"), "POST /v1/admin/reload", bearer("app")).json()["error"]
    assert (error["code"], error["type"]) == ("not_allowed", "permission_error")
    assert "admin key" in error["message"]


def test_the_log_has_names_and_never_a_key(
    gateways: Callable[[str], Gateway], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("app", "gone", "old", "nobody", "chief"):
        ask(gateways("keys"), "POST /v1/speech", bearer(name))
    logged = "\n".join(f"{record.getMessage()} {vars(record).get('voxgate')}" for record in caplog.records)
    assert "'gone', which is revoked" in logged
    assert "'old', which is expired" in logged
    assert "'key': 'chief'" in logged
    assert "vg_" not in logged
    assert sha("vg_app") not in logged


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("Authorization: Bearer vg_app", 200),
        ("AUTHORIZATION: bearer   vg_app ", 200),
        ("Authorization: vg_app", 401),
        ("Authorization: Bearer", 401),
        ("Authorization: Bearer ", 401),
        ("Authorization: Bearer vg_app vg_app", 401),
        ("Authorization: Bearer vg_appp", 401),
        ("Authorization: Bearer \xff\xfe", 401),
        ("Authorization: Bearer " + "a" * 16_000, 401),
        (f"Authorization: Bearer {sha('vg_app')}", 401),
        ("X-Key: vg_app", 401),
    ],
)
def test_keys_as_they_stand_on_the_wire(gateways: Callable[[str], Gateway], line: str, status: int) -> None:
    with gateways("keys").connection() as connection:
        request = f"GET /v1/engines HTTP/1.1\r\nHost: here\r\n{line}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 %d " % status)


def test_who_has_no_key_is_refused_before_the_body_and_the_connection_lives_on(
    gateways: Callable[[str], Gateway],
) -> None:
    with gateways("keys").connection() as connection:
        # no byte of the body is sent before the answer has come
        connection.sendall(b"POST /v1/speech HTTP/1.1\r\nHost: here\r\nContent-Length: 15\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
        connection.sendall(b'{"input":"one"}GET /livez HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n')
        assert b"HTTP/1.1 200 OK" in b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_page_may_send_a_key(server: Callable[..., Gateway]) -> None:
    gateway = server(gateway=OPEN + "cors: {allow_origins: ['https://example.org']}\n", keys=KEYS)
    origin = {"origin": "https://example.org"}
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, content-type"}
    allowed = gateway.client.options("/v1/speech", headers=origin | asked)
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    refused = gateway.client.post("/v1/speech", json={"input": "one"}, headers=origin)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://example.org")


# --- this machine ---


@pytest.mark.parametrize(
    ("client", "headers", "local"),
    [
        ("127.0.0.1", {}, True),
        ("127.9.9.9", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        (None, {}, True),  # a unix socket
        ("10.0.0.9", {}, False),
        ("::ffff:10.0.0.9", {}, False),
        ("nonsense", {}, False),
        ("127.0.0.1", {"user-agent": "curl", "x-forwarded-proto": "https"}, True),
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}, True),
        ("127.0.0.1", {"x-forwarded-for": "::1, 127.0.0.1"}, True),
        ("127.0.0.1", {"x-forwarded-for": "203.0.113.9"}, False),
        # whoever is elsewhere may write what they like before what the proxy adds
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1, 203.0.113.9"}, False),
        ("127.0.0.1", {"x-forwarded-for": "203.0.113.9, 127.0.0.1"}, False),
        ("127.0.0.1", {"x-forwarded-for": "unknown"}, False),
        ("127.0.0.1", {"x-forwarded-for": ""}, False),
        ("127.0.0.1", {"x-real-ip": "203.0.113.9"}, False),
        ("127.0.0.1", {"x-real-ip": "127.0.0.1"}, True),
        ("127.0.0.1", {"forwarded": "for=203.0.113.9"}, False),
        (None, {"x-forwarded-for": "203.0.113.9"}, False),
        ("10.0.0.9", {"x-forwarded-for": "127.0.0.1"}, False),
    ],
)
def test_what_comes_from_this_machine(client: str | None, headers: dict[str, str], local: bool) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope: Any = {"client": client and (client, 1), "headers": raw}
    assert is_local(scope) is local


# --- the client library ---


def library(gateway: Gateway, name: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=f"vg_{name}")


def test_openai_s_library_gets_in_with_a_key_and_raises_its_own_errors_without(
    gateways: Callable[[str], Gateway],
) -> None:
    with library(gateways("keys"), "app") as client:
        assert client.audio.speech.create(model="tts-1", voice="alloy", input="one two").content
    with library(gateways("keys"), "nobody") as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.audio.speech.create(model="tts-1", voice="alloy", input="one two")
        assert (refused.value.status_code, refused.value.code) == (401, "invalid_api_key")
        assert {model.id for model in client.models.list()} >= {"auto", "tts-1"}


def test_openai_s_library_is_told_which_voices_its_key_may_use(server: Callable[..., Gateway]) -> None:
    gateway = server(keys=keys(app="voices: [旁白]"))
    with library(gateway, "app") as client, pytest.raises(openai.PermissionDeniedError) as refused:
        client.audio.speech.create(model="tts-1", voice="alloy", input="one two")
    assert (refused.value.param, refused.value.code) == ("voice", "not_allowed")
    assert "it may use: 旁白" in refused.value.message


# --- what a key may ---

ENGINES = "version: 1\nengines:\n  a: {kind: tone}\n  b: {kind: tone}\n"
VOICES = """version: 1
default: narrator
voices:
  narrator: {engines: {a: low, b: low}}
  child: {engines: {a: high, b: high}}
aliases: {alloy: narrator, kid: child}
"""
POLICIES = """version: 1
rules:
  - {name: of the kiosk, when: {keys: [kiosk]}, use: [b]}
  - {name: of the web, when: {tags: [web]}, use: [b, a]}
  - {name: everything, use: [a, b]}
"""
LIMITED = keys(
    all="",
    child="voices: [kid, 'b:own']",
    silent="voices: []",
    only_b="engines: [b]",
    nothing="engines: []",
    kiosk="",
    web="tags: [web]",
)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., httpx.Response]]:
    """Ask the gateway with the keys above for speech, or for a plan."""
    files = {"engines": ENGINES, "voices": VOICES, "policies": POLICIES, "keys": LIMITED}
    with running(tmp_path_factory.mktemp("limited"), **files) as gateway:

        def ask(key: str, path: str = "/v1/speech", **fields: object) -> httpx.Response:
            return gateway.client.post(path, json={"input": "one two", **fields}, headers=bearer(key))

        yield ask


@pytest.mark.parametrize(
    ("key", "fields", "param", "message"),
    [
        ("child", {"voice": "narrator"}, "voice", "may not use the voice 'narrator'; it may use: b:own, kid"),
        ("child", {"voice": "alloy"}, "voice", "may not use the voice 'narrator'"),
        ("child", {}, "voice", "'narrator', which speaks when none is named; it may use: b:own, kid"),
        ("child", {"voice": "b:other"}, "voice", "may not use the voice 'b:other'"),
        ("child", {"voice": "kid", "emotion": {"voice": "alloy"}}, "emotion.voice", "may not use the voice 'alloy'"),
        ("silent", {"voice": "child"}, "voice", "it may use: none"),
        ("only_b", {"model": "a"}, "model", "may not use the engine 'a'; it may use: b"),
        ("only_b", {"voice": "a:low"}, "voice", "may not use the engine 'a'; it may use: b"),
        ("nothing", {"model": "b"}, "model", "it may use: none"),
    ],
)
def test_what_a_key_may_not_is_refused_by_name(
    limited: Callable[..., httpx.Response], key: str, fields: dict[str, object], param: str, message: str
) -> None:
    for path in ("/v1/speech", "/v1/plan"):
        response = limited(key, path, **fields)
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["param"]) == (403, "not_allowed", param)
        assert message in error["message"]


@pytest.mark.parametrize(
    ("key", "fields", "engine"),
    [
        ("all", {"voice": "narrator"}, "a"),
        ("child", {"voice": "kid"}, "a"),
        ("child", {"voice": "child"}, "a"),
        ("child", {"voice": "b:own"}, "b"),
        ("only_b", {}, "b"),
        ("only_b", {"model": "b"}, "b"),
    ],
)
def test_what_a_key_may_is_spoken(
    limited: Callable[..., httpx.Response], key: str, fields: dict[str, object], engine: str
) -> None:
    response = limited(key, **fields)
    assert (response.status_code, response.headers["x-voxgate-engine"]) == (200, engine)
    assert "x-voxgate-degraded" not in response.headers


def test_what_an_engine_lacks_is_told_to_admins_and_to_programs_on_this_machine(
    server: Callable[..., Gateway],
) -> None:
    lacking = {
        "engines": "version: 1\nengines:\n  cloud: {kind: sambert, api_key_env: NOBODY_SET_IT}\n",
        "voices": "version: 1\ndefault: v\nvoices:\n  v: {engines: {cloud: sambert-zhiqi-v1}}\n",
        "policies": "version: 1\nrules:\n  - {name: all, use: [cloud]}\n",
    }

    def told(gateway: Gateway, path: str, **headers: str) -> str:
        response = gateway.client.post(path, json={"input": "你好"}, headers=headers)
        assert response.status_code == (200 if path.endswith("plan") else 503)
        (skip,) = response.json().get("error", response.json())["skipped"]
        assert skip["code"] == "not_configured"
        assert "NOBODY_SET_IT" not in response.json().get("error", {}).get("message", "")
        return str(skip["reason"])

    keyed, open_here = server(keys=KEYS, **lacking), server(**lacking)
    for path in ("/v1/speech", "/v1/plan"):
        assert told(keyed, path, **bearer("app")) == "not configured"
        assert "NOBODY_SET_IT is not set" in told(keyed, path, **bearer("chief"))
        assert "NOBODY_SET_IT is not set" in told(open_here, path)


def test_engines_that_a_key_may_not_use_are_excluded_from_its_plan(limited: Callable[..., httpx.Response]) -> None:
    plan = limited("only_b", "/v1/plan").json()
    assert [step["engine"] for step in plan["steps"]] == ["b"]
    assert plan["skipped"] == [{"engine": "a", "code": "excluded", "reason": "the key may not use it"}]


def test_a_key_that_may_use_none_of_the_engines_is_told_that(limited: Callable[..., httpx.Response]) -> None:
    response = limited("nothing")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "not_allowed")
    assert [one["code"] for one in response.json()["error"]["skipped"]] == ["excluded", "excluded"]


def test_rules_know_keys_by_their_names_and_tags(limited: Callable[..., httpx.Response]) -> None:
    rules = {key: limited(key, "/v1/plan").json()["rule"] for key in ("all", "kiosk", "web")}
    assert rules == {"all": "everything", "kiosk": "of the kiosk", "web": "of the web"}
    assert limited("all", "/v1/plan", tags=["web"]).json()["rule"] == "of the web"


def test_each_key_has_its_own_limits(server: Callable[..., Gateway]) -> None:
    limits = "{data_dir: {data}, version: 1, limits: {requests_per_minute: 1}}"
    gateway = server(
        gateway=limits,
        keys=keys(app="", free="limits: {requests_per_minute: 0}", more="limits: {requests_per_minute: 2}"),
    )
    for name, most in (("app", 1), ("more", 2), ("free", 4)):
        statuses = [ask(gateway, "POST /v1/speech", bearer(name)).status_code for _ in range(4)]
        assert statuses == [200] * most + [429] * (4 - most)


# --- whose outcome, whose clip ---


def test_an_outcome_is_for_the_key_that_asked_and_for_admins(gateways: Callable[[str], Gateway]) -> None:
    gateway = gateways("keys")
    request_id = ask(gateway, "POST /v1/speech", bearer("app")).headers["x-request-id"]
    statuses = {
        name: gateway.client.get(f"/v1/speech/{request_id}", headers=bearer(name)).status_code
        for name in ("app", "other", "chief", "gone")
    }
    assert statuses == {"app": 200, "other": 404, "chief": 200, "gone": 401}


def speak(gateway: Gateway, name: str, text: str = "one two") -> str:
    """Where the speech came from: miss, hit or follow."""
    response = gateway.client.post("/v1/speech", json={"input": text}, headers=bearer(name))
    assert response.status_code == 200
    return response.headers["x-voxgate-cache"]


@pytest.mark.parametrize(("scope", "others"), [("shared", "hit"), ("key", "miss")])
def test_whose_clips_a_key_hears(server: Callable[..., Gateway], scope: str, others: str) -> None:
    gateway = server(gateway=f"{OPEN}cache: {{scope: {scope}}}\n", keys=keys(app="", other=""))
    assert [speak(gateway, name) for name in ("app", "app", "other", "other")] == ["miss", "hit", others, "hit"]


def test_another_key_under_a_name_does_not_inherit_its_clips(server: Callable[..., Gateway]) -> None:
    gateway = server(gateway=f"{OPEN}cache: {{scope: key}}\n", keys=keys(app=""))
    assert [speak(gateway, "app"), speak(gateway, "app")] == ["miss", "hit"]
    rewrite(gateway, keys(app="").replace(sha("vg_app"), sha("vg_again")))
    until(lambda: ask(gateway, "GET /v1/engines", bearer("again")).status_code == 200)
    assert speak(gateway, "again") == "miss"


@pytest.mark.parametrize(("scope", "other"), [("shared", "follow"), ("key", "miss")])
def test_whose_making_a_key_hears(server: Callable[..., Gateway], scope: str, other: str) -> None:
    gateway = server(
        gateway=f"{OPEN}cache: {{scope: {scope}}}\n",
        engines="version: 1\nengines:\n  tone: {kind: tone, slots: 4, real_time_factor: 1}\n",
        keys=keys(app="", other=""),
    )
    body = {"input": "One two three four five. " * 4, "response_format": "pcm"}
    with gateway.client.stream("POST", "/v1/speech", json=body, headers=bearer("app")) as first:
        pieces = first.iter_raw(1)  # whose end would close the connection
        next(pieces)  # it speaks the first sentence, and as long as that for each of the others
        with gateway.client.stream("POST", "/v1/speech", json=body, headers=bearer("other")) as second:
            found = [one.headers["x-voxgate-cache"] for one in (first, second)]
            for _ in second.iter_raw():
                pass
    assert found == ["miss", other]


# --- while it runs ---


def rewrite(gateway: Gateway, text: str | None) -> None:
    """Put another keys.yaml into its place, or none."""
    file = gateway.runtime.config.directory / "keys.yaml"
    if text is None:
        file.unlink()
        return
    beside = Path(f"{file}.new")
    beside.write_text(text)
    beside.replace(file)


def status(gateway: Gateway, name: str = "") -> int:
    return ask(gateway, "GET /v1/engines", bearer(name) if name else {}).status_code


def test_a_key_that_is_revoked_is_refused_and_others_are_not(server: Callable[..., Gateway]) -> None:
    gateway = server(keys=keys(app="", other=""))
    assert status(gateway, "app") == 200
    rewrite(gateway, keys(app="revoked: 2026-11-20T12:00:00Z", other=""))
    until(lambda: status(gateway, "app") == 401)
    assert status(gateway, "other") == 200


@pytest.mark.parametrize("text", [None, "version: 1\n", keys(app="revoked: 2026-11-20T12:00:00Z")])
def test_who_takes_the_last_key_away_opens_nothing(server: Callable[..., Gateway], text: str | None) -> None:
    gateway = server(keys=keys(app=""))
    rewrite(gateway, text)
    until(lambda: status(gateway, "app") == 401)
    assert status(gateway) == 401
    assert "engines" not in gateway.client.get("/readyz").json()


def test_the_first_key_closes_the_door(server: Callable[..., Gateway]) -> None:
    gateway = server()
    assert status(gateway) == 200
    rewrite(gateway, keys(app=""))
    until(lambda: status(gateway) == 401)
    assert status(gateway, "app") == 200


def test_a_mistake_in_the_file_leaves_the_keys_as_they_were(server: Callable[..., Gateway]) -> None:
    gateway = server(keys=keys(chief="admin: true"))
    rewrite(gateway, "version: 1\nkeys: [nonsense]\n")
    until(lambda: gateway.client.get("/readyz", headers=bearer("chief")).json()["config"]["ok"] is False)
    assert (status(gateway), status(gateway, "chief")) == (401, 200)


def test_a_key_expires_at_its_moment_without_a_reload(server: Callable[..., Gateway]) -> None:
    class Later(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(days=2)

    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    gateway = server(keys=keys(app=f"expires: '{tomorrow}'", other=""))
    assert (status(gateway, "app"), status(gateway, "other")) == (200, 200)
    gateway.runtime.clock = Later()
    assert (status(gateway, "app"), status(gateway, "other")) == (401, 200)


def test_what_a_revoked_key_began_is_finished(server: Callable[..., Gateway]) -> None:
    gateway = server(
        engines="version: 1\nengines:\n  tone: {kind: tone, real_time_factor: 1}\n",
        keys=keys(app="", chief="admin: true"),
    )
    body = {"input": "One two three four five. " * 8, "response_format": "pcm"}
    with gateway.client.stream("POST", "/v1/speech", json=body, headers=bearer("app")) as response:
        pieces = response.iter_raw()
        next(pieces)
        rewrite(gateway, keys(app="revoked: 2026-11-20T12:00:00Z", chief="admin: true"))
        until(lambda: status(gateway, "app") == 401)
        busy = ask(gateway, "GET /v1/engines", bearer("chief")).json()["engines"]["tone"]["busy"]
        for _ in pieces:
            pass
    assert busy == 1  # it was refused while it was speaking still
    outcome = gateway.client.get(f"/v1/speech/{response.headers['x-request-id']}", headers=bearer("chief")).json()
    assert (outcome["state"], outcome["bytes"]) == ("complete", response.num_bytes_downloaded)


def test_requests_while_keys_change_are_answered_by_old_keys_or_new_ones(server: Callable[..., Gateway]) -> None:
    # a reload amid requests gives nobody anything but 200 or 401
    gateway = server(keys=keys(app="", other=""))
    seen: list[int] = []
    over = threading.Event()

    def asking() -> None:
        with httpx.Client(base_url=gateway.url, timeout=20) as client:
            while not over.is_set():
                response = client.post("/v1/speech", json={"input": "one"}, headers=bearer("app"))
                seen.append(response.status_code)

    thread = threading.Thread(target=asking)
    thread.start()
    try:
        for text in (keys(other=""), keys(app="", other=""), keys(other="")):
            before = gateway.runtime.reloader.succeeded
            rewrite(gateway, text)
            until(lambda before=before: gateway.runtime.reloader.succeeded > before)  # type: ignore[misc]
        until(lambda: bool(seen) and seen[-1] == 401)
    finally:
        over.set()
        thread.join(20)
    assert set(seen) == {200, 401}
