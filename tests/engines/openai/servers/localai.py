"""LocalAI's speech endpoint, as `core/http/endpoints/localai/tts.go` and its documentation describe it (82c191a)."""

from __future__ import annotations

from typing import Any

from tests.engines.openai.servers.dialect import Complaint, model_list
from tests.engines.openai.servers.sound import MEDIA_TYPES, encoded, spoken, wav
from tests.engines.openai.servers.wire import Heard, Reply, json_reply


class LocalAI:
    """A whole file, wav for every format that ffmpeg is not asked for; with `stream` a wav of unknown length."""

    base, speech_path, rate_hz = "/v1", "/v1/audio/speech", 22050
    voices = ("en-us-amy", "zh-huayan")
    model = "voice-piper"

    def __init__(self, key: str = "") -> None:
        self._key = key

    async def answer(self, heard: Heard) -> Reply:
        try:
            if self._key and heard.headers.get("authorization") != f"Bearer {self._key}":
                return self.error(401, "An authentication key is required")
            if (heard.method, heard.path) == ("POST", self.speech_path):
                return await self._speech(heard.json)
            if (heard.method, heard.path) == ("GET", "/v1/models"):
                return model_list([self.model], "")
            return Reply(b"OK", "text/plain", sized=True) if heard.path == "/readyz" else self.error(404, "not found")
        except Complaint as complaint:
            return complaint.reply

    def error(self, status: int, message: str, code: str = "") -> Reply:
        return json_reply(status, {"error": {"code": status, "message": message, "type": ""}})

    async def _speech(self, body: dict[str, Any]) -> Reply:
        if not body.get("model"):
            raise Complaint(self.error(400, "code=400, message=Bad Request"))
        if body["model"] != self.model:
            raise Complaint(self.error(404, f"model {body['model']!r} not found"))
        voice = body.get("voice") or self.voices[0]
        if voice not in self.voices:
            raise Complaint(self.error(500, "rpc error: code = Unknown desc = unexpected voice"))
        rate_hz, form = body.get("sample_rate") or self.rate_hz, body.get("response_format", "wav")
        if body.get("stream"):
            return Reply(wav(await spoken(body["input"], voice, self.rate_hz), self.rate_hz), "audio/wav")
        form = form if form in ("mp3", "aac", "flac", "opus") else "wav"
        pcm = await spoken(body["input"], voice, rate_hz, body.get("speed") or 1.0)
        headers = {"content-disposition": f'attachment; filename="tts.{form}"'}
        return Reply(encoded(pcm, rate_hz, form), MEDIA_TYPES[form], headers=headers, sized=True)
