"""index-tts-vllm, as its `api_server.py` describes it (5f9d024): no `/v1`, a voice a recording, always a whole wav."""

from __future__ import annotations

from tests.engines.openai.servers.dialect import not_found
from tests.engines.openai.servers.sound import encoded, spoken
from tests.engines.openai.servers.wire import Heard, Reply, json_reply

TRACE = 'Traceback (most recent call last):\n  File "/srv/index-tts/api_server.py", line 190, in tts_api_openai\n'


class IndexTtsVllm:
    """Reads `input` and `voice` and nothing else; what goes wrong is told with a stack trace."""

    base, speech_path, rate_hz = "", "/audio/speech", 22050
    voices = ("jay_klee", "小雅")

    async def answer(self, heard: Heard) -> Reply:
        if (heard.method, heard.path) == ("GET", "/audio/voices"):
            return json_reply(200, {name: [f"assets/{name}.wav"] for name in self.voices})
        if (heard.method, heard.path) == ("GET", "/health"):
            return json_reply(200, {"status": "healthy", "message": "Service is running", "timestamp": 1763000000.0})
        if (heard.method, heard.path) != ("POST", self.speech_path):
            return not_found()
        body = heard.json
        for name in ("input", "voice"):
            if name not in body:
                return self.error(500, f"{TRACE}KeyError: '{name}'")
        if body["voice"] not in self.voices:
            return self.error(404, f"Voice '{body['voice']}' not found")
        pcm = await spoken(body["input"], body["voice"], self.rate_hz)
        return Reply(encoded(pcm, self.rate_hz, "wav"), "audio/wav", sized=True)

    def error(self, status: int, message: str, code: str = "") -> Reply:
        told = message if status < 500 or message.startswith(TRACE) else f"{TRACE}RuntimeError: {message}"
        return json_reply(status, {"status": "error", "error": told})
