"""What our protocol code knows of Model Studio, as examples: a recording is compared with them.

Each message in all the shapes that the public pages on Sambert's and CosyVoice's WebSocket APIs show, and that the
official SDK reads. A shape that is missing here is told as a difference, and taken by `protocol` all the same.
"""

from __future__ import annotations

from typing import Any

from engines.remote.exchange import Known

_PHONEME = {"text": "n_c", "tone": "3", "begin_time": 0, "end_time": 90}
_WORD = {"text": "你", "begin_time": 0, "end_time": 170}
_WORDS = [
    _WORD,
    {**_WORD, "phonemes": None},
    {**_WORD, "phonemes": [_PHONEME]},
    {**_WORD, "begin_index": 0, "end_index": 1},
]
_USAGE: dict[str, object] = {"usage": {"characters": 3}}
_OUTPUTS: tuple[dict[str, object], ...] = (
    {"sentence": {"begin_time": 0, "end_time": 350, "words": _WORDS}},  # Sambert
    {"sentence": {"index": 0, "words": []}, "type": "sentence-begin", "original_text": "你好。"},  # CosyVoice
    {"sentence": {"index": 0, "words": []}, "type": "sentence-synthesis"},
    {"sentence": {"index": 0, "words": _WORDS}, "type": "sentence-end", "original_text": "你好。"},
)


def known() -> Known:
    """The events of both protocols, the answer to a refused handshake, and the close code after a good end."""
    messages: dict[str, tuple[object, ...]] = {
        "task-started": (_event("task-started", {}),),
        "result-generated": tuple(
            _event("result-generated", {"output": output, **usage})
            for output in _OUTPUTS
            for usage in ({}, {"usage": None}, _USAGE)
        ),
        "task-finished": (
            _event("task-finished", {}),
            *(
                _event("task-finished", payload, request_uuid="0a9dba9e")
                for payload in (_USAGE, {"output": None, **_USAGE}, {"output": {"sentence": {"words": []}}, **_USAGE})
            ),
        ),
        "task-failed": (_event("task-failed", {}, {"error_code": "CLIENT_ERROR", "error_message": "…"}),),
        "refusal": ({"code": "InvalidApiKey", "message": "…"}, {"code": "…", "message": "…", "request_id": "…"}),
    }
    return Known(_name, messages, closes=frozenset({"1000", "cancelled"}))


def _name(message: Any) -> str:
    return str(message["header"]["event"] if "header" in message else "refusal" if "code" in message else "")


def _event(
    event: str, payload: dict[str, object], more: dict[str, object] | None = None, **attributes: str
) -> dict[str, object]:
    header = {"task_id": "2bf83b9a", "event": event, "attributes": attributes}
    return {"header": {**header, **(more or {})}, "payload": payload}
