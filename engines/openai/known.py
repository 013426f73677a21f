"""What our code knows of speech servers' answers, as examples: a recording is compared with them.

From the same documentation and sources as `dialects`. Of models only the names are read, and servers tell much of them:
their other fields may be anything. A shape that is missing here is told as a difference, and may be taken all the same.
"""

from __future__ import annotations

from typing import Any

from engines.openai.audio import RATE_HEADERS
from engines.remote.exchange import Known

_OPENAI_HEADERS = frozenset({"openai-organization", "openai-processing-ms", "openai-project", "openai-version"})
_CLOUDFLARE_HEADERS = frozenset({"cf-cache-status", "cf-ray"})  # in front of OpenAI
_LIMITS = frozenset(
    f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")
)
_VOXGATE_HEADERS = frozenset(
    f"x-voxgate-{what}" for what in ("engine", "voice", "rule", "cache", "attempts", "degraded", "ignored")
)


def known() -> Known:
    """Errors, lists of models and lists of voices, in all dialects."""
    error = {"message": "…", "type": "invalid_request_error", "param": None, "code": None}
    field = {"type": "missing", "loc": ["body", 0], "msg": "…", ...: ...}
    model = {"id": "tts-1", ...: ...}
    voice = {"id": "af_heart", "name": "af_heart", ...: ...}
    messages = {
        "error": (
            {"error": error},  # OpenAI
            {"error": {"message": "…", "type": "…", "param": "voice", "code": "invalid_value"}},
            {"error": {"message": "…", "type": "…", "code": 404}},  # vLLM-Omni, LocalAI
            {"error": {**error, "request_id": "…"}},  # Voxgate
            {"error": "…"},
            {"detail": "…"},  # FastAPI, and what stands on it
            {"detail": [field]},
            {"detail": {"error": "…", "message": "…", "type": "…"}},  # Kokoro-FastAPI
            {"status": "error", "error": "…"},  # index-tts-vllm
        ),
        "models": ({"object": "list", "data": [model]}, {"object": "list", "models": [model]}),
        "voices": ({"voices": ["vivian"], ...: ...}, {"voices": [voice], ...: ...}),
        "recordings": ({...: ["assets/jay_klee.wav"]},),  # index-tts-vllm
    }
    headers = _OPENAI_HEADERS | _CLOUDFLARE_HEADERS | _LIMITS | _VOXGATE_HEADERS | frozenset(RATE_HEADERS)
    # some complain by a cut, once they have said 200: whether it should have come, the end of the exchange tells
    return Known(_name, messages, headers, frozenset({"end", "cancelled", "reset"}))


def _name(message: Any) -> str:
    for name, fields in (("error", ("error", "detail")), ("voices", ("voices",)), ("models", ("data", "models"))):
        if any(field in message for field in fields):
            return name
    return "recordings" if isinstance(message, dict) and all(isinstance(one, list) for one in message.values()) else ""
