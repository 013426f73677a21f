"""Kokoro-FastAPI, as its router `openai_compatible.py` and README describe it (read at 032990d, v0.8)."""

from __future__ import annotations

import re
from typing import Any

from tests.engines.openai.servers.dialect import Complaint, missing_field, model_list, not_found
from tests.engines.openai.servers.sound import MEDIA_TYPES, encoded, spoken
from tests.engines.openai.servers.wire import Heard, Reply, json_reply

#: of one letter each, as `lang_code` takes them
LANGUAGES = "abefhijpz"


class KokoroFastAPI:
    """Takes any key, streams unless told not to, mixes voices, ignores what it does not know."""

    base, speech_path, rate_hz = "/v1", "/v1/audio/speech", 24000
    voices = ("af_bella", "af_heart", "am_adam", "bf_emma", "zf_xiaobei", "zm_yunxi")
    models = ("tts-1", "tts-1-hd", "kokoro", "gpt-4o-mini-tts")

    async def answer(self, heard: Heard) -> Reply:
        try:
            if (heard.method, heard.path) == ("POST", self.speech_path):
                return await self._speech(heard.json)
            if (heard.method, heard.path) == ("GET", "/v1/audio/voices"):
                return json_reply(200, {"voices": [{"id": name, "name": name} for name in self.voices]})
            if (heard.method, heard.path) == ("GET", "/v1/models"):
                return model_list(self.models, "kokoro")
            return json_reply(200, {"status": "healthy"}) if heard.path == "/health" else not_found()
        except Complaint as complaint:
            return complaint.reply

    def error(self, status: int, message: str, code: str = "") -> Reply:
        kind = "invalid_request_error" if status < 500 else "server_error"
        name = code or ("validation_error" if status < 500 else "processing_error")
        return json_reply(status, {"detail": {"error": name, "message": message, "type": kind}})

    async def _speech(self, body: dict[str, Any]) -> Reply:
        if "input" not in body:
            raise Complaint(missing_field("input"))
        if body.get("model", "kokoro") not in self.models:
            raise Complaint(self.error(400, f"Unsupported model: {body['model']}", "invalid_model"))
        voice, form = str(body.get("voice", "af_heart")), body.get("response_format", "mp3")
        for part in re.split(r"[+-]", voice):
            if (one := part.split("(")[0].strip()) not in self.voices:
                known = ", ".join(self.voices)
                raise Complaint(self.error(400, f"Voice '{one}' not found. Available voices: {known}"))
        if (code := body.get("lang_code")) is not None and code not in LANGUAGES:
            raise Complaint(self.error(500, f"Unsupported language code: {code}"))
        pcm = await spoken(body["input"], voice, self.rate_hz, body.get("speed", 1.0))
        headers = {"content-disposition": f"attachment; filename=speech.{form}", "cache-control": "no-cache"}
        streamed = body.get("stream", True)
        if streamed:
            headers["x-accel-buffering"] = "no"
        audio = encoded(pcm, self.rate_hz, form) if pcm else b""
        return Reply(audio, MEDIA_TYPES[form], headers=headers, sized=not streamed)
