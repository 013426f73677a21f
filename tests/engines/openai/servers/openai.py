"""OpenAI's own API, as its reference describes `POST /audio/speech`, models and errors (read November 2026)."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from tests.engines.openai.servers.dialect import Complaint, model_list
from tests.engines.openai.servers.sound import MEDIA_TYPES, encoded, spoken, wav
from tests.engines.openai.servers.wire import Heard, Reply, json_reply

FIELDS = {"model", "input", "voice", "instructions", "response_format", "speed", "stream_format"}
#: characters of `input`
LONGEST = 4096
KINDS = {401: "invalid_request_error", 404: "invalid_request_error", 429: "requests", 503: "service_unavailable_error"}


class OpenAI:
    """Needs a key, refuses what it does not know, streams all formats, lists models and no voices."""

    base, speech_path, rate_hz = "/v1", "/v1/audio/speech", 24000
    voices: Sequence[str] = (
        *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"),
        *("marin", "nova", "onyx", "sage", "shimmer", "verse"),
    )
    models = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")

    def __init__(self, key: str = "sk-stand-in") -> None:
        self._key = key

    async def answer(self, heard: Heard) -> Reply:
        try:
            if heard.headers.get("authorization") != f"Bearer {self._key}":
                raise Complaint(self.error(401, "Incorrect API key provided.", "invalid_api_key"))
            if (heard.method, heard.path) == ("POST", self.speech_path):
                return await self._speech(heard.json)
            if (heard.method, heard.path) == ("GET", "/v1/models"):
                return model_list(self.models, "openai-internal")
            return self.error(404, f"Invalid URL ({heard.method} {heard.path})", "unknown_url")
        except Complaint as complaint:
            return complaint.reply

    def error(self, status: int, message: str, code: str = "", param: str | None = None) -> Reply:
        kind = "insufficient_quota" if code == "insufficient_quota" else KINDS.get(status, "invalid_request_error")
        if status == 500:
            kind = "server_error"
        body = {"error": {"message": message, "type": kind, "param": param, "code": code or None}}
        return json_reply(status, body, x_request_id="req_stand_in")

    async def _speech(self, body: dict[str, Any]) -> Reply:
        self._validate(body)
        pcm = await spoken(body["input"], self._voice(body), self.rate_hz, body.get("speed", 1.0))
        if body.get("stream_format") == "sse":
            return Reply(events(pcm), "text/event-stream")
        form = body.get("response_format", "mp3")
        audio = wav(pcm, self.rate_hz) if form == "wav" else encoded(pcm, self.rate_hz, form)
        return Reply(audio, MEDIA_TYPES[form], headers={"x-request-id": "req_stand_in"})

    def _validate(self, body: dict[str, Any]) -> None:
        def refuse(message: str, code: str, param: str, status: int = 400) -> None:
            raise Complaint(self.error(status, message, code, param))

        for name in ("model", "input", "voice"):
            if not body.get(name):
                refuse(f"Missing required parameter: '{name}'.", "missing_required_parameter", name)
        for name in sorted(set(body) - FIELDS):
            refuse(f"Unknown parameter: '{name}'.", "unknown_parameter", name)
        if body["model"] not in self.models:
            refuse(f"The model '{body['model']}' does not exist.", "model_not_found", "model", 404)
        if len(body["input"]) > LONGEST:
            refuse(f"Invalid 'input': longer than {LONGEST} characters.", "string_above_max_length", "input")
        if self._voice(body) not in self.voices:
            refuse(f"Invalid value: '{self._voice(body)}'.", "invalid_value", "voice")
        if body.get("response_format", "mp3") not in MEDIA_TYPES:
            refuse("Invalid value for 'response_format'.", "invalid_value", "response_format")
        if not 0.25 <= body.get("speed", 1.0) <= 4:
            refuse("Invalid 'speed': expected 0.25 to 4.0.", "invalid_value", "speed")

    @staticmethod
    def _voice(body: dict[str, Any]) -> str:
        voice = body["voice"]
        return str(voice.get("id", "")) if isinstance(voice, dict) else str(voice)


def events(pcm: bytes) -> bytes:
    """PCM as server-sent events of 0.1 s, and the end."""
    parts = [pcm[at : at + 4800] for at in range(0, len(pcm), 4800)]
    told: list[dict[str, object]] = [
        {"type": "speech.audio.delta", "audio": base64.b64encode(part).decode()} for part in parts
    ]
    told.append({"type": "speech.audio.done", "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}})
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in told)
