"""speaches with a Kokoro model, as its routers `speech.py` and `models.py` describe it (870e1e1)."""

from __future__ import annotations

from typing import Any

from tests.engines.openai.servers.dialect import Complaint, missing_field, not_found
from tests.engines.openai.servers.openai import OpenAI, events
from tests.engines.openai.servers.sound import MEDIA_TYPES, encoded, spoken, wav
from tests.engines.openai.servers.wire import Heard, Reply, json_reply


class Speaches:
    """Answers 403 without its key, resamples where asked, and finds out about a voice after it has said 200."""

    base, speech_path, rate_hz = "/v1", "/v1/audio/speech", 24000
    voices = ("af_heart", "am_adam", "zf_xiaobei")
    model = "speaches-ai/Kokoro-82M-v1.0-ONNX"
    languages = ("en-us", "en-us", "cmn")

    def __init__(self, key: str = "") -> None:
        self._key = key

    async def answer(self, heard: Heard) -> Reply:
        try:
            if self._key and heard.headers.get("authorization") != f"Bearer {self._key}":
                return self.error(403, "Invalid API key. The provided API key is incorrect.")
            if (heard.method, heard.path) == ("POST", self.speech_path):
                return await self._speech(heard.json)
            if (heard.method, heard.path) == ("GET", "/v1/audio/voices"):
                return json_reply(200, {"voices": self._voices(), "object": "list"})
            if (heard.method, heard.path) == ("GET", "/v1/models"):
                return json_reply(200, {"data": [self._model()], "object": "list"})
            if (heard.method, heard.path) == ("GET", "/v1/audio/models"):
                return json_reply(200, {"models": [self._model()], "object": "list"})
            return json_reply(200, {"message": "OK"}) if heard.path == "/health" else not_found()
        except Complaint as complaint:
            return complaint.reply

    def error(self, status: int, message: str, code: str = "") -> Reply:
        return json_reply(status, {"detail": message})

    def _voices(self) -> list[dict[str, str]]:
        genders = ("female", "male", "female")
        return [
            {"name": name, "language": language, "gender": gender, "id": name}
            for name, language, gender in zip(self.voices, self.languages, genders, strict=True)
        ]

    def _model(self) -> dict[str, object]:
        more = {"task": "text-to-speech", "sample_rate": self.rate_hz, "voices": self._voices()}
        return {"id": self.model, "object": "model", "created": 0, "owned_by": "speaches-ai", **more}

    async def _speech(self, body: dict[str, Any]) -> Reply:
        for name in ("model", "input", "voice"):
            if name not in body:
                raise Complaint(missing_field(name))
        if body["model"] != self.model:
            raise Complaint(self.error(404, f"Model '{body['model']}' is not installed locally."))
        form, rate_hz = body.get("response_format", "mp3"), body.get("sample_rate") or self.rate_hz
        speed, voice = body.get("speed", 1.0), str(body["voice"])
        if voice in OpenAI.voices:
            voice = self.voices[0]
        # its generator complains when it is begun: the status is on its way by then, and the transfer breaks off
        if voice not in self.voices or not 0.5 <= speed <= 2:
            return Reply(content_type=MEDIA_TYPES[form], stops_at=0)
        pcm = await spoken(body["input"], voice, rate_hz, speed)
        if body.get("stream_format") == "sse":
            return Reply(events(pcm).replace(b'"usage"', b'"token_usage"'), "text/event-stream")
        return Reply(wav(pcm, rate_hz) if form == "wav" else encoded(pcm, rate_hz, form), MEDIA_TYPES[form])
