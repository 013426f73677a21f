"""A server that stands in for Model Studio over real sockets, written from its public documentation.

It speaks Sambert's and CosyVoice's protocol at one address, refuses what the pages say is refused, and breaks where a
test says so: `doors` holds what becomes of the next handshakes, `acts` of the next tasks. It counts what it sees.
The official SDK as its client (test_sdk.py) shows that it speaks as the real one.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.engines.sambert import speech

KEY = "sk-0123456789abcdef"
PATH = "/api-ws/v1/inference"
MODELS = re.compile(r"sambert-(?!nobody)[a-z]+(-emo)?-v1|cosyvoice-v\d(-\w+)?")
MAX_CHARS = 10_000  # of one Sambert task
MAX_PIECE_CHARS, MAX_TASK_CHARS = 20_000, 200_000  # of CosyVoice

Fault = Literal["failed", "reset", "close", "bad_json", "no_object", "bad_text", "bad_frame", "foreign", "silence"]
Point = Literal["first", "started", "half", "end"]


@dataclass(frozen=True)
class Door:
    """What becomes of a handshake: turned away with a status, or neither answered nor closed, or cut off."""

    status: int = 0
    code: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    fault: Literal["", "silence", "reset"] = ""


@dataclass(frozen=True)
class Act:
    """What becomes of a task. A fault strikes before task-started, after it, after half the audio, or after all."""

    fault: Fault | None = None
    at: Point = "half"
    code: str = "InternalError"
    said: str = "an internal error has occurred"
    frame_bytes: int = 3200
    audio: bytes | None = None  # instead of the text's own
    finished: Literal["null", "bare", "empty"] = "null"  # how task-finished looks: the pages have two ways
    strange: bool = False  # sends events and fields that are not documented


@dataclass
class Seen:
    """One task as the server saw it."""

    task_id: str
    payload: dict[str, Any]
    connection: int  # a number, in the order in which they came
    text: str = ""
    audio_bytes: int = 0
    pieces: int = 0
    state: Literal["running", "finished", "failed", "left"] = "running"


class Broken(Exception):
    """The client said what the service refuses, or the test wants it so."""

    def __init__(self, code: str, said: str) -> None:
        super().__init__(code)
        self.code, self.said = code, said


@dataclass
class Service:
    """`async with Service() as service:` listens on a port of its own, at `service.endpoint`."""

    key: str = KEY
    starts_per_s: int = 0  # more are throttled; 0: not limited
    patience_s: float = 23.0  # for the client's next piece of text
    idle_s: float = 60.0  # for its next task
    clock: Callable[[], float] = time.monotonic
    doors: deque[Door] = field(default_factory=deque)
    acts: deque[Act] = field(default_factory=deque)
    usual: Act = field(default_factory=Act)  # when `acts` is empty
    handshakes: list[Headers] = field(default_factory=list)
    tasks: list[Seen] = field(default_factory=list)
    accepted: int = 0  # connections
    open: int = 0  # connections now
    closes: list[int | None] = field(default_factory=list)  # codes with which connections were closed by the client

    async def __aenter__(self) -> Service:
        self._changed = asyncio.Condition()
        self._starts: deque[float] = deque()
        self._server: Server = await serve(
            self._serve, "127.0.0.1", 0, process_request=self._admit, compression=None, ping_interval=None,
            max_size=16 * 1024 * 1024, close_timeout=0.2, server_header=None,
        )  # fmt: skip
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def endpoint(self) -> str:
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}{PATH}"

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what the server will see; ten seconds at most."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(holds)

    # handshakes

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append(request.headers)
        await self._tell()
        door = self.doors.popleft() if self.doors else Door()
        if door.fault == "reset":
            connection.transport.abort()
        if door.fault:
            await connection.wait_closed()
        if not door.status and request.path.rstrip("/") != PATH:
            door = Door(404)
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if not door.status and (scheme.lower() != "bearer" or key != self.key):
            door = Door(401, "InvalidApiKey")
        return _turn_away(door) if door.status else None

    # connections

    async def _serve(self, socket: ServerConnection) -> None:
        number, self.accepted, self.open = self.accepted, self.accepted + 1, self.open + 1
        await self._tell()
        try:
            used: set[str] = set()
            while await self._run(socket, number, used):
                pass
        except ConnectionClosed:
            self.closes.append(socket.close_code)
        finally:
            for task in self.tasks:
                if task.connection == number and task.state == "running":
                    task.state = "left"
            self.open -= 1
            await self._tell()

    async def _run(self, socket: ServerConnection, number: int, used: set[str]) -> bool:
        """One task; False when the connection is of no more use."""
        try:
            async with asyncio.timeout(self.idle_s):
                message = json.loads(await socket.recv())
        except TimeoutError:
            return False
        header, payload = message["header"], message["payload"]
        act = self.acts.popleft() if self.acts else self.usual
        task = Seen(header["task_id"], payload, number)
        self.tasks.append(task)
        await self._tell()
        try:
            self._require_start(header, payload, used)
            used.add(task.task_id)
            await self._strike(socket, task, act, "first")
            await socket.send(_event(task.task_id, "task-started", {}))
            await self._strike(socket, task, act, "started")
            task.text = await self._read(socket, task, header, payload)
            await self._speak(socket, task, act)
            await self._strike(socket, task, act, "end")
        except Broken as fault:
            task.state = "failed"
            header = {"error_code": fault.code, "error_message": fault.said}
            await socket.send(_event(task.task_id, "task-failed", {}, **header))
            return False  # the service closes after a failure
        usage = {"usage": {"characters": _billed(task)}}
        shapes = {"null": {"output": None, **usage}, "bare": usage, "empty": {}}
        task.state = "finished"
        attributes = {"request_uuid": f"uuid-{len(self.tasks)}"}
        await socket.send(_event(task.task_id, "task-finished", shapes[act.finished], attributes=attributes))
        await self._tell()
        return True

    def _require_start(self, header: dict[str, Any], payload: dict[str, Any], used: set[str]) -> None:
        """Raise Broken where run-task is not as the pages say, and when too many tasks start."""
        want = {"task_group": "audio", "task": "tts", "function": "SpeechSynthesizer"}
        parameters, model = payload.get("parameters") or {}, str(payload.get("model"))
        duplex = model.startswith("cosyvoice")
        if header["action"] != "run-task" or {name: payload.get(name) for name in want} != want:
            raise Broken("InvalidParameter", "task can not be null")
        if not MODELS.fullmatch(model):
            raise Broken("ModelNotFound", f"Model not found ({model})!")
        voice_fits = parameters.get("voice") not in (None, "nobody") if duplex else True
        if header.get("streaming") != ("duplex" if duplex else "out") or not voice_fits:
            raise Broken("InvalidParameter", "[tts:]Engine return error code: 418")
        if not re.fullmatch(r"[0-9a-f-]{32,36}", header["task_id"]) or header["task_id"] in used:
            raise Broken("InvalidParameter", "task_id is not new")
        if not 8000 <= parameters.get("sample_rate", 16000) <= 48000 or parameters.get("format") == "mp3":
            raise Broken("InvalidParameter", "request format or sample_rate is not supported")
        now_s = self.clock()
        while self._starts and self._starts[0] <= now_s - 1:
            self._starts.popleft()
        if self.starts_per_s and len(self._starts) >= self.starts_per_s:
            raise Broken("Throttling.RateQuota", "Requests rate limit exceeded, please try again later.")
        self._starts.append(now_s)

    async def _read(self, socket: ServerConnection, task: Seen, header: dict[str, Any], payload: dict[str, Any]) -> str:
        """The text: Sambert's stands in run-task, CosyVoice's follows."""
        if header["streaming"] == "out":
            text, limit = str(payload["input"].get("text", "")), MAX_CHARS
        else:
            text, limit = "", MAX_TASK_CHARS
            async for piece in self._pieces(socket, task):
                text += piece
        if len(text) > limit:
            raise Broken("InvalidParameter", "the text is too long")
        if not speech.units(text):
            raise Broken("InvalidParameter", "[tts:]Engine return error code: 418")
        return text

    async def _pieces(self, socket: ServerConnection, task: Seen) -> Any:
        while True:
            try:
                async with asyncio.timeout(self.patience_s):
                    message = json.loads(await socket.recv())
            except TimeoutError:
                raise Broken("CLIENT_ERROR", "request timeout after 23 seconds.") from None
            header, given = message["header"], message["payload"]["input"]
            if header["task_id"] != task.task_id:
                raise Broken("InvalidParameter", "task_id is of another task")
            if header["action"] == "finish-task":
                return
            if header["action"] != "continue-task" or len(given.get("text", "")) > MAX_PIECE_CHARS:
                raise Broken("InvalidParameter", "the text is too long")
            task.pieces += 1
            yield str(given.get("text", ""))  # a flush has none

    async def _speak(self, socket: ServerConnection, task: Seen, act: Act) -> None:
        parameters = task.payload.get("parameters") or {}
        rate_hz, rate = parameters.get("sample_rate", 16000), parameters.get("rate", 1.0)
        audio = speech.pcm(task.text, rate_hz, rate) if act.audio is None else act.audio
        if parameters.get("format", "wav") == "wav":
            audio = speech.wav(audio, rate_hz)
        told = list(speech.sentences(task.text, rate)) if parameters.get("word_timestamp_enabled") else []
        struck = False
        for at in range(0, len(audio), act.frame_bytes):
            if not struck and 2 * at >= len(audio):
                await self._strike(socket, task, act, "half")
                struck = True
            if act.strange:
                await socket.send(_event(task.task_id, "audio-enhanced", {"output": {"sentence": []}, "more": 1}))
            if told:
                usage = {"characters": _billed(task)} if len(told) % 2 else None
                await socket.send(
                    _event(task.task_id, "result-generated", {"output": {"sentence": told.pop(0)}, "usage": usage})
                )
            frame = audio[at : at + act.frame_bytes]
            task.audio_bytes += len(frame)
            await socket.send(frame)
            await self._tell()
        for sentence in told:
            await socket.send(
                _event(task.task_id, "result-generated", {"output": {"sentence": sentence}, "usage": None})
            )

    async def _strike(self, socket: ServerConnection, task: Seen, act: Act, now: Point) -> None:
        """Break, if this is where the act says so."""
        if act.fault is None or act.at != now:
            return
        match act.fault:
            case "failed":
                raise Broken(act.code, act.said)
            case "reset":
                socket.transport.abort()
            case "close":
                await socket.close(1011, "")
            case "bad_json":
                await socket.send('{"header": {"task_id"')
            case "no_object":
                await socket.send("[1, 2]")
            case "bad_text":
                socket.transport.write(b"\x81\x02\xc3\x28")  # a text frame of two bytes that are not UTF-8
            case "bad_frame":
                socket.transport.write(b"\x83\x00")  # of a kind that RFC 6455, 5.2 keeps for later
            case "foreign":
                await socket.send(_event("0" * 32, "result-generated", {}))
        await socket.wait_closed()  # `silence` does only this
        raise ConnectionClosed(None, None)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _event(task_id: str, event: str, payload: dict[str, Any], **header: Any) -> str:
    return json.dumps({"header": {"task_id": task_id, "event": event, "attributes": {}, **header}, "payload": payload})


def _billed(task: Seen) -> int:
    return speech.billed(task.text, 2 if task.payload["model"].startswith("cosyvoice") else 1)


def _turn_away(door: Door) -> Response:
    status = HTTPStatus(door.status)
    body = json.dumps({"code": door.code, "message": status.phrase, "request_id": "0"}).encode() if door.code else b""
    headers = Headers([*door.headers, ("Content-Length", str(len(body))), ("Content-Type", "application/json")])
    return Response(status.value, status.phrase, headers, body)
