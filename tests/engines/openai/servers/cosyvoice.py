"""CosyVoice's own server, `runtime/python/fastapi/server.py` (ace7c47): forms in, PCM out without a word about it."""

from __future__ import annotations

from tests.engines.openai.servers.dialect import missing_field, not_found
from tests.engines.openai.servers.sound import spoken
from tests.engines.openai.servers.wire import Heard, Reply, json_reply

#: the fields that each of its paths requires; those that clone a voice take a recording too, and are not here
FIELDS = {
    "/inference_sft": ("tts_text", "spk_id"),
    "/inference_instruct": ("tts_text", "spk_id", "instruct_text"),
}


class CosyVoice:
    """Finds out about a speaker after it has said 200; lists nothing."""

    base, speech_path, rate_hz = "", "/inference_sft", 22050
    voices = ("中文女", "中文男", "英文女", "粤语女")

    async def answer(self, heard: Heard) -> Reply:
        if heard.path not in FIELDS:
            return not_found()
        if heard.method not in ("GET", "POST"):
            return json_reply(405, {"detail": "Method Not Allowed"})
        form = heard.form
        for name in FIELDS[heard.path]:
            if name not in form:
                return missing_field(name, form=True)
        if form["spk_id"] not in self.voices:
            return Reply(stops_at=0)
        return Reply(await spoken(form["tts_text"], form["spk_id"], self.rate_hz))

    def error(self, status: int, message: str, code: str = "") -> Reply:
        """An exception before the answer: the framework's own page."""
        return Reply(b"Internal Server Error", "text/plain; charset=utf-8", status, sized=True)
