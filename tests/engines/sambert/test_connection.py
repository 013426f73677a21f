"""The driver over real sockets: every way in which a service breaks is one error, in time, and leaves nothing open."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from contextlib import aclosing, suppress

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.utils import accept_key

from engines.errors import EngineFault, SpeechError, Throttled, Unavailable
from engines.sambert.faults import MEND_S, Lost
from engines.sambert.pool import Pool
from engines.sambert.protocol import Audio, Event, Finished, Sentence, Started, Task
from engines.sambert.times import Times
from tests.engines.sambert import speech
from tests.engines.sambert.scene import (
    COSYVOICE,
    SAMBERT,
    TEXT,
    Hands,
    at_once,
    fault_of,
    hear,
    pcm_of,
    pool_at,
    rounds,
    until,
)
from tests.engines.sambert.service import Act, Door, Fault, Point, Service

BOTH = pytest.mark.parametrize("task", [SAMBERT, COSYVOICE], ids=["sambert", "cosyvoice"])
TIMES = Times()
#: long enough to fill every buffer on the way
LONG = Act(audio=bytes(8_000_000))


@BOTH
async def test_a_task_is_spoken_whole(task: Task) -> None:
    async with Service() as service, pool_at(service) as pool:
        events = await hear(pool, task)
    assert isinstance(events[0], Started)
    assert events[-1] == Finished(speech.billed(TEXT, 2 if task.duplex else 1))
    assert pcm_of(events) == speech.pcm(TEXT, 16000)
    assert (service.tasks[0].text, service.tasks[0].state) == (TEXT, "finished")
    assert service.handshakes[0]["User-Agent"] == "voxgate"
    assert "Sec-WebSocket-Extensions" not in service.handshakes[0]


@BOTH
async def test_words_come_with_their_times_between_the_audio(task: Task) -> None:
    wanted = Task(task.model, TEXT, {**task.parameters, "word_timestamp_enabled": True}, task.duplex)
    async with Service() as service, pool_at(service) as pool:
        events = await hear(pool, wanted)
    words = [word for event in events if isinstance(event, Sentence) for word in event.words]
    assert [word.text for word in words] == speech.units(TEXT)
    assert all(word.begin_ms < word.end_ms for word in words)
    assert words[-1].end_ms == len(pcm_of(events)) / 32


async def test_odd_frames_all_shapes_of_the_end_and_strange_events_are_taken() -> None:
    async with Service() as service, pool_at(service) as pool:
        for act in (Act(frame_bytes=1001), Act(finished="bare"), Act(finished="empty"), Act(strange=True)):
            service.acts.append(act)
            events = await hear(pool)
            assert pcm_of(events) == speech.pcm(TEXT, 16000)
            assert isinstance(events[-1], Finished)
    assert service.accepted == 1


@BOTH
@pytest.mark.parametrize("at", ["first", "started", "half", "end"])
async def test_every_break_at_every_point_is_an_error_and_closes_the_connection(task: Task, at: Point) -> None:
    breaks: tuple[Fault, ...] = (
        *("failed", "reset", "close", "bad_json", "no_object", "bad_text", "bad_frame", "foreign"),
    )
    whole = speech.pcm(TEXT, 16000)
    async with Service() as service, pool_at(service) as pool:
        for fault in breaks:
            service.acts.append(Act(fault, at))
            heard: list[Event] = []
            error = await fault_of(pool, task, heard)
            assert type(error) in (EngineFault, Lost), fault
            assert (error.retry_same, error.health) == (True, "hurt")
            assert whole.startswith(pcm_of(heard))
            assert bool(pcm_of(heard)) == (at in ("half", "end"))
            await service.until(lambda: service.open == 0)
        assert pcm_of(await hear(pool, task)) == whole  # the next task is none the worse
    assert service.accepted == len(breaks) + 1


@pytest.mark.parametrize(
    ("door", "kind", "retry_after_s"),
    [
        (Door(401, "InvalidApiKey"), Unavailable, MEND_S),
        (Door(403), Unavailable, MEND_S),
        (Door(400, "Arrearage"), Unavailable, MEND_S),
        (Door(404), Unavailable, MEND_S),
        (Door(429, "Throttling.RateQuota", (("Retry-After", "17"),)), Throttled, 17.0),
        (Door(500), EngineFault, None),
        (Door(503, "ModelUnavailable"), EngineFault, None),
        (Door(fault="reset"), Unavailable, None),
    ],
)
async def test_a_handshake_that_is_refused(door: Door, kind: type[SpeechError], retry_after_s: float | None) -> None:
    async with Service() as service, pool_at(service) as pool:
        service.doors.append(door)
        error = await fault_of(pool)
        assert (type(error), error.retry_after_s) == (kind, retry_after_s)
        assert service.tasks == []


async def test_a_wrong_key_is_told_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Service() as service:
        pool = Pool(service.endpoint, lambda: {"Authorization": "Bearer sk-of-somebody-else"})
        error = await fault_of(pool)
        assert type(error) is Unavailable
        assert "somebody" not in error.message
        ours = [record.getMessage() for record in caplog.records if record.name != "websockets.server"]
        assert "somebody" not in "".join(ours)
        assert "127.0.0.1" not in error.message
        await pool.close()


async def test_no_redirect_is_followed() -> None:
    async with Service() as service, Service() as other, pool_at(service) as pool:
        service.doors.append(Door(302, headers=(("Location", other.endpoint),)))
        error = await fault_of(pool)
    assert (type(error), error.retry_after_s) == (Unavailable, MEND_S)
    assert other.handshakes == []


async def test_nobody_at_the_endpoint() -> None:
    async with Service() as service:
        endpoint = service.endpoint
    for address in (endpoint, endpoint.replace("ws:", "wss:")):
        async with pool_at(address) as pool:
            error = await fault_of(pool)
        assert (type(error), error.retry_after_s) == (Unavailable, None)
        assert error.message == "the speech service cannot be reached: connection refused"


async def test_an_address_that_is_no_url() -> None:
    async with pool_at("wss://") as pool:
        assert "no URL" in (await fault_of(pool)).message


@pytest.mark.parametrize("answer", [b"", b"\x16\x03\x01", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
async def test_a_server_that_speaks_something_else(answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with pool_at(f"ws://127.0.0.1:{port}/") as pool:
            assert type(await fault_of(pool)) is Unavailable


async def test_the_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        monkeypatch.setenv("https_proxy", f"http://name:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        async with pool_at("wss://speech.invalid/api-ws/v1/inference") as pool:
            error = await fault_of(pool)
    assert asked[0].startswith(b"CONNECT speech.invalid:443")
    assert type(error) is Unavailable
    assert "secret" not in error.message


@pytest.mark.parametrize(
    ("at", "turned_s", "told"),
    [
        ("first", TIMES.start_s, "did not start within 5 s"),
        ("started", TIMES.first_audio_s, "no audio within 10 s"),
        ("half", TIMES.gap_s, "silent for 10 s"),
        ("end", TIMES.gap_s, "silent for 10 s"),
    ],
)
@BOTH
async def test_silence_is_bounded_at_every_point(task: Task, at: Point, turned_s: float, told: str) -> None:
    share = {"first": 0, "started": 0, "half": 0.5, "end": 1}[at]
    async with Service(usual=Act("silence", at)) as service, pool_at(service) as pool:
        hands, heard = Hands(), list[Event]()
        hearing = asyncio.create_task(fault_of(pool, task, heard))
        await until(lambda: bool(heard) or (at == "first" and bool(service.tasks)))
        await until(lambda: len(pcm_of(heard)) >= share * len(speech.pcm(TEXT, 16000)))
        hands.turn(turned_s - 1)
        await rounds()
        assert not hearing.done()
        hands.turn(1)
        error = await at_once(hearing)
        assert type(error) is EngineFault
        assert told in error.message
        await service.until(lambda: service.open == 0)


async def test_a_handshake_that_is_not_answered_is_bounded() -> None:
    async with Service() as service, pool_at(service) as pool:
        service.doors.append(Door(fault="silence"))
        hands = Hands()
        hearing = asyncio.create_task(fault_of(pool))
        await service.until(lambda: bool(service.handshakes))
        hands.turn(TIMES.connect_s)
        error = await at_once(hearing)
    assert type(error) is Unavailable
    assert "within 5 s" in error.message


async def test_the_whole_is_bounded_by_the_text() -> None:
    times = Times(whole_s=2.0, whole_s_per_char=0.25, gap_s=1000)
    async with Service(usual=Act("silence", "half")) as service, pool_at(service, times) as pool:
        hands, heard = Hands(), list[Event]()
        hearing = asyncio.create_task(fault_of(pool, SAMBERT, heard))
        await until(lambda: bool(pcm_of(heard)))
        hands.turn(2.0 + 0.25 * len(TEXT))
        assert "not done after 8 s" in (await at_once(hearing)).message


async def test_events_without_audio_do_not_make_it_wait_longer() -> None:
    nudges: asyncio.Queue[None] = asyncio.Queue()

    async def chatter(socket: ServerConnection) -> None:
        task_id = json.loads(await socket.recv())["header"]["task_id"]
        await socket.send(json.dumps({"header": {"task_id": task_id, "event": "task-started"}, "payload": {}}))
        for at_ms in range(9):
            await nudges.get()
            sentence = {"begin_time": at_ms, "words": [{"text": "床", "begin_time": at_ms, "end_time": at_ms + 1}]}
            header = {"task_id": task_id, "event": "result-generated"}
            await socket.send(json.dumps({"header": header, "payload": {"output": {"sentence": sentence}}}))

    async with serve(chatter, "127.0.0.1", 0, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with pool_at(f"ws://127.0.0.1:{port}/") as pool:
            hands, heard = Hands(), list[Event]()
            hearing = asyncio.create_task(fault_of(pool, SAMBERT, heard))
            await until(lambda: bool(heard))
            for told in range(1, 3):
                hands.turn(4.0)
                nudges.put_nowait(None)
                await until(lambda told=told: len(heard) == 1 + told)
            hands.turn(2.0)
            assert "no audio within 10 s" in (await at_once(hearing)).message
            for _ in range(9):
                nudges.put_nowait(None)


async def test_each_piece_of_audio_has_its_time() -> None:
    pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def speak(socket: ServerConnection) -> None:
        task_id = json.loads(await socket.recv())["header"]["task_id"]
        await socket.send(json.dumps({"header": {"task_id": task_id, "event": "task-started"}, "payload": {}}))
        for _ in range(4):
            await socket.send(await pieces.get())
        await socket.send(json.dumps({"header": {"task_id": task_id, "event": "task-finished"}, "payload": {}}))

    async with serve(speak, "127.0.0.1", 0, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with pool_at(f"ws://127.0.0.1:{port}/") as pool:
            hands, heard = Hands(), list[Event]()
            hearing = asyncio.create_task(hear(pool, SAMBERT, heard))
            await until(lambda: bool(heard))
            for count in range(1, 5):
                hands.turn(7.0)  # 28 altogether: more than a gap or a first audio may take
                pieces.put_nowait(bytes(3200))
                await until(lambda count=count: len(pcm_of(heard)) == 3200 * count)
            assert type((await hearing)[-1]) is Finished


async def test_a_listener_who_stops_for_minutes_is_told_the_rest_afterwards() -> None:
    """While the audio is held up, no sign of life of the service comes through: none must be waited for."""
    async with Service(usual=LONG) as service, pool_at(service) as pool:
        hands, length = Hands(), 0
        async with aclosing(pool.run(SAMBERT)) as running:
            async for event in running:
                if isinstance(event, Audio):
                    for _ in range(0 if length else 9):
                        hands.turn(21.0)
                        await rounds()
                    length += len(event.data)
    assert length == len(LONG.audio or b"")


async def test_a_listener_who_is_slow_uses_up_no_time() -> None:
    async with Service() as service, pool_at(service, Times(first_audio_s=0.5, gap_s=0.5, whole_s=1.0)) as pool:
        hands = Hands()
        async with aclosing(pool.run(SAMBERT)) as running:
            events = []
            async for event in running:
                events.append(event)
                hands.turn(1.0)
    assert pcm_of(events) == speech.pcm(TEXT, 16000)


@BOTH
@pytest.mark.parametrize("act", [Act("silence", "half"), LONG], ids=["waiting", "flooded"])
async def test_closing_the_generator_closes_the_connection(task: Task, act: Act) -> None:
    async with Service(usual=act) as service, pool_at(service) as pool:
        running = pool.run(task)
        async for event in running:
            if isinstance(event, Audio):
                break
        await running.aclose()
        await service.until(lambda: service.open == 0)
    assert service.tasks[0].state == "left"
    assert service.tasks[0].audio_bytes < len(LONG.audio or b"")


@pytest.mark.parametrize("at", ["first", "started", "half"])
async def test_cancelling_whoever_waits_closes_the_connection(at: Point) -> None:
    async with Service(usual=Act("silence", at)) as service, pool_at(service) as pool:
        hearing = asyncio.create_task(hear(pool))
        await service.until(lambda: bool(service.tasks))
        hearing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hearing
        await service.until(lambda: service.open == 0)
    assert service.tasks[0].state == "left"


async def test_a_close_that_is_cancelled_too_closes_at_once() -> None:
    """Here the service would never answer the close frame."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        accepted = accept_key(re.findall(r"(?i)sec-websocket-key: (\S+)", head)[0])
        upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade"
        writer.write(f"{upgrade}\r\nSec-WebSocket-Accept: {accepted}\r\n\r\n".encode())
        await reader.readexactly(100)
        asked.set()
        with suppress(ConnectionError):
            await reader.read()
        left.set()
        writer.close()

    async with await asyncio.start_server(fall_silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with pool_at(f"ws://127.0.0.1:{port}/", Times(close_s=1000)) as pool:
            hearing = asyncio.create_task(hear(pool))
            await asyncio.wait_for(asked.wait(), 3)
            hearing.cancel()
            await rounds()
            assert not hearing.done()
            hearing.cancel()
            await rounds()
            assert hearing.cancelled()
            await asyncio.wait_for(left.wait(), 3)


async def test_a_frame_may_be_large_and_is_bounded() -> None:
    for size, well in ((12_000_000, True), (17_000_000, False)):
        async with Service(usual=Act(audio=bytes(size), frame_bytes=size)) as service, pool_at(service) as pool:
            if well:
                assert len(pcm_of(await hear(pool))) == size
            else:
                assert type(await fault_of(pool)) is Lost


async def test_a_tap_hears_what_stands_on_the_wire() -> None:
    notes: list[tuple[str, str, str | bytes]] = []

    class Ear:
        def note(self, direction: str, what: str, data: str | bytes) -> None:
            notes.append((direction, what, data))

    async with Service() as service:
        endpoint = service.endpoint
        async with pool_at(service, tap=Ear()) as pool:
            await hear(pool)
        async with pool_at(service, tap=Ear()) as pool:
            service.acts.append(Act("silence", "started"))
            hearing = asyncio.create_task(hear(pool))
            await until(lambda: sum('"task-started"' in str(data) for _, _, data in notes) == 2)
            hearing.cancel()
            await asyncio.wait([hearing])
            service.acts.append(Act("close", "started"))
            await fault_of(pool)
            service.doors.append(Door(401))
            await fault_of(pool)
    heads = [json.loads(data) for _, what, data in notes if what == "head"]
    assert heads[0]["url"] == endpoint
    assert "Authorization" in heads[0]["headers"]
    assert [head["status"] for head in heads if "status" in head] == [101, 101, 101, 401]
    assert [what for direction, what, _ in notes if direction == "closed"] == ["1000", "cancelled", "1011"]
    first = [(direction, what) for direction, what, _ in notes][:6]
    assert first == [
        ("sent", "head"),
        ("received", "head"),
        ("sent", "text"),
        ("received", "text"),
        ("received", "binary"),
        ("received", "binary"),
    ]
    audio = b"".join(data for _, what, data in notes if what == "binary" and isinstance(data, bytes))
    assert audio == speech.pcm(TEXT, 16000)
