"""The engine before stand-in servers: which it asks, what it knows of them, and what becomes of their faults."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import engines.openai.client
import engines.openai.engine
import engines.openai.targets
import engines.openai.visit
from engines.contract import Engine, Instance, SpeechRequest
from engines.errors import EngineFault, Throttled, Unavailable, Unsupported
from engines.openai import KIND
from engines.testing import count_beeps, speak_all
from tests.engines.openai.servers import IndexTtsVllm, KokoroFastAPI, OpenAI, Server, VllmOmni, faults
from tests.engines.openai.servers.dialect import Dialect
from tests.engines.openai.servers.sound import wav
from tests.engines.openai.servers.wire import Heard, Reply, json_reply
from tests.redis_at_hand import free_port

REQUEST = SpeechRequest("one two three", "en")
Speaking = Callable[..., AbstractAsyncContextManager[Engine]]


@asynccontextmanager
async def speaking(
    *urls: str, preset: str = "kokoro-fastapi", gateway: str = "", start: bool = True, **said: Any
) -> AsyncIterator[Engine]:
    """A started engine in front of these servers."""
    options = KIND.options.model_validate({"urls": urls, "preset": preset, **said})
    engine = KIND.create(Instance("far", slots=8, gateway=gateway), options)
    try:
        if start:
            await engine.start()
        yield engine
    finally:
        await engine.close()


async def beeps(engine: Engine, request: SpeechRequest = REQUEST) -> int:
    chunks = await speak_all(engine, request)
    return count_beeps(b"".join(chunk.pcm for chunk in chunks), chunks[0].sample_rate)


class Told:
    """A dialect whose lists are what the test says, under the speech of another."""

    def __init__(self, inner: Dialect, **lists: object) -> None:
        self.inner, self.lists = inner, lists
        self.base, self.speech_path, self.rate_hz, self.voices = (
            *(inner.base, inner.speech_path),
            *(inner.rate_hz, inner.voices),
        )

    async def answer(self, heard: Heard) -> Reply:
        told = self.lists.get(heard.path.rpartition("/")[2])
        if isinstance(told, Reply):
            return told
        return await self.inner.answer(heard) if told is None else json_reply(200, told)

    def error(self, status: int, message: str, code: str = "") -> Reply:
        return self.inner.error(status, message, code)


# --- several servers ---


async def test_many_at_once_are_shared_among_the_servers() -> None:
    with Server(KokoroFastAPI()) as one, Server(KokoroFastAPI()) as other:
        async with speaking(one.url, other.url) as engine:
            assert await asyncio.gather(*(beeps(engine) for _ in range(6))) == [3] * 6
        assert (len(one.speeches), len(other.speeches)) == (3, 3)


@pytest.mark.parametrize(
    "fault",
    [
        faults.failing(500),
        faults.failing(503),
        faults.failing(401),
        faults.failing(429, retry_after="9"),
        faults.hanging_up(),
        faults.hanging_up("reset"),
        faults.empty(),
        faults.cut(0),
        faults.page(),
        faults.error_with_200(),
        faults.gibberish(),
    ],
)
async def test_a_server_that_fails_before_any_audio_is_followed_by_the_next(fault: faults.Fault) -> None:
    with Server(KokoroFastAPI()) as one, Server(KokoroFastAPI()) as other:
        async with speaking(one.url, other.url) as engine:
            one.always(fault)
            other.always(fault)
            with pytest.raises((EngineFault, Unavailable, Throttled)):
                await beeps(engine)
            assert (bool(one.speeches), bool(other.speeches)) == (True, True)
            other.always(None)
            assert [await beeps(engine) for _ in range(3)] == [3] * 3


async def test_one_that_died_is_left_alone_and_all_that_follow_speak_at_once() -> None:
    with Server(KokoroFastAPI()) as one, Server(KokoroFastAPI()) as other:
        async with speaking(one.url, other.url) as engine:
            one.stop()
            assert await asyncio.gather(*(beeps(engine) for _ in range(4))) == [3] * 4
        assert len(other.speeches) == 4
        one.start()


async def test_what_every_server_would_refuse_is_asked_of_one_alone() -> None:
    with Server(KokoroFastAPI()) as one, Server(KokoroFastAPI()) as other:
        async with speaking(one.url, other.url) as engine:
            for server in (one, other):
                server.always(faults.failing(400, "text too long"))
            with pytest.raises(Unsupported, match="text too long"):
                await beeps(engine)
        assert len(one.speeches) + len(other.speeches) == 1


async def test_a_failure_amid_the_audio_is_not_made_good_by_another_server() -> None:
    """It would be heard twice: whether the speech goes on elsewhere is the gateway's to say."""
    with Server(KokoroFastAPI()) as one, Server(KokoroFastAPI()) as other:
        async with speaking(one.url, other.url) as engine:
            one.always(faults.cut(5000))
            other.always(faults.cut(5000))
            with pytest.raises(EngineFault, match="broke off"):
                await beeps(engine)
        assert len(one.speeches) + len(other.speeches) == 1


async def test_of_all_failures_the_one_is_told_that_says_when_to_come_back() -> None:
    with Server(KokoroFastAPI()) as one, Server(KokoroFastAPI()) as other, Server(KokoroFastAPI()) as third:
        async with speaking(one.url, other.url, third.url) as engine:
            one.always(faults.failing(401))
            other.always(faults.failing(429, retry_after="20"))
            third.always(faults.failing(429, retry_after="3"))
            with pytest.raises(Throttled) as caught:
                await beeps(engine)
    assert caught.value.retry_after_s == 3


async def test_one_that_was_silent_until_its_listener_left_is_not_asked_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.openai.targets, "SILENT_S", 0.0)
    with Server(KokoroFastAPI()) as one, Server(KokoroFastAPI()) as other:
        async with speaking(one.url, other.url) as engine:
            one.always(faults.silent())
            waiting = asyncio.ensure_future(beeps(engine))
            await asyncio.to_thread(one.speech)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await asyncio.to_thread(one.speech().left.wait, 20)
            assert [await beeps(engine) for _ in range(3)] == [3] * 3
        assert len(one.speeches) == 1


async def test_a_server_is_left_alone_for_as_long_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.openai.targets, "BACK_OFF_S", 0.0)
    with Server(KokoroFastAPI()) as one, Server(KokoroFastAPI()) as other:
        async with speaking(one.url, other.url) as engine:
            one.always(faults.failing(429, retry_after="30"))
            assert [await beeps(engine) for _ in range(4)] == [3] * 4
        assert len(one.speeches) == 1


async def test_the_next_server_is_asked_when_the_first_is_silent_for_too_long() -> None:
    with Server(KokoroFastAPI()) as one, Server(KokoroFastAPI()) as other:
        async with speaking(one.url, other.url, first_byte_s=0.2) as engine:
            one.then(faults.silent())
            assert await beeps(engine) == 3
        assert (len(one.speeches), len(other.speeches)) == (1, 1)


async def test_the_head_of_a_wav_file_is_no_audio_yet() -> None:
    """Servers send it at once, and then find nobody to speak."""
    with Server(VllmOmni()) as one, Server(VllmOmni()) as other:
        async with speaking(one.url, other.url, preset="vllm-omni", first_byte_s=0.3) as engine:
            one.then(faults.held(44))
            assert await beeps(engine) == 3
        assert (len(one.speeches), len(other.speeches)) == (1, 1)


# --- connections ---


async def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing_but_a_second_try() -> None:
    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url) as engine:
            await beeps(engine)
            server.then(faults.hanging_up())  # on a connection that was kept: the server may just have closed it
            assert await beeps(engine) == 3
        assert len(server.speeches) == 3


async def test_a_request_whose_connection_was_its_own_is_sent_once() -> None:
    """A speech may cost money, and a server that hangs up has perhaps begun with it."""
    last = {"connection": "close"}
    told = {name: replace(json_reply(200, {"data": []}), headers=last) for name in ("voices", "models")}
    with Server(Told(KokoroFastAPI(), **told)) as server:
        async with speaking(server.url) as engine:
            server.then(faults.hanging_up())
            with pytest.raises(Unavailable, match="without an answer"):
                await beeps(engine)
        assert len(server.speeches) == 1


async def test_a_listener_that_does_not_read_stops_the_server() -> None:
    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url) as engine:
            server.then(lambda reply, _: replace(reply, body=bytes(24 << 20)))  # more than systems keep in between
            async with aclosing(engine.synthesize(REQUEST)) as chunks:
                await anext(chunks)
                assert not await asyncio.to_thread(server.speech().answered.wait, 1)
            assert await asyncio.to_thread(server.speech().left.wait, 20)


async def test_nothing_but_the_gateways_slots_limits_how_many_speak_at_once() -> None:
    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url) as engine:
            server.always(faults.held(5000))
            speeches = [asyncio.ensure_future(beeps(engine)) for _ in range(12)]
            await asyncio.to_thread(server.speech, 12)
            server.go_on()
            assert await asyncio.gather(*speeches) == [3] * 12


async def test_an_answer_is_wanted_as_it_is() -> None:
    """Compressed, it would come later, and its end could not be told from a cut."""
    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url) as engine:
            await beeps(engine)
        assert {one.headers["accept-encoding"] for one in server.heard} == {"identity"}


async def test_a_cookie_is_not_brought_back() -> None:
    """By it, a server would know whose speeches belong together."""
    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url.replace("127.0.0.1", "localhost")) as engine:
            server.then(faults.labelled(set_cookie="who=it"))
            assert [await beeps(engine) for _ in range(2)] == [3, 3]
        assert not any("cookie" in one.headers for one in server.heard)


async def test_a_request_that_its_server_dies_of_is_sent_twice_at_most() -> None:
    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url) as engine:
            server.always(faults.hanging_up())
            for sent in (2, 3):  # the second time there is no connection that could have been kept
                with pytest.raises(Unavailable, match="without an answer"):
                    await beeps(engine)
                assert len(server.speeches) <= sent + 1
        assert len(server.speeches) <= 4


async def test_a_body_whose_end_cannot_be_told_from_a_cut_is_not_believed() -> None:
    def until_closed(head: bytes, *, whole: bool) -> faults.Fault:
        def fault(reply: Reply, dialect: Dialect) -> Reply:
            body = wav(reply.body, dialect.rate_hz, len(reply.body)) if whole else reply.body
            return Reply(raw=b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)

        return fault

    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url) as engine:
            server.then(until_closed(b"content-type: audio/pcm", whole=False))
            with pytest.raises(EngineFault, match="told from a cut"):
                await beeps(engine)
            for coding in (b"gzip", b"identity"):  # neither says where it ends, as chunks do
                server.then(until_closed(b"transfer-encoding: " + coding, whole=False))
                with pytest.raises(EngineFault, match="told from a cut"):
                    await beeps(engine)
            server.then(until_closed(b"content-type: audio/wav", whole=True))
            assert await beeps(engine) == 3, "a wav file says how long it is"


async def test_of_several_files_that_end_with_the_connection_each_must_tell_its_length() -> None:
    def fault(reply: Reply, dialect: Dialect) -> Reply:
        files = wav(reply.body, dialect.rate_hz, len(reply.body)) + wav(reply.body[:2000], dialect.rate_hz)
        return Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\n\r\n" + files)

    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url) as engine:
            server.then(fault)
            with pytest.raises(EngineFault, match="told from a cut"):
                await beeps(engine)


@pytest.mark.parametrize("body", [b"", b"{", b" " * 30], ids=["nothing", "a beginning", "and no end"])
@pytest.mark.parametrize("ends", [True, False])
async def test_a_status_counts_however_little_of_what_is_said_beside_it_comes(
    monkeypatch: pytest.MonkeyPatch, body: bytes, ends: bool
) -> None:
    monkeypatch.setattr(engines.openai.client, "_COMPLAINT_S", 0.1)

    def fault(reply: Reply, dialect: Dialect) -> Reply:
        said = Reply(bytes(500), "application/json", 429, {"retry-after": "7"}, sized=True)
        return replace(said, stops_at=len(body)) if ends else replace(said, held_at=len(body))

    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url) as engine, asyncio.timeout(10):
            server.then(fault)
            with pytest.raises(Throttled) as caught:
                await beeps(engine)
    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("status", [200, 500])
async def test_what_is_no_audio_is_not_read_at_any_length(status: int) -> None:
    endless = Reply(b" " * (5 << 20) + b'{"voices": ["x"]}', "application/json", status)
    with Server(Told(KokoroFastAPI(), voices=endless)) as server:
        async with speaking(server.url, start=False) as engine:
            with pytest.raises(EngineFault, match="cannot be right" if status == 200 else "HTTP 500"):
                await engine.start()


@pytest.mark.parametrize("status", [b"200 OK", b"429 Too Many Requests"])
async def test_what_is_no_audio_is_given_up_however_steadily_it_comes(
    monkeypatch: pytest.MonkeyPatch, status: bytes
) -> None:
    monkeypatch.setattr(engines.openai.visit, "WITHIN_S", 0.2)
    monkeypatch.setattr(engines.openai.client, "_COMPLAINT_S", 0.2)

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n" % status)
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        left.set()

    left = asyncio.Event()
    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, asyncio.timeout(20):
        async with speaking(url, models_path="") as engine:
            assert engine.info.voices == ()
        await left.wait()


async def test_a_proxy_of_the_environment_is_used_but_for_those_that_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Server(KokoroFastAPI()) as proxy, Server(KokoroFastAPI()) as near:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with speaking("http://gpu-box.internal/v1") as engine:
            assert await beeps(engine) == 3
        assert proxy.speeches[0].headers["host"] == "gpu-box.internal"
        heard = len(proxy.heard)
        async with speaking(near.url) as engine:
            assert await beeps(engine) == 3
        assert len(proxy.heard) == heard


async def test_an_engine_that_is_closed_lets_go_of_what_it_was_saying() -> None:
    with Server(KokoroFastAPI()) as server:
        server.then(faults.held(5000))
        async with speaking(server.url) as engine, aclosing(engine.synthesize(REQUEST)) as chunks:
            await anext(chunks)
            await engine.close()
            with pytest.raises(EngineFault, match="broke off"):
                _ = [chunk async for chunk in chunks]
            assert await asyncio.to_thread(server.speech().left.wait, 20)
            with pytest.raises(Unavailable, match="not started"):
                await beeps(engine)
            with pytest.raises(Unavailable, match="not started"):
                await engine.check()
            await engine.close()


async def test_who_waits_for_audio_of_an_engine_that_is_closed_is_told_at_once() -> None:
    heard, waits = 0, asyncio.Event()

    async def listen(engine: Engine) -> None:
        nonlocal heard
        async for chunk in engine.synthesize(REQUEST):
            heard += len(chunk.pcm)
            if heard == 5000:
                waits.set()

    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url) as engine, asyncio.timeout(20):
            server.then(faults.held(5000))
            listening = asyncio.ensure_future(listen(engine))
            await waits.wait()
            await engine.close()
            with pytest.raises(EngineFault, match="broke off"):
                await listening


async def test_a_visit_that_is_overtaken_by_the_close_says_that_the_engine_was_closed() -> None:
    said: list[str] = []
    with Server(KokoroFastAPI()) as server:
        for steps in range(12):
            async with speaking(server.url, start=False) as engine:
                starting = asyncio.ensure_future(engine.start())
                for _ in range(steps):
                    await asyncio.sleep(0)
                await engine.close()
                try:
                    await starting
                except (Unavailable, EngineFault) as error:
                    said.append(error.message)
        async with speaking(server.url) as engine:
            assert await beeps(engine) == 3
    assert said
    server_s = "the engine's server "  # how far the visit had come is the network's affair
    cut = {f"{server_s}closed the connection without an answer", f"{server_s}broke off amid its answer"}
    assert set(said) <= {"the engine was closed", *cut}


# --- other gateways ---


async def test_a_server_is_told_which_gateways_a_request_came_through() -> None:
    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url, gateway="here") as engine:
            await beeps(engine, replace(REQUEST, via=("first", "second")))
        visits = [one for one in server.heard if one.method == "GET"]
        assert {one.headers["via"] for one in visits} == {"1.1 here"}
        assert server.speech().headers["via"] == "1.1 first, 1.1 second, 1.1 here"


async def test_outside_a_gateway_nothing_is_said_of_one() -> None:
    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url) as engine:
            await beeps(engine)
        assert not any("via" in one.headers for one in server.heard)


async def test_a_loop_is_found_at_the_start() -> None:
    loop = json_reply(508, {"error": {"message": "no", "code": "loop_detected"}})
    with Server(Told(KokoroFastAPI(), models=loop)) as server:
        async with speaking(server.url, start=False) as engine:
            with pytest.raises(Unavailable, match="this gateway itself") as caught:
                await engine.start()
    assert caught.value.retry_after_s is not None


# --- what is known of servers ---


async def test_nobody_there_is_told_at_the_start_and_one_of_several_is_enough() -> None:
    port = free_port()
    nobody = f"http://127.0.0.1:{port}/v1"
    async with speaking(nobody, f"http://localhost:{port}/v1", start=False) as engine:
        with pytest.raises(Unavailable, match="connection refused") as caught:
            await engine.start()
        assert str(port) not in caught.value.message
    with Server(KokoroFastAPI()) as server:
        async with speaking(nobody, server.url) as engine:
            await engine.check()
            assert await beeps(engine) == 3


async def test_where_there_is_a_choice_of_models_and_none_is_said_the_start_says_so(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-stand-in")
    said: dict[str, Any] = {"preset": "openai", "api_key_file": str(key)}
    with Server(OpenAI()) as server:
        async with speaking(server.url, start=False, **said) as engine:
            with pytest.raises(Unavailable, match=r"tts-1, tts-1-hd, gpt-4o-mini-tts\).*`model`") as caught:
                await engine.start()
            assert caught.value.retry_after_s is not None
            with pytest.raises(Unavailable, match="`model`"):
                await engine.check()
        unnamed: dict[str, Any] = {"names": {"model": ""}}
        for more in ({"model": "tts-1"}, {**unnamed, "fields": {"model": "tts-1"}}):
            async with speaking(server.url, **said, **more) as engine:
                assert await beeps(engine) == 3
        async with speaking(server.url, **said, **unnamed) as engine:
            await engine.check()
    with Server(KokoroFastAPI()) as server:  # takes its own where none is said
        async with speaking(server.url) as engine:
            assert await beeps(engine) == 3


async def test_a_server_without_tls_is_not_spoken_to_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.openai.visit, "WITHIN_S", 0.2)
    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url.replace("http:", "https:"), start=False) as engine:
            with pytest.raises(Unavailable, match="cannot be reached"):
                await engine.start()
        assert not server.heard


async def test_one_that_went_is_noticed_and_so_is_its_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.openai.engine, "VISIT_EVERY_S", 0.0)
    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url) as engine:
            await engine.check()
            server.stop()
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await engine.check()
            server.start()
            await engine.start()
            await engine.check()
            assert await beeps(engine) == 3


async def test_voices_that_come_and_go_are_known_after_the_next_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.openai.engine, "VISIT_EVERY_S", 0.0)
    told = Told(KokoroFastAPI(), voices={"voices": ["af_bella"]})
    with Server(told) as server:
        async with speaking(server.url) as engine:
            assert [voice.id for voice in engine.info.voices] == ["af_bella"]
            told.lists["voices"] = {"voices": ["af_bella", "am_adam"]}
            await engine.check()
            assert [voice.id for voice in engine.info.voices] == ["af_bella", "am_adam"]
            told.lists["voices"] = json_reply(500, {})
            with pytest.raises(EngineFault):
                await engine.check()


@pytest.mark.parametrize("now", [Reply(held_at=-1), json_reply(429, {}, retry_after="1")], ids=["silent", "throttled"])
async def test_what_a_server_listed_is_not_forgotten_while_it_has_no_time_to_list_it(
    monkeypatch: pytest.MonkeyPatch, now: Reply
) -> None:
    """Else its voices, its only model and the keys of all clips would change whenever it is busy."""
    monkeypatch.setattr(engines.openai.engine, "VISIT_EVERY_S", 0.0)
    monkeypatch.setattr(engines.openai.visit, "WITHIN_S", 0.2)
    told = Told(KokoroFastAPI(), voices={"voices": ["af_bella"]}, models={"data": [{"id": "only"}]})
    with Server(told) as server:
        async with speaking(server.url) as engine:
            before = engine.info
            told.lists = {"voices": now, "models": now}
            await engine.check()
            assert engine.info == before
            told.lists = {"voices": json_reply(404, {}), "models": json_reply(404, {})}
            await engine.check()
            assert engine.info.voices == ()


async def test_a_check_asks_nothing_of_a_server_that_has_just_spoken() -> None:
    with Server(KokoroFastAPI()) as server:
        async with speaking(server.url) as engine:
            heard = len(server.heard)
            for _ in range(5):
                await engine.check()
            assert len(server.heard) == heard


@pytest.mark.parametrize("status", [403, 404, 405, 429])
async def test_a_server_that_lists_nothing_is_there_all_the_same(status: int) -> None:
    nothing = json_reply(status, {"detail": "Not Found"})
    with Server(Told(KokoroFastAPI(), voices=nothing, models=nothing)) as server:
        async with speaking(server.url) as engine:
            assert engine.info.voices == ()
            assert await beeps(engine) == 3


async def test_a_server_that_answers_nobody_while_it_speaks_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.openai.visit, "WITHIN_S", 0.1)
    never = Reply(held_at=-1)
    with Server(Told(KokoroFastAPI(), voices=never, models=never)) as server:
        async with speaking(server.url) as engine:
            assert await beeps(engine) == 3


@pytest.mark.parametrize(("models", "asked"), [(["only"], "only"), (["one", "other"], None), ([], None)])
async def test_the_only_model_that_is_listed_is_the_one_that_is_meant(models: list[str], asked: str | None) -> None:
    told = Told(IndexTtsVllm(), models={"data": [{"id": name} for name in models]})
    with Server(told) as server:
        said: Mapping[str, object] = {"models_path": "/models", "names": {"model": "model"}}
        async with speaking(server.url, preset="index-tts-vllm", **said) as engine:
            await beeps(engine)
            assert (asked or "") in engine.info.version
        assert server.speech().json.get("model") == asked


async def test_a_rate_that_is_heard_is_the_rate_of_its_voices_from_then_on() -> None:
    model = VllmOmni()
    model.rate_hz = 44100  # type: ignore[misc]
    with Server(model) as server:
        async with speaking(server.url, preset="vllm-omni") as engine:
            assert {voice.sample_rate for voice in engine.info.voices} == {24000}
            assert await beeps(engine) == 3
            assert {voice.sample_rate for voice in engine.info.voices} == {44100}


async def test_a_key_that_was_renewed_counts_after_the_next_check(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-old")
    with Server(OpenAI("sk-new")) as server:
        said = {"preset": "openai", "model": "tts-1", "api_key_file": str(file)}
        async with speaking(server.url, start=False, **said) as engine:
            with pytest.raises(Unavailable, match="refuses the key"):
                await engine.start()
            file.write_text("sk-new")
            await engine.start()
            assert await beeps(engine) == 3
            file.unlink()
            with pytest.raises(Unavailable, match="not there any more"):
                await engine.check()


async def test_the_log_tells_which_server_failed_and_that_it_is_back_and_no_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "voxgate.openai")
    with Server(KokoroFastAPI()) as one, Server(KokoroFastAPI()) as other:
        async with speaking(one.url, other.url) as engine:
            for server in (one, other):
                server.then(faults.failing(500), faults.failing(500))
            for _ in range(2):
                with pytest.raises(EngineFault):
                    await beeps(engine)
            assert await beeps(engine) == 3
    told = [record.getMessage() for record in caplog.records if record.name == "voxgate.openai"]
    assert told[:2] == [f"engine far: server {n} of 2: the engine's server failed (HTTP 500)" for n in (1, 2)]
    assert len(told) == 3
    assert told[2].endswith("it speaks again")
