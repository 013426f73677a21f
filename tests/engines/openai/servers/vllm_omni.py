"""vLLM-Omni's speech server with a Qwen3-TTS model, as its request model and handler describe it (0.30.0)."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.engines.openai.servers.dialect import Complaint, model_list, not_found
from tests.engines.openai.servers.sound import MEDIA_TYPES, encoded, spoken, wav
from tests.engines.openai.servers.wire import Heard, Reply, json_reply

LANGUAGES = (
    *("Auto", "Chinese", "English", "Japanese", "Korean", "German"),
    *("French", "Russian", "Portuguese", "Spanish", "Italian"),
)


class VllmOmni:
    """wav by default; raw audio streams with `stream_format: audio`, events with `stream: true`; languages by name."""

    base, speech_path, rate_hz = "/v1", "/v1/audio/speech", 24000
    voices = ("aiden", "ryan", "serena", "vivian")
    model = "Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice"

    def __init__(self, key: str = "") -> None:
        self._key = key

    async def answer(self, heard: Heard) -> Reply:
        try:
            if self._key and heard.headers.get("authorization") != f"Bearer {self._key}":
                return json_reply(401, {"error": "Unauthorized"})
            if (heard.method, heard.path) == ("POST", self.speech_path):
                return await self._speech(heard.json)
            if (heard.method, heard.path) == ("GET", "/v1/audio/voices"):
                return json_reply(200, {"voices": list(self.voices), "uploaded_voices": []})
            if (heard.method, heard.path) == ("GET", "/v1/models"):
                return model_list([self.model], "vllm")
            return Reply(sized=True) if heard.path == "/health" else not_found()
        except Complaint as complaint:
            return complaint.reply

    def error(self, status: int, message: str, code: str = "") -> Reply:
        kind = {400: "BadRequestError", 404: "NotFoundError"}.get(status, "InternalServerError")
        return json_reply(status, {"error": {"message": message, "type": kind, "param": None, "code": status}})

    async def _speech(self, body: dict[str, Any]) -> Reply:
        self._validate(body)
        form, speed = body.get("response_format", "wav"), body.get("speed") or 1.0
        pcm = await spoken(body["input"], body.get("voice", "vivian").lower(), self.rate_hz, speed)
        if body.get("stream_format") == "audio":
            return Reply(wav(pcm, self.rate_hz) if form == "wav" else pcm, MEDIA_TYPES[form])
        if _streams(body):
            return Reply(_events(pcm, form), "text/event-stream")
        return Reply(encoded(pcm, self.rate_hz, form), MEDIA_TYPES[form], sized=True)

    def _validate(self, body: dict[str, Any]) -> None:
        def refuse(message: str, status: int = 400) -> None:
            raise Complaint(self.error(status, message))

        form = body.get("response_format", "wav")
        if body.get("model", self.model) != self.model:
            refuse(f"The model `{body['model']}` does not exist.", 404)
        if not str(body.get("input", "")).strip():
            refuse("Input text cannot be empty")
        if form not in ("wav", "pcm", "flac", "mp3", "opus"):
            refuse(f"Unsupported response_format: {form}")
        if str(body.get("voice", "vivian")).lower() not in self.voices:
            refuse(f"Invalid speaker '{body['voice']}'. Supported: {', '.join(self.voices)}")
        if body.get("language", "Auto") not in LANGUAGES:
            refuse(f"Invalid language '{body['language']}'. Supported: {', '.join(LANGUAGES)}")
        if _streams(body) and form not in ("pcm", "wav"):
            refuse(f"Streaming requires response_format='pcm' or 'wav'. Got response_format='{form}'.")
        if _streams(body) and body.get("speed", 1.0) != 1.0:
            refuse("Streaming is not supported with speed adjustment.")


def _streams(body: dict[str, Any]) -> bool:
    return bool(body.get("stream")) or body.get("stream_format") in ("sse", "audio")


def _events(pcm: bytes, form: str) -> bytes:
    parts = [pcm[at : at + 4800] for at in range(0, len(pcm), 4800)]
    told = [
        {"type": "speech.audio.delta", "audio": base64.b64encode(part).decode(), "response_format": form}
        for part in parts
    ]
    lines = [*told, {"type": "speech.audio.done"}]
    return b"".join(b"event: %b\ndata: %b\n\n" % (one["type"].encode(), json.dumps(one).encode()) for one in lines)
